/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "folder.h"
#include "interrupt.h"
#include "listing.h"
#include "progress.h"
#include "text.h"

struct run {
    const struct command *command;
    egg_trainer *trainer;
    struct folder folder;
    bool quiet;
    struct progress progress;
    egg_epoch_stats stats;         /* of the last epoch; all zero before the first */
};

/* ---------------------------------------------------------------------------------------------------------- header */

static void print_parameters(const struct run *run)
{
    char path[FOLDER_BYTES + 32], value[64], scaled[TEXT_BYTES], *json;
    snprintf(path, sizeof path, "%s/model.safetensors", run->folder.path);
    if (egg_describe(path, &json, NULL) != EGG_OK) return;
    if (listing_find(json, "parameters", value, sizeof value))
        printf(", %s int8 parameters", text_scaled(scaled, strtod(value, NULL), ""));
    egg_text_free(json);
}

static void print_machine(const struct run *run)
{
    char level[64] = "?", threads[64], *json;
    snprintf(threads, sizeof threads, "%s", egg_trainer_option(run->trainer, "threads"));
    bool all = strcmp(threads, "0") == 0;
    if (egg_build_info(&json, NULL) == EGG_OK) {
        listing_find(json, "kernel_level_in_use", level, sizeof level);
        if (all) all = !listing_find(json, "processors", threads, sizeof threads);
        egg_text_free(json);
    }
    if (egg_rank_count() > 1) printf("ranks        %u\n", egg_rank_count());
    printf("machine      %s kernels, %s thread%s\n", level, all ? "all" : threads,
           strcmp(threads, "1") == 0 ? "" : "s");
}

static void print_option(const struct run *run, const char *before, const char *name, const char *after)
{
    printf("%s%s%s", before, egg_trainer_option(run->trainer, name), after);
}

static void print_header(const struct run *run)
{
    egg_corpus_stats corpus = egg_trainer_corpus(run->trainer);
    char train[TEXT_BYTES], valid[TEXT_BYTES];
    print_option(run, "model        EGG of width ", "width", ", ");
    print_option(run, "", "layers", " deep");
    print_parameters(run);
    print_option(run, "\npopulation   ", "population", " members");
    print_option(run, ", ", "seq-len", " tokens each an epoch");
    print_option(run, ", rank ", "rank", ", ");
    print_option(run, "", "update", " updates\n");
    printf("text         %s to train on, %s to validate\n", text_scaled(train, (double)corpus.train_bytes, "B"),
           text_scaled(valid, (double)corpus.valid_bytes, "B"));
    if (corpus.valid_bytes)
        printf("entropy      unigram %.4f, bigram %.4f bits per byte of the validation text\n", corpus.unigram_bits,
               corpus.bigram_bits);
    print_machine(run);
    folder_print(&run->folder, run->folder.resumed ? "resumed run  " : "run          ", "");
    folder_print_journal(egg_trainer_journal(run->trainer));
    fflush(stdout);
}

/* ---------------------------------------------------------------------------------------------------------- epochs */

static void complain(struct run *run, const egg_error *error, const char *consequence)
{
    if (!speaks(error)) return;
    progress_clear(&run->progress);
    fflush(stdout);
    fprintf(stderr, "eggroll: %s%s\n", error->text, consequence);
}

static void show_epoch(struct run *run)
{
    const egg_epoch_stats *stats = &run->stats;
    const struct progress *progress = &run->progress;
    char line[160], title[160], valid[TEXT_BYTES], tokens[TEXT_BYTES], bytes[TEXT_BYTES];
    char elapsed[TEXT_BYTES], left[TEXT_BYTES];
    if (!progress_due(&run->progress, stats->epoch, stats->validated)) return;
    snprintf(title, sizeof title, "\n%7s %6s %15s %8s %8s %7s\n%7s %6s %7s %7s %8s %8s %7s %8s %8s\n", "", "",
             "bits per byte", "member", "text", "weights", "epoch", "done", "train", "valid", "tokens/s", "bytes/s",
             "moved", "elapsed", "left");
    snprintf(line, sizeof line, "%7llu %5.1f%% %7.4f %7s %8s %8s %6.2f%% %8s %8s", (unsigned long long)stats->epoch,
             100 * stats->progress, stats->train_bits_per_byte, text_bits(valid, stats->valid_bits_per_byte),
             text_scaled(tokens, progress_rate(progress, stats->member_tokens), ""),
             text_scaled(bytes, progress_rate(progress, stats->text_bytes), ""), 100 * stats->weights_moved,
             text_duration(elapsed, stats->seconds),
             text_duration(left, stats->progress > 0 ? stats->seconds * (1 - stats->progress) / stats->progress : NAN));
    progress_show(&run->progress, title, line, stats->validated);
}

/* Until the budget is used or someone wants an end, on any rank; false: an epoch failed. */
static bool run_epochs(struct run *run)
{
    while (!egg_trainer_finished(run->trainer)) {
        egg_error error;
        uint64_t before = run->stats.epoch;
        egg_status status = egg_trainer_epoch(run->trainer, &run->stats, &error);
        bool stands = status == EGG_OK || run->stats.epoch > before;   /* then only a save failed */
        if (status != EGG_OK) complain(run, &error, stands ? "; the run goes on and will try to save again" : "");
        if (!stands) return false;
        show_epoch(run);
    }
    return true;
}

static bool save(struct run *run)
{
    egg_error error;
    if (run->stats.epoch == 0 || egg_trainer_save(run->trainer, &error) == EGG_OK) return true;
    complain(run, &error, "");
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- end */

static void print_result(const struct run *run)
{
    const egg_epoch_stats *stats = &run->stats;
    egg_corpus_stats corpus = egg_trainer_corpus(run->trainer);
    char tokens[TEXT_BYTES], text[TEXT_BYTES];
    puts("");
    if (isfinite(stats->valid_bits_per_byte))
        printf("validation   %.4f bits per byte (unigram %.4f, bigram %.4f)\n", stats->valid_bits_per_byte,
               corpus.unigram_bits, corpus.bigram_bits);
    printf("read         %s member tokens, %s of text, in %.1f seconds and %llu epochs\n",
           text_scaled(tokens, (double)stats->member_tokens, ""), text_scaled(text, (double)stats->text_bytes, "B"),
           stats->seconds, (unsigned long long)stats->epoch);
}

/* 'ran': no epoch failed. 'saved': all that was trained is in the folder. */
static void print_end(const struct run *run, bool ran, bool saved)
{
    if (run->stats.epoch) print_result(run);
    if (!saved) {
        folder_print(&run->folder, "not saved    ", " holds an earlier state of the run, if any");
    } else if (!ran || run->stats.stopped) {
        puts("stopped      and saved; to go on:");
        folder_print(&run->folder, "  eggroll pretrain --resume ", "");
    } else if (run->stats.epoch == 0) {
        puts("\nThe budget of this run is used; name a larger one with --epochs, --member-tokens or --minutes.");
    } else {
        folder_print(&run->folder, "run          ", "");
        folder_print(&run->folder, "what next    eggroll generate ", " --prompt 'The '");
        folder_print(&run->folder, "             eggroll eval ", " FILE");
        folder_print(&run->folder, "             eggroll info ", "");
    }
}

static int run_trainer(struct run *run)
{
    interrupt_catch();
    egg_trainer_stop_when(run->trainer, interrupt_wanted, NULL);
    if (!run->quiet) print_header(run);
    progress_open(&run->progress, run->quiet);
    bool ran = run_epochs(run), saved = save(run);
    progress_clear(&run->progress);
    if (!run->quiet) print_end(run, ran, saved);
    if (!ran || !saved) return STATUS_FAILURE;
    return interrupt_signal() ? STATUS_SIGNAL + interrupt_signal() : STATUS_OK;
}

static int pretrain(const struct invocation *invocation)
{
    struct run run = {.command = invocation->command};
    egg_options *options = invocation->options;
    egg_error error;
    run.quiet = egg_rank() > 0 || strcmp(egg_options_get(options, "quiet"), "true") == 0;
    if (!*egg_options_get(options, "resume") && invocation->operand_count == 0)
        return report_usage(run.command, "DATA is missing: a text file or folder to train on, or --resume RUN");
    int status = folder_choose(&run.folder, run.command, options);
    if (status != STATUS_OK) return status;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);   /* so that a log is up to date */
    if (egg_trainer_open(&run.trainer, options, invocation->operands, invocation->operand_count, &error) == EGG_OK) {
        status = run_trainer(&run);
        egg_trainer_close(run.trainer);
    } else {
        folder_unclaim(&run.folder);
        status = report(run.command, &error);
    }
    return status;
}

const struct command command_pretrain = {
    .name = "pretrain",
    .summary = "train a language model on text",
    .synopsis = {"DATA... [--out RUN] [option...]", "--resume RUN [option...]"},
    .operands = {"DATA"},
    .many = true,
    .description =
        "Trains an EGG language model, a recurrent network of 8-bit integers, on the bytes of DATA by evolution: every "
        "epoch a population of perturbed copies of the model reads text, and the weights move toward the perturbations "
        "that predicted it better. There are no gradients and no floating point numbers in it.\n\n"
        "DATA are text files, folders (read whole), .jsonl files whose lines hold a text, any of these packed as .gz "
        "or .zst, or - for standard input. A run keeps itself in the folder RUN, by default runs/DATE-TIME: its "
        "configuration, the model, what resuming needs, and its metrics. An interrupted run (Ctrl-C, a signal, a "
        "crash) goes on with --resume; if epochs or member tokens bound it, it ends with the very bits that it would "
        "have had without the interruption.",
    .examples = {{"eggroll pretrain book.txt --minutes 5 --out runs/first", "five minutes on all processors"},
                 {"eggroll pretrain corpus/ --width 128 --layers 2 --member-tokens 64M --out runs/second",
                  "a larger model with a fixed amount of work: the same bits on every machine"},
                 {"eggroll pretrain --resume runs/second --member-tokens 128M", "goes on to twice the work"}},
    .run = pretrain,
};
