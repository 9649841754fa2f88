// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

#include <unistd.h>

void viz_keys__open(struct viz_keys *keys)
{
	struct termios raw;

	*keys = (struct viz_keys){.open = false};
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
	    tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &keys->before))
		return;
	raw = keys->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals stay: Ctrl-C ends a recording */
	raw.c_cc[VMIN] = raw.c_cc[VTIME] = 0;
	keys->open = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

char viz_keys__next(struct viz_keys *keys)
{
	char c;

	while (keys->open && read(STDIN_FILENO, &c, 1) == 1) {
		if (c != '\033')
			return c;
		/* an arrow or the like: ESC [ or ESC O, digits and such, a letter */
		if (read(STDIN_FILENO, &c, 1) != 1 || (c != '[' && c != 'O'))
			continue;
		while (read(STDIN_FILENO, &c, 1) == 1 && (c < '@' || c > '~'))
			;
	}
	return 0;
}

void viz_keys__close(struct viz_keys *keys)
{
	if (keys->open)
		tcsetattr(STDIN_FILENO, TCSANOW, &keys->before);
	keys->open = false;
}
