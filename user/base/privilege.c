// SPDX-License-Identifier: Apache-2.0
#include "privilege.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CAP_ADMIN = 21 };

static const struct viz_privilege needed[VIZ_PRIVILEGES] = {
	{19, "CAP_SYS_PTRACE", "reads other processes' memory", false},
	{CAP_ADMIN, "CAP_SYS_ADMIN",
	 "opens the files a process has mapped; stands for the next two", false},
	{38, "CAP_PERFMON", "attaches probes (since Linux 5.8)", false},
	{39, "CAP_BPF", "loads programs (since Linux 5.8)", false},
};

static unsigned long long effective(void)
{
	char text[4096], *p;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strstr(text, "\nCapEff:");
	return p ? strtoull(p + 8, NULL, 16) : 0;
}

void viz_privilege__get(struct viz_privilege out[VIZ_PRIVILEGES])
{
	unsigned long long mask = effective();
	bool admin = mask >> CAP_ADMIN & 1;

	memcpy(out, needed, sizeof(needed));
	for (int i = 0; i < VIZ_PRIVILEGES; i++)
		out[i].have = mask >> out[i].cap & 1 || (out[i].cap > CAP_ADMIN && admin);
}

bool viz_privilege__complete(char *missing, size_t size)
{
	struct viz_privilege all[VIZ_PRIVILEGES];
	size_t n = 0;

	viz_privilege__get(all);
	missing[0] = '\0';
	for (int i = 0; i < VIZ_PRIVILEGES; i++)
		if (!all[i].have && n < size)
			n += (size_t)snprintf(missing + n, size - n, "%s%s", n ? ", " : "",
					      all[i].name);
	return !n;
}
