// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int viz_log_quiet;

static bool enabled[VIZ_LOG_DOMAINS];
static const char *const names[VIZ_LOG_DOMAINS] = {
	[VIZ_LOG_MAIN] = "main",     [VIZ_LOG_ELF] = "elf",	  [VIZ_LOG_PROBE] = "probe",
	[VIZ_LOG_RING] = "ring",     [VIZ_LOG_NAMES] = "names",	  [VIZ_LOG_LIFE] = "life",
	[VIZ_LOG_ENGINE] = "engine", [VIZ_LOG_OUTPUT] = "output", [VIZ_LOG_BPF] = "bpf",
};

/* One write per message, so that lines of several processes do not mix. */
static void print_line(const char *prefix, const char *fmt, va_list ap)
{
	char text[2048], line[4 * sizeof(text) + 64];
	size_t n, i;

	vsnprintf(text, sizeof(text), fmt, ap);
	n = (size_t)snprintf(line, 64, "%s", prefix);
	for (i = 0; text[i]; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			n += (size_t)snprintf(line + n, 5, "\\x%02x", c);
		else if (c == 0xc2 && (unsigned char)text[i + 1] >= 0x80 &&
			 (unsigned char)text[i + 1] < 0xa0) /* C1 controls in UTF-8 */
			n += (size_t)snprintf(line + n, 5, "\\x%02x", (unsigned char)text[++i]);
		else
			line[n++] = (char)c;
	}
	line[n++] = '\n';
	fwrite(line, 1, n, stderr);
}

#define PRINT(prefix)                                                                              \
	do {                                                                                       \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		print_line(prefix, fmt, ap);                                                       \
		va_end(ap);                                                                        \
	} while (0)

void viz_error(const char *fmt, ...)
{
	PRINT("vizbpf: ");
}

void viz_warn(const char *fmt, ...)
{
	PRINT("vizbpf: warning: ");
}

void viz_info(const char *fmt, ...)
{
	if (!viz_log_quiet)
		PRINT("");
}

void viz_debug(enum viz_log_domain domain, const char *fmt, ...)
{
	char prefix[32];

	if (!enabled[domain])
		return;
	snprintf(prefix, sizeof(prefix), "vizbpf[%s]: ", names[domain]);
	PRINT(prefix);
}

void viz_log__enable_all(void)
{
	memset(enabled, 1, sizeof(enabled));
	enabled[VIZ_LOG_BPF] = false; /* libbpf says a line for each relocation: --log=bpf */
}

int viz_log__enable(const char *domains, const char **bad)
{
	while (*domains) {
		size_t len = strcspn(domains, ","), i;

		for (i = 0; i < VIZ_LOG_DOMAINS; i++)
			if (strlen(names[i]) == len && !strncmp(names[i], domains, len))
				break;
		if (i == VIZ_LOG_DOMAINS) {
			*bad = domains;
			return -EINVAL;
		}
		enabled[i] = true;
		domains += len + (domains[len] == ',');
	}
	return 0;
}

int viz_why(char *why, unsigned long why_size, int err, const char *fmt, ...)
{
	va_list ap;

	if (why && why_size) {
		va_start(ap, fmt);
		vsnprintf(why, why_size, fmt, ap);
		va_end(ap);
	}
	return err;
}
