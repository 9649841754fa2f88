/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for people, on standard error; never anything else there. */
#ifndef VIZ_LOG_H
#define VIZ_LOG_H

enum viz_log_domain {
	VIZ_LOG_MAIN = 0,
	VIZ_LOG_ELF,
	VIZ_LOG_PROBE,
	VIZ_LOG_RING,
	VIZ_LOG_NAMES,
	VIZ_LOG_LIFE,
	VIZ_LOG_ENGINE,
	VIZ_LOG_OUTPUT,
	VIZ_LOG_BPF,
	VIZ_LOG_DOMAINS,
};

extern int viz_log_quiet; /* -q: only errors */

/* "vizbpf: ..." with a newline added. Control characters in the text are shown as \xNN, so
 * that names from a target never reach the terminal raw. */
void viz_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void viz_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void viz_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Shown with -v (all domains) or --log=DOMAIN. */
void viz_debug(enum viz_log_domain domain, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void viz_log__enable_all(void);
/* Comma-separated domain names; returns 0 or -EINVAL with the bad one in @bad. */
int viz_log__enable(const char *domains, const char **bad);
/* Formats into @why when it is not NULL; returns @err, for `return viz_why(...)`. */
int viz_why(char *why, unsigned long why_size, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
