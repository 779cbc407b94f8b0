/* SPDX-License-Identifier: MIT */
/* Where a run keeps itself: what --out or --resume says, or a new folder below runs/. */
#ifndef EGG_PROGRAM_FOLDER_H
#define EGG_PROGRAM_FOLDER_H

#include "command.h"

enum { FOLDER_BYTES = 4096 };

struct folder {
    char path[FOLDER_BYTES];
    bool claimed;                  /* the folder was made here, and is still empty */
    bool resumed;
};

/* Chooses and, without --out and --resume, makes the folder and sets --out; returns an exit status. */
int folder_choose(struct folder *folder, const struct command *command, egg_options *options);

/* After a run could not begin: takes away what was made. */
void folder_unclaim(const struct folder *folder);

/*
 * After a run failed and was closed: whether the ranks that are left of it go on. Then 'folder' is that of a resumed
 * run and '*resuming' its options: NULL before the first time, and the caller's to free.
 */
bool folder_goes_on(struct folder *folder, const struct invocation *invocation, egg_options **resuming);

/* Says what a resumed run found in its journal, if anything. */
void folder_print_journal(egg_journal_info info);

/* Prints 'before', the path as a word of a shell, and 'after' as a line. */
void folder_print(const struct folder *folder, const char *before, const char *after);

#endif
