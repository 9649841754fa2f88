// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/python_version.c and python_build.c: version texts, and files that are no
 * Python or claim to be one.
 * Build: user/target/python_version.c user/target/python_build.c user/target/python_offsets.c
 *	user/target/usdt_notes.c user/target/eval_sites.c user/target/control_flow.c
 *	user/target/exit_cut.c user/target/pop_sites.c user/target/code_x86.c user/target/code_access_x86.c
 *	user/target/elf_image.c user/target/elf_pointers.c user/target/elf_frames.c
 *	user/base/log.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target/python_build.h"
#include "target/python_version.h"

static int tests, failed;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

static void good(const char *text, uint32_t hex)
{
	struct viz_python_version v = {0};
	int err = viz_version__parse(text, &v);

	check(!err && v.hex == hex && v.major == hex >> 24 && v.minor == (hex >> 16 & 0xff) &&
		      v.micro == (hex >> 8 & 0xff),
	      text);
	if (err || v.hex != hex)
		printf("# err %d, got %#x, want %#x\n", err, v.hex, hex);
}

static void bad(const char *text)
{
	struct viz_python_version v = {0};
	char what[80];

	snprintf(what, sizeof(what), "no version: \"%s\"", text);
	check(viz_version__parse(text, &v) == -EINVAL, what);
}

/* This very program, with symbols that make it look like a Python of version 3.99. */
const unsigned long Py_Version = 0x036300f0;
void *_PyEval_EvalFrameDefault(void *a, void *b, int c);
void *_PyEval_EvalFrameDefault(void *a, void *b, int c)
{
	return c ? a : b;
}

static void test_files(void)
{
	struct viz_build *build = NULL;
	char why[256] = "";
	int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);

	check(viz_build__analyse(fd, "/bin/true", &build, why, sizeof(why)) == -ENOEXEC,
	      "a program that is no Python");
	close(fd);
	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	check(viz_build__analyse(fd, "python3.11", &build, why, sizeof(why)) == -ENOEXEC,
	      "a text file called python3.11");
	close(fd);
	fd = memfd_create("empty", MFD_CLOEXEC);
	check(viz_build__analyse(fd, "x", &build, why, sizeof(why)) == -ENOEXEC, "an empty file");
	close(fd);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	check(viz_build__analyse(fd, "x", &build, why, sizeof(why)) == -ENOEXEC, "a device");
	close(fd);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	check(viz_build__analyse(fd, "x", &build, why, sizeof(why)) == -ENOTSUP &&
		      strstr(why, "Python 3.99 is not supported"),
	      "a Python of a version that does not exist");
	printf("# %s\n", why);
	check(viz_build__analyse(fd, "/usr/bin/python3.12", &build, why, sizeof(why)) == -ENOTSUP &&
		      strstr(why, "its name says Python 3.12, its contents say 3.99"),
	      "a name that disagrees with the contents");
	printf("# %s\n", why);
	close(fd);
}

int main(void)
{
	good("3.12.1", 0x030c01f0);
	good("3.6.15+", 0x03060ff0);
	good("3.14.0rc2", 0x030e00c2);
	good("3.15.0a1+", 0x030f00a1);
	good("3.13.0b4", 0x030d00b4);
	good("2.7.18", 0x020712f0);
	bad("");
	bad("3");
	bad("3.12");
	bad("3.12.");
	bad("3.12.x");
	bad("3.12.1 ");
	bad("3.12.1rc");
	bad("3.12.1rc16");
	bad("3.12.1.2");
	bad("3.1234.1");
	bad("999.1.1");
	bad("-3.1.1");
	bad("99999999999999999999.1.1");
	bad("%.80s (%.80s) %.80s");
	test_files();
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
