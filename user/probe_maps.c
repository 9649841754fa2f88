// SPDX-License-Identifier: Apache-2.0
/* The maps that the BPF programs share with user space. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes_private.h"

static bool has_own(const struct viz_probes *probes, pid_t pid)
{
	const struct viz_attachment *a = probes->attachments;

	/* a recorder inside is inherited with the memory */
	while (a && !(a->build && a->pid == pid && a->set != VIZ_PROBES_INSIDE))
		a = a->next;
	return a != NULL;
}

int viz_probes__set_process(struct viz_probes *probes, pid_t pid, struct viz_process_info *info)
{
	uint32_t key = (uint32_t)pid;

	if (has_own(probes, pid))
		info->flags |= VIZ_PROC_ALONE;
	return bpf_map_update_elem(bpf_map__fd(probes->skel->maps.processes), &key, info, BPF_ANY)
		       ? -errno
		       : 0;
}

int viz_probes__get_process(struct viz_probes *probes, pid_t pid, struct viz_process_info *info)
{
	uint32_t key = (uint32_t)pid;

	return bpf_map_lookup_elem(bpf_map__fd(probes->skel->maps.processes), &key, info) ? -errno
											  : 0;
}

int viz_probes__processes(struct viz_probes *probes, struct viz_known_process *list, int max)
{
	int fd = bpf_map__fd(probes->skel->maps.processes), nr = 0;
	uint32_t key, *last = NULL;

	while (nr < max && !bpf_map_get_next_key(fd, last, &key)) {
		last = &key;
		list[nr].pid = (pid_t)key;
		nr += !bpf_map_lookup_elem(fd, &key, &list[nr].info);
	}
	return nr;
}

void viz_probes__know_interpreter(struct viz_probes *probes, pid_t pid, uint64_t interp, bool known)
{
	int fd = bpf_map__fd(probes->skel->maps.known_interpreters);
	struct viz_interp_key key = {.interp = interp, .tgid = (uint32_t)pid};
	uint64_t known_value = 0;

	/* one that is being destroyed is known as that */
	if (known)
		bpf_map_update_elem(fd, &key, &known_value, BPF_NOEXIST);
	else
		bpf_map_delete_elem(fd, &key);
}

void viz_probes__await_interpreter(struct viz_probes *probes, pid_t pid, uint64_t interp,
				   uint64_t how)
{
	int fd = bpf_map__fd(probes->skel->maps.known_interpreters);
	struct viz_interp_key key = {.interp = interp, .tgid = (uint32_t)pid};
	uint64_t value = 0;

	/* it will stop by itself, or is being destroyed */
	if (!bpf_map_lookup_elem(fd, &key, &value) && value && value != VIZ_INTERP_WAITS &&
	    value != VIZ_INTERP_AWAITED)
		return;
	bpf_map_update_elem(fd, &key, &how, BPF_ANY);
}

void viz_probes__hold(struct viz_probes *probes, bool on)
{
	probes->skel->data->hold_enabled = on;
}

void viz_probes__keep(struct viz_probes *probes)
{
	probes->keep = true;
}

int viz_probes__drop_process(struct viz_probes *probes, pid_t pid)
{
	struct viz_process_info info;

	/* it runs another program by now, which is watched for an interpreter and for children */
	if (!viz_probes__get_process(probes, pid, &info) && info.flags & VIZ_PROC_WANTED)
		return 0;
	return viz_probes__forget_process(probes, pid);
}

int viz_probes__forget_process(struct viz_probes *probes, pid_t pid)
{
	uint32_t key = (uint32_t)pid;

	return bpf_map_delete_elem(bpf_map__fd(probes->skel->maps.processes), &key) ? -errno : 0;
}

void viz_probes__forget_codes(struct viz_probes *probes, pid_t pid, const uint64_t *codes,
			      size_t nr)
{
	struct viz_code_key keys[256];
	int fd = bpf_map__fd(probes->skel->maps.codes);
	uint32_t count, n, done;

	for (size_t i = 0; i < nr; i += n) {
		n = nr - i < 256 ? (uint32_t)(nr - i) : 256;
		for (uint32_t k = 0; k < n; k++)
			keys[k] = (struct viz_code_key){codes[i + k], (uint64_t)pid};
		/* it stops at one that is not there, as the process freed it itself */
		for (done = 0; done < n; done += count + 1) {
			count = n - done;
			if (!bpf_map_delete_batch(fd, keys + done, &count, NULL))
				break;
			if (errno != ENOENT)
				return;
		}
	}
}

int viz_probes__guard(struct viz_probes *probes, pid_t pid, bool cleared)
{
	struct viz_guard_state state = {.cleared = cleared};
	uint32_t key = (uint32_t)pid;

	return bpf_map_update_elem(bpf_map__fd(probes->skel->maps.guards), &key, &state, BPF_ANY)
		       ? -errno
		       : 0;
}

void viz_probes__set_filter(struct viz_probes *probes, const struct viz_filter_config *config)
{
	memcpy((void *)&probes->skel->bss->filter, config, sizeof(*config));
}

void viz_probes__verdict(struct viz_probes *probes, const struct viz_code *code, uint32_t verdict)
{
	struct viz_verdict_key key = {
		.code = code->code,
		.announced = code->head.ts,
		.tgid = code->tgid,
	};

	bpf_map_update_elem(bpf_map__fd(probes->skel->maps.verdicts), &key, &verdict, BPF_ANY);
}

bool viz_probes__look_held(struct viz_probes *probes, pid_t tid, struct viz_held *held)
{
	uint32_t key = (uint32_t)tid;

	return !bpf_map_lookup_elem(bpf_map__fd(probes->skel->maps.held), &key, held) &&
	       held->nr > 0 && held->nr <= VIZ_HELD_MAX;
}

bool viz_probes__take_held(struct viz_probes *probes, pid_t tid, struct viz_held *held)
{
	bool some = viz_probes__look_held(probes, tid, held);
	uint32_t key = (uint32_t)tid;

	bpf_map_delete_elem(bpf_map__fd(probes->skel->maps.held), &key);
	return some;
}

void viz_probes__thread_losses(struct viz_probes *probes, pid_t pid,
			       void (*fn)(void *ctx, pid_t tid, uint64_t lost), void *ctx)
{
	int fd = bpf_map__fd(probes->skel->maps.threads);
	uint32_t key, *last = NULL;
	struct viz_thread thread;

	while (!bpf_map_get_next_key(fd, last, &key)) {
		if (!bpf_map_lookup_elem(fd, &key, &thread) && thread.tgid == (uint32_t)pid &&
		    thread.lost_enter)
			fn(ctx, (pid_t)key, thread.lost_enter);
		last = &key;
	}
}

void viz_probes__each_program(struct viz_probes *probes,
			      void (*fn)(void *ctx, const char *name, unsigned int verified),
			      void *ctx)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, probes->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_program__fd(prog) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size))
			fn(ctx, bpf_program__name(prog), info.verified_insns);
	}
}

int viz_probes__guards_fd(const struct viz_probes *probes)
{
	return bpf_map__fd(probes->skel->maps.guards);
}

int viz_probes__select(struct viz_probes *probes, const struct viz_select *sel)
{
	struct viz_cgroup_key *keys = calloc(VIZ_SELECT_CGROUPS_MAX, sizeof(*keys));
	struct viz_selection selection;
	uint8_t one = 1;
	int nr, err = 0;

	if (!keys)
		return -ENOMEM;
	nr = viz_select__keys(sel, keys);
	for (int i = 0; i < nr && !err; i++)
		err = bpf_map_update_elem(bpf_map__fd(probes->skel->maps.wanted_cgroups), &keys[i],
					  &one, BPF_ANY);
	free(keys);
	for (size_t i = 0; i < sel->nr_excluded && !err; i++) {
		uint32_t pid = (uint32_t)sel->excluded[i];

		err = bpf_map_update_elem(bpf_map__fd(probes->skel->maps.excluded), &pid, &one,
					  BPF_ANY);
	}
	if (nr < 0 || err)
		return nr < 0 ? nr : -errno;
	viz_select__selection(sel, &selection);
	memcpy((void *)&probes->skel->bss->selection, &selection, sizeof(selection));
	return 0;
}
