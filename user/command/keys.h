/* SPDX-License-Identifier: Apache-2.0 */
/* Single keys from the terminal, as they are pressed. */
#ifndef VIZ_KEYS_H
#define VIZ_KEYS_H

#include <stdbool.h>
#include <termios.h>

struct viz_keys {
	bool open;
	struct termios before;
};

/* From standard input, when that and standard output are a terminal that is ours to read: a job in
 * the background would be stopped for it. Otherwise no key ever comes. */
void viz_keys__open(struct viz_keys *keys);
/* The next key that was pressed, 0: none. Does not wait. What other keys than letters send is
 * dropped. */
char viz_keys__next(struct viz_keys *keys);
/* Gives the terminal back as it was. Any number of times. */
void viz_keys__close(struct viz_keys *keys);

#endif
