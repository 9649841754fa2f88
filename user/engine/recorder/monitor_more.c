// SPDX-License-Identifier: Apache-2.0
/* The recorder for 3.12 and newer with C functions and exceptions: larger, so a variant. */
#define MORE 1
#include "monitor.c"
