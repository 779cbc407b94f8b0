/* SPDX-License-Identifier: MIT */
/* Help texts and the manual page, from the tables of commands and options. */
#ifndef EGG_PROGRAM_HELP_H
#define EGG_PROGRAM_HELP_H

#include <stdio.h>

#include "command.h"

enum { HELP_NOTE_BYTES = 128 };

void help_program(FILE *out);
int help_command(FILE *out, const struct command *command);    /* exit status */
int manual(FILE *out);                                  /* the whole page, for man; exit status */

/* "default 4096, 2 to 4Mi": what the help of an option ends with; may be empty. */
const char *help_note(char out[HELP_NOTE_BYTES], const egg_option_info *info);

#endif
