// SPDX-License-Identifier: Apache-2.0
#include "trampoline_clock.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "../target/remote.h"
#include "recorder/arch.h"

static uint64_t monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* The kernel has watched the counter longer than we have. */
static bool counter_is_trusted(void)
{
	char name[64] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");

	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = 0;
	fclose(f);
	return !strcmp(name, "tsc\n") || !strcmp(name, "arch_sys_counter\n");
}

/* The pair read with the least time in between: we may be interrupted anywhere.
 */
static void compare(uint64_t *ticks, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t before = arch_counter(), mid = monotonic(), after = arch_counter();

		if (after - before >= best)
			continue;
		best = after - before;
		*ticks = before + best / 2;
		*ns = mid;
	}
}

static uint64_t rate_of(const struct viz_comparison *from, const struct viz_comparison *to)
{
	return (uint64_t)(((unsigned __int128)(to->ns - from->ns) << 32) /
			  (to->ticks - from->ticks));
}

/* Every second one goes: the longer ago, the longer the straight lines become. */
static void thin_out(struct viz_tramp_clock *c)
{
	unsigned int nr = 1;

	for (unsigned int i = 2; i < c->nr; i += 2)
		c->at[nr++] = c->at[i];
	if (!(c->nr & 1)) /* the last one stays */
		c->at[nr++] = c->at[c->nr - 1];
	c->nr = nr;
	c->cur /= 2;
	for (unsigned int i = 0; i + 1 < nr; i++)
		c->at[i].rate = rate_of(&c->at[i], &c->at[i + 1]);
	c->at[nr - 1].rate = c->at[nr - 2].rate;
}

void viz_tramp_clock__sample(struct viz_tramp_clock *c)
{
	struct viz_comparison now, *last;

	if (!c->counter)
		return;
	last = &c->at[c->nr - 1];
	compare(&now.ticks, &now.ns);
	/* Too close to the last comparison its error would be the slope's. */
	if (now.ns - last->ns < 100000 || now.ticks <= last->ticks)
		return;
	now.rate = last->rate = rate_of(last, &now);
	if (c->nr == VIZ_COMPARISONS_MAX)
		thin_out(c);
	c->at[c->nr++] = now;
}

void viz_tramp_clock__forget(struct viz_tramp_clock *c)
{
	unsigned int keep = c->nr > 2 && c->cur > c->nr - 2 ? c->nr - 2 : c->cur;

	if (!keep)
		return;
	memmove(c->at, c->at + keep, (c->nr - keep) * sizeof(c->at[0]));
	c->nr -= keep;
	c->cur -= keep;
}

void viz_tramp_clock__init(struct viz_tramp_clock *c)
{
	struct timespec pause = {.tv_nsec = 1000000};

	*c = (struct viz_tramp_clock){.counter = counter_is_trusted()};
	if (!c->counter)
		return;
	compare(&c->at[0].ticks, &c->at[0].ns);
	c->nr = 1;
	nanosleep(&pause, NULL);
	viz_tramp_clock__sample(c);
}

/* From @c's place to @stamp, with the sign that 56 bits allow. */
static inline int64_t since(const struct viz_comparison *c, uint64_t stamp)
{
	return (int64_t)((stamp - c->ticks) << 8) >> 8;
}

uint64_t viz_tramp_clock__ns(struct viz_tramp_clock *c, uint64_t stamp)
{
	const struct viz_comparison *from = &c->at[c->cur];

	if (!c->counter) /* 56 bits of ns: two years of uptime */
		return stamp;
	while (c->cur && since(from, stamp) < 0)
		from = &c->at[--c->cur];
	while (c->cur + 2 < c->nr && since(from + 1, stamp) >= 0)
		from = &c->at[++c->cur];
	/* records lie around the comparisons, on either side */
	return from->ns + (uint64_t)(int64_t)(((__int128)since(from, stamp) * from->rate) >> 32);
}

uint64_t viz_tramp_clock__ticks(const struct viz_tramp_clock *c, uint64_t ns)
{
	uint64_t rate = c->nr ? c->at[c->nr - 1].rate : 0;

	if (!c->counter || !rate)
		return ns;
	return (uint64_t)(((unsigned __int128)ns << 32) / rate);
}

uint64_t viz_tramp_clock__now(const struct viz_tramp_clock *c)
{
	return c->counter ? arch_counter() : monotonic();
}

/* Offset of a function in our own vDSO, which the kernel maps: not hostile. */
static uint64_t own_vdso_symbol(const uint8_t *image, const char *name)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)image;
	const Elf64_Phdr *ph = (const Elf64_Phdr *)(image + eh->e_phoff);
	const Elf64_Dyn *dyn = NULL;
	const Elf64_Sym *symtab = NULL;
	const char *strtab = NULL;
	const uint32_t *hash = NULL;

	for (int i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (const Elf64_Dyn *)(image + ph[i].p_vaddr);
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_SYMTAB)
			symtab = (const Elf64_Sym *)(image + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_STRTAB)
			strtab = (const char *)(image + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_HASH)
			hash = (const uint32_t *)(image + dyn->d_un.d_ptr);
	}
	if (!symtab || !strtab || !hash)
		return 0;
	for (uint32_t i = 0; i < hash[1]; i++)
		if (!strcmp(strtab + symtab[i].st_name, name))
			return symtab[i].st_value;
	return 0;
}

uint64_t viz_tramp_clock__vdso(pid_t pid, int mem)
{
	const uint8_t *own = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	unsigned long start = 0, end = 0;
	uint8_t theirs[4096];
	char path[64], line[512];
	uint64_t offset;
	FILE *f;

	if (!own)
		return 0;
#if defined(__aarch64__)
	offset = own_vdso_symbol(own, "__kernel_clock_gettime");
#else
	offset = own_vdso_symbol(own, "__vdso_clock_gettime");
#endif
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
		else
			start = 0;
	if (f)
		fclose(f);
	/* the same kernel gives the same image to the same kind of process */
	if (!offset || !start || end - start < sizeof(theirs) ||
	    viz_remote__read(mem, start, theirs, sizeof(theirs)) ||
	    memcmp(own, theirs, sizeof(theirs)))
		return 0;
	return start + offset;
}
