/* SPDX-License-Identifier: Apache-2.0 */
/* Subcommands: `vizbpf NAME ...`. Each parses its own arguments (argv[0] is NAME) and
 * returns the exit status. */
#ifndef VIZ_COMMAND_H
#define VIZ_COMMAND_H

int viz_command__ps(int argc, char **argv);
int viz_command__doctor(int argc, char **argv);
int viz_command__convert(int argc, char **argv);
int viz_command__combine(int argc, char **argv);
int viz_command__stats(int argc, char **argv);
int viz_command__tree(int argc, char **argv);
int viz_command__diff(int argc, char **argv);
int viz_command__view(int argc, char **argv);
int viz_command__top(int argc, char **argv);

#endif
