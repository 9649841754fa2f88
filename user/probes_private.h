/* SPDX-License-Identifier: Apache-2.0 */
/* What probes.c, which loads and attaches, shares with probe_maps.c, which reads and writes. */
#ifndef VIZ_PROBES_PRIVATE_H
#define VIZ_PROBES_PRIVATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "probes.h"
#include "uprobe.h"
#include "../bpf/select.h"
#include "vizbpf.skel.h"

enum { LINKS_MAX = 48 };

struct viz_attachment {
	struct viz_attachment *next;
	const struct viz_build *build;
	enum viz_probe_set set;
	pid_t pid;
	unsigned int users;
	struct viz_uprobe links[LINKS_MAX];
	unsigned int nr_links;
	int kept; /* by the guardian: the number of the eval function's link, or -1 */
};

struct viz_probes {
	struct vizbpf_bpf *skel;
	bool links; /* of the kind uprobe_multi */
	struct bpf_program *eval_enter; /* the one that this kernel can load */
	const char *first_call; /* the program interp_first, or what it is before 5.17 */
	struct viz_guardian *guardian;
	struct ring_buffer *rings, *lives;
	int ring_fd;
	size_t ring_size;
	viz_record_fn fn, life_fn;
	void *ctx;
	struct viz_attachment *attachments;
	bool keep;
};

#endif
