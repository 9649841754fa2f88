/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of figures with a function at the end of each line, as wide as the terminal. */
#ifndef VIZ_TABLE_H
#define VIZ_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../trace/model.h"

struct viz_column {
	const char *title;
	int width;
};

/* The heading. */
void viz_table__head(FILE *out, const struct viz_column *columns, size_t nr, const char *last);
/* Columns of standard output's terminal that remain behind @columns: no limit worth naming
 * when it is not a terminal, and never fewer than 24. */
size_t viz_table__rest(const struct viz_column *columns, size_t nr);
/* Right-aligned cells with a blank behind. */
void viz_table__count(FILE *out, int width, uint64_t count);
void viz_table__time(FILE *out, int width, uint64_t ns);
/* "name  file:line", safe for the terminal, in at most @columns; the path loses its beginning
 * first, because its end says more, and the place of the standard library or of installed
 * packages is left out. */
void viz_table__func(FILE *out, const struct viz_func *func, size_t columns);

#endif
