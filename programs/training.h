/* SPDX-License-Identifier: MIT */
/*
 * Training from the command line: the folder, a header, epoch after epoch under a live line, a save, and how it ended.
 * What differs between kinds of runs is a table of functions.
 */
#ifndef EGG_PROGRAM_TRAINING_H
#define EGG_PROGRAM_TRAINING_H

#include "folder.h"
#include "progress.h"

enum { TRAINING_LINE_BYTES = 160 };

/* Where a run stands, after it was opened and after each of its epochs. */
struct training_state {
    uint64_t epoch;                /* done, by a resumed run also before; 0 until this process has done one */
    double progress, seconds;      /* share of the budget that is used, time */
    bool finished;                 /* there is nothing more to do: the budget is used, or 'stopped' */
    bool stopped;                  /* someone wanted an end */
    bool kept;                     /* the epoch's line is to stay on the screen */
};

struct training {
    const struct training_kind *kind;
    void *own;                     /* what the command gave to training_run */
    struct folder folder;
    bool quiet;
    struct progress progress;

    /* The functions of the kind set these. */
    struct training_state state;
    const char *columns[2];        /* two lines of titles above what write_line writes */
    egg_journal_info journal;
};

struct training_kind {
    egg_status (*open)(struct training *training, const struct invocation *invocation, egg_error *error);
    void (*close)(struct training *training);
    const char *(*option)(const struct training *training, const char *name);

    /* An epoch stands if 'state.epoch' has grown, also if a save behind it failed. */
    egg_status (*run_epoch)(struct training *training, egg_error *error);
    egg_status (*save)(struct training *training, egg_error *error);

    void (*print_header)(const struct training *training);
    void (*warn)(struct training *training);                  /* of what the last epoch showed; may be NULL */
    void (*write_line)(const struct training *training, char line[TRAINING_LINE_BYTES]);
    void (*print_result)(const struct training *training);    /* of one epoch or more */

    const char *budget;            /* the options that bound a run, listed for people */
    struct {
        const char *before, *after;    /* of the folder, in a line that says what to do next */
    } hints[4];                    /* ends at a NULL */
};

/* Runs 'kind' with the options and operands of the command from open to close; returns the exit status. */
int training_run(const struct training_kind *kind, void *own, const struct invocation *invocation);

void training_print_option(const struct training *training, const char *before, const char *name, const char *after);

/* Prints a line on standard error, in order with what is on the screen. */
void training_warn(struct training *training, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
