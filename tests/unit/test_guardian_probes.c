/* with: user/guardian_probes.c user/target/process_maps.c user/target/remote.c user/base/log.c */
// SPDX-License-Identifier: Apache-2.0
/* Breakpoints that were left go; what else stands in code where its file has something else stays. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guardian_probes.h"
#include "tap.h"

enum { PAGE = 4096, CODE = 2048, LEFT = 512, PATCH = 1024, CAVE = 3072, LONE = 3584 };

/* As the page of an interpreter: code, and zeros behind it. */
static uint8_t file[PAGE], written[PAGE];

static void fill(void)
{
	memset(file, 0x90, CODE);
	memcpy(written, file, PAGE);
	written[LEFT] = 0xcc;
	memcpy(written + PATCH, "\x48\xcc\x31\xcc\xc3", 5);
	memcpy(written + CAVE, "\x48\x83\xc0\xcc\xc3", 5);
	written[LONE] = 0xcc;
}

static pid_t start(const char *path, uint8_t **code)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0700), pipes[2];
	pid_t child;
	char byte;

	if (fd < 0 || write(fd, file, PAGE) != PAGE || pipe(pipes))
		exit(1);
	*code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	if (*code == MAP_FAILED)
		exit(1);
	child = fork();
	if (child) {
		close(pipes[1]);
		if (read(pipes[0], &byte, 1) != 1)
			exit(1);
		return child;
	}
	for (int i = 0; i < PAGE; i++)
		if (written[i] != file[i])
			(*code)[i] = written[i];
	if (mprotect(*code, PAGE, PROT_READ | PROT_EXEC) || write(pipes[1], "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void read_code(pid_t pid, const uint8_t *code, uint8_t *to)
{
	char path[32];
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY);
	if (mem < 0 || pread(mem, to, PAGE, (off_t)(uintptr_t)code) != PAGE)
		exit(1);
	close(mem);
}

int main(void)
{
	char path[] = "/tmp/vizbpf-code-XXXXXX";
	uint8_t now[PAGE], *code;
	int taken;
	pid_t pid;

	if (geteuid() || access("/sys/bus/event_source/devices/uprobe/type", R_OK)) {
		puts("1..0 # SKIP needs root, and a kernel with uprobes for perf");
		return 0;
	}
	close(mkstemp(path));
	fill();
	pid = start(path, &code);
	taken = viz_probes_left__take_out(pid);
	read_code(pid, code, now);
	ok(taken == 1 && now[LEFT] == 0x90, "a breakpoint that was left: %d, %02x", taken,
	   now[LEFT]);
	ok(!memcmp(now + PATCH, written + PATCH, 5), "code that somebody changed");
	ok(!memcmp(now + CAVE, written + CAVE, 5), "a recorder behind the code");
	ok(now[LONE] == 0xcc, "its data");
	ok(!viz_probes_left__take_out(pid), "nothing is left to do");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
	return tap_done();
}
