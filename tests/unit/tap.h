/* SPDX-License-Identifier: Apache-2.0 */
/* The Test Anything Protocol, as far as the unit tests need it. */
#ifndef TAP_H
#define TAP_H

#include <stdio.h>

static int tap_tests, tap_failures;

#define ok(condition, ...)                                                                         \
	do {                                                                                       \
		int tap_good = !!(condition);                                                      \
                                                                                                   \
		printf("%sok %d - ", tap_good ? "" : "not ", ++tap_tests);                         \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		if (!tap_good) {                                                                   \
			tap_failures++;                                                            \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
		}                                                                                  \
	} while (0)

/* The end of main(). */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failures != 0;
}

#endif
