/* SPDX-License-Identifier: MIT */
#include "training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "interrupt.h"
#include "text.h"

/* ---------------------------------------------------------------------------------------------------------- header */

void training_print_option(const struct training *training, const char *before, const char *name, const char *after)
{
    printf("%s%s%s", before, training->kind->option(training, name), after);
}

static void print_header(const struct training *training)
{
    training->kind->print_header(training);
    folder_print(&training->folder, training->folder.resumed ? "resumed run  " : "run          ", "");
    folder_print_journal(training->journal);
    fflush(stdout);
}

/* ---------------------------------------------------------------------------------------------------------- epochs */

void training_warn(struct training *training, const char *format, ...)
{
    va_list arguments;
    progress_clear(&training->progress);
    fflush(stdout);
    fputs("eggroll: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void complain(struct training *training, const egg_error *error, const char *consequence)
{
    if (speaks(error)) training_warn(training, "%s%s", error->text, consequence);
}

static void show_epoch(struct training *training)
{
    const struct training_state *state = &training->state;
    char title[512], line[256], middle[TRAINING_LINE_BYTES], elapsed[TEXT_BYTES], left[TEXT_BYTES];
    if (!progress_due(&training->progress, state->epoch, state->kept)) return;
    training->kind->write_line(training, middle);
    snprintf(title, sizeof title, "\n%7s %6s %s\n%7s %6s %s %8s %8s\n", "", "", training->columns[0], "epoch", "done",
             training->columns[1], "elapsed", "left");
    snprintf(line, sizeof line, "%7llu %5.1f%% %s %8s %8s", (unsigned long long)state->epoch, 100 * state->progress,
             middle, text_duration(elapsed, state->seconds),
             text_duration(left, state->progress > 0 ? state->seconds * (1 - state->progress) / state->progress : NAN));
    progress_show(&training->progress, title, line, state->kept);
}

/* Until the budget is used or someone wants an end, on any rank; false: an epoch failed. */
static bool run_epochs(struct training *training)
{
    const struct training_kind *kind = training->kind;
    while (!training->state.finished) {
        egg_error error;
        uint64_t before = training->state.epoch;
        egg_status status = kind->run_epoch(training, &error);
        bool stands = status == EGG_OK || training->state.epoch > before;   /* then only a save failed */
        if (status != EGG_OK) complain(training, &error, stands ? "; the run goes on and will try to save again" : "");
        if (!stands) return false;
        if (kind->warn && !training->quiet) kind->warn(training);
        show_epoch(training);
    }
    return true;
}

static bool save(struct training *training)
{
    egg_error error;
    if (training->state.epoch == 0 || training->kind->save(training, &error) == EGG_OK) return true;
    complain(training, &error, "");
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- end */

/* 'ran': no epoch failed. 'saved': all that was trained is in the folder. */
static void print_end(const struct training *training, const struct command *command, bool ran, bool saved)
{
    const struct training_kind *kind = training->kind;
    const struct folder *folder = &training->folder;
    if (training->state.epoch) kind->print_result(training);
    if (!saved) {
        folder_print(folder, "not saved    ", " holds an earlier state of the run, if any");
    } else if (!ran || training->state.stopped) {
        printf("stopped      and saved; to go on:\n  eggroll %s", command->name);
        folder_print(folder, " --resume ", "");
    } else if (training->state.epoch == 0) {
        printf("\nThe budget of this run is used; name a larger one with %s.\n", kind->budget);
    } else {
        folder_print(folder, "run          ", "");
        for (size_t i = 0; kind->hints[i].before; i++)
            folder_print(folder, kind->hints[i].before, kind->hints[i].after);
    }
}

static int run_opened(struct training *training, const struct command *command)
{
    interrupt_catch();
    if (!training->quiet) print_header(training);
    progress_open(&training->progress, training->quiet);
    bool ran = run_epochs(training), saved = save(training);
    progress_clear(&training->progress);
    if (!training->quiet) print_end(training, command, ran, saved);
    if (!ran || !saved) return STATUS_FAILURE;
    return interrupt_signal() ? STATUS_SIGNAL + interrupt_signal() : STATUS_OK;
}

/* From opening to closing; an exit status. */
static int run_once(struct training *training, const struct invocation *invocation)
{
    egg_error error;
    if (training->kind->open(training, invocation, &error) != EGG_OK) {
        folder_unclaim(&training->folder);
        return report(invocation->command, &error);
    }
    int status = run_opened(training, invocation->command);
    training->kind->close(training);
    return status;
}

int training_run(const struct training_kind *kind, void *own, const struct invocation *invocation)
{
    struct training training = {.kind = kind, .own = own};
    egg_options *resuming = NULL;
    training.quiet = egg_rank() > 0 || strcmp(egg_options_get(invocation->options, "quiet"), "true") == 0;
    int status = folder_choose(&training.folder, invocation->command, invocation->options);
    if (status != STATUS_OK) return status;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);   /* so that a log is up to date */
    status = run_once(&training, invocation);
    while (status == STATUS_FAILURE && folder_goes_on(&training.folder, invocation, &resuming)) {
        training = (struct training){.kind = kind, .own = own, .folder = training.folder, .quiet = training.quiet};
        status = run_once(&training, &(struct invocation){.command = invocation->command, .options = resuming});
    }
    egg_options_free(resuming);
    return status;
}
