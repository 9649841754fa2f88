// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a process can take the recorder, as far as that shows from outside.
 * Whatever might harm it is a reason to leave it to another engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "../target/procfs.h"
#include "../target/remote.h"
#include "trampoline_private.h"

static int status_number(const char *status, const char *field, int base)
{
	const char *at = strstr(status, field);

	return at ? (int)strtol(at + strlen(field), NULL, base) : -1;
}

/* The last number of the line NSpid: the pid as the process sees itself. */
static pid_t own_pid(const char *status)
{
	const char *at = strstr(status, "\nNSpid:");
	long pid = 0;
	char *end;

	for (at = at ? at + 7 : "\n"; *at && *at != '\n'; at = end) {
		long next = strtol(at, &end, 10);

		if (end == at)
			break;
		pid = next;
	}
	return (pid_t)pid;
}

pid_t viz_trampoline__own_pid(pid_t pid)
{
	char status[4096];

	return viz_procfs__read(pid, "status", status, sizeof(status)) > 0 ? own_pid(status) : 0;
}

static bool same_namespace(pid_t pid, const char *which)
{
	char path[64], own[64];
	struct stat a, b;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, which);
	snprintf(own, sizeof(own), "/proc/self/ns/%s", which);
	return stat(path, &a) || stat(own, &b) || (a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}

/*
 * The recorder opens a memfd. A seccomp filter that does not know the call
 * answers with an error in containers (Docker, Podman, Kubernetes); elsewhere
 * (systemd's SystemCallFilter) the usual answer is to kill, and what a filter
 * says cannot be asked from outside.
 */
static int check_seccomp(pid_t pid, const char *status, char *why, size_t why_size)
{
	int mode = status_number(status, "\nSeccomp:\t", 10);

	if (mode == 1)
		return viz_why(why, why_size, -ENOTSUP, "it is under strict seccomp");
	if (mode == 2 && same_namespace(pid, "mnt") && same_namespace(pid, "pid"))
		return viz_why(why, why_size, -ENOTSUP,
			       "a seccomp filter outside of a container might kill it for "
			       "memfd_create()");
	return 0;
}

/* Growing a file beyond RLIMIT_FSIZE is answered with SIGXFSZ. */
static int check_limits(pid_t pid, uint64_t region, bool follow, unsigned int *regions, char *why,
			size_t why_size)
{
	uint64_t least = VIZ_REC_PAGE + region * (follow ? VIZ_REGIONS_LEAST : 1);
	unsigned long long soft = UINT64_MAX;
	char limits[4096];
	const char *at;

	if (viz_procfs__read(pid, "limits", limits, sizeof(limits)) < 0)
		return viz_why(why, why_size, -ENOTSUP, "its limits cannot be read");
	at = strstr(limits, "Max file size");
	if (at && sscanf(at + 13, "%llu", &soft) == 1 && soft < least)
		return viz_why(why, why_size, -ENOTSUP,
			       "its limit of file sizes (ulimit -f) is below %llu KiB",
			       (unsigned long long)least >> 10);
	soft = (soft - VIZ_REC_PAGE) / region;
	*regions = !follow ? 1 : soft < VIZ_REC_REGIONS ? (unsigned int)soft : VIZ_REC_REGIONS;
	return 0;
}

int viz_trampoline__check_build(const struct viz_build *b, char *why, size_t why_size)
{
	struct viz_image_symbols symbols;

	if (b->free_threaded)
		return viz_why(why, why_size, -ENOTSUP,
			       "a free-threaded interpreter has no lock that orders its calls");
	if (b->debug)
		return viz_why(why, why_size, -ENOTSUP, "it is a debug build");
	if (b->info.off.interp_eval_frame == VIZ_NONE)
		return viz_why(why, why_size, -ENOTSUP, "its PEP 523 slot is not known");
	if (!b->eval_frame_default)
		return viz_why(why, why_size, -ENOTSUP, "it does not export its eval function");
	return viz_image__symbols(b, &symbols, why, why_size);
}

int viz_trampoline__check_process(pid_t pid, uint64_t region, bool follow, unsigned int *regions,
				  char *why, size_t why_size)
{
	char status[4096];
	int err;

	if (viz_procfs__read(pid, "status", status, sizeof(status)) < 0)
		return viz_why(why, why_size, -ESRCH, "there is no such process");
	err = check_seccomp(pid, status, why, why_size);
	return err ? err : check_limits(pid, region, follow, regions, why, why_size);
}

bool viz_trampoline__tells_more(const struct viz_interpreter *interp)
{
	return viz_image__mode(interp->build) == VIZ_REC_MONITOR;
}

int viz_trampoline__can(const struct viz_interpreter *interp, char *why, size_t why_size)
{
	struct viz_places places;
	unsigned int regions;
	uint64_t state;
	size_t size;
	uint32_t entry;
	int err, mem;

	err = viz_trampoline__check_build(interp->build, why, why_size);
	if (!err)
		err = viz_trampoline__check_process(interp->pid,
						    VIZ_RING_DEFAULT + sizeof(struct viz_rec_ring),
						    true, &regions, why, why_size);
	if (err)
		return err;
	/* it is just being started: what it will have mapped is seen at the attach */
	if (viz_interpreter__states(interp, &state, 1) <= 0)
		return 0;
	mem = viz_remote__open(interp->pid, O_RDWR);
	if (mem < 0)
		return viz_why(why, why_size, -ENOTSUP, "its memory cannot be written: %s",
			       strerror(-mem));
	err = viz_places__find(&places, interp->pid, mem, VIZ_RING_DEFAULT, NULL, 0);
	close(mem);
	viz_image__room(&size, &entry);
	if (err || (!places.nr_images && !viz_places__take(&places, size)))
		return viz_why(why, why_size, -ENOTSUP,
			       "there is no room for a loader behind its code: %llu bytes of %zu",
			       (unsigned long long)places.room, size);
	return 0;
}
