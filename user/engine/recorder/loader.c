// SPDX-License-Identifier: Apache-2.0
/*
 * The loader: the only code of vizbpf that runs in memory of somebody else's, but for room.c.
 *
 * vizbpf writes it, with its data in front, into the zero tail of an executable
 * mapping and points the PEP 523 slot of an interpreter to it. The next call in
 * that interpreter comes here with the GIL held. The loader collects the pieces
 * of the recorder from the tails in which vizbpf left them, maps them as code
 * at an address that vizbpf chose, and goes there. On any failure the call goes
 * on as if nothing had been.
 *
 * The slot is put back when the outcome is decided: here after a failure, else
 * by the recorder once its memory is there. So vizbpf can tell one from the
 * other by looking.
 *
 * It is a few hundred bytes so that a place for it is nearly always found, has
 * no writable data, calls no library, and is not needed any more once it has
 * run: vizbpf then clears it. The code comes from a memfd and is never writable
 * and executable at once: processes under MemoryDenyWriteExecute (systemd) and
 * PR_SET_MDWE take it.
 */
#define VIZ_REC_INSIDE
#include "arch.h"
#include "recorder.h"

extern const struct viz_load_consts L __attribute__((visibility("hidden")));

typedef void *(*eval_fn)(void *, void *, void *);

enum { PROT_READ_EXEC = 5, MAP_PRIVATE_NOREPLACE = 0x100002 };

/* Maps the recorder. Returns where the call goes on: start(), or the eval
 * function. */
static __attribute__((noinline)) uint64_t fetch(void)
{
	const char name[8] = "vizbpf";
	long fd, at = 0, base = -1;

	fd = arch_syscall(SYS_memfd_create, (long)name, L.memfd_flags, 0, 0, 0, 0);
	if (fd < 0)
		return L.eval;
	for (int i = 0; i < VIZ_REC_PIECES && L.pieces[i].size; i++) {
		long size = L.pieces[i].size;

		if (arch_syscall(SYS_pwrite64, fd, L.pieces[i].from, size, at, 0, 0) != size)
			break;
		at += size;
	}
	if (at == (long)L.bytes)
		base = arch_syscall(SYS_mmap, L.base, L.bytes, PROT_READ_EXEC,
				    MAP_PRIVATE_NOREPLACE, fd, 0);
	arch_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	if (base == (long)L.base)
		return L.start;
	/* before Linux 4.17 the address is a hint and the mapping may be elsewhere */
	if (base > 0)
		arch_syscall(SYS_munmap, base, L.bytes, 0, 0, 0, 0);
	return L.eval;
}

/*
 * The arguments are those of the slot, which differ by version: they only pass
 * through. It goes on with a jump: nothing may return to a place that will have
 * been cleared, and the build checks that.
 */
__attribute__((section(".text.load"))) void *load(void *a, void *b, void *c)
{
	volatile uint64_t *slot = (volatile uint64_t *)L.slot;
	uint64_t next = fetch();

	if (next == L.eval && *slot == (uint64_t)load)
		*slot = L.slot_original;
	return ((eval_fn)next)(a, b, c);
}
