/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "interrupt.h"
#include "listing.h"
#include "text.h"
#include "training.h"

struct pretrain {
    egg_trainer *trainer;
    egg_epoch_stats stats;         /* of the last epoch; all zero before the first */
};

/* ---------------------------------------------------------------------------------------------------------- header */

static void print_parameters(const struct folder *folder)
{
    char path[FOLDER_BYTES + 32], value[64], scaled[TEXT_BYTES], *json;
    snprintf(path, sizeof path, "%s/model.safetensors", folder->path);
    if (egg_describe(path, &json, NULL) != EGG_OK) return;
    if (listing_find(json, "parameters", value, sizeof value))
        printf(", %s int8 parameters", text_scaled(scaled, strtod(value, NULL), ""));
    egg_text_free(json);
}

static void print_machine(egg_trainer *trainer)
{
    char level[64] = "?", threads[64], *json;
    snprintf(threads, sizeof threads, "%s", egg_trainer_option(trainer, "threads"));
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

static void print_header(const struct training *training)
{
    const struct pretrain *run = training->own;
    egg_corpus_stats corpus = egg_trainer_corpus(run->trainer);
    char train[TEXT_BYTES], valid[TEXT_BYTES];
    training_print_option(training, "model        EGG of width ", "width", ", ");
    training_print_option(training, "", "layers", " deep");
    print_parameters(&training->folder);
    training_print_option(training, "\npopulation   ", "population", " members");
    training_print_option(training, ", ", "seq-len", " tokens each an epoch");
    training_print_option(training, ", rank ", "rank", ", ");
    training_print_option(training, "", "update", " updates\n");
    printf("text         %s to train on, %s to validate\n", text_scaled(train, (double)corpus.train_bytes, "B"),
           text_scaled(valid, (double)corpus.valid_bytes, "B"));
    if (corpus.valid_bytes)
        printf("entropy      unigram %.4f, bigram %.4f bits per byte of the validation text\n", corpus.unigram_bits,
               corpus.bigram_bits);
    print_machine(run->trainer);
}

/* ------------------------------------------------------------------------------------------------------------- run */

static egg_status open_run(struct training *training, const struct invocation *invocation, egg_error *error)
{
    struct pretrain *run = training->own;
    egg_status status = egg_trainer_open(&run->trainer, invocation->options, invocation->operands,
                                         invocation->operand_count, error);
    if (status != EGG_OK) return status;
    egg_trainer_stop_when(run->trainer, interrupt_wanted, NULL);
    training->state.finished = egg_trainer_finished(run->trainer);
    training->journal = egg_trainer_journal(run->trainer);
    training->columns[0] = "  bits per byte   member     text weights";
    training->columns[1] = "  train   valid tokens/s  bytes/s   moved";
    return EGG_OK;
}

static void close_run(struct training *training)
{
    struct pretrain *run = training->own;
    egg_trainer_close(run->trainer);
}

static const char *option(const struct training *training, const char *name)
{
    const struct pretrain *run = training->own;
    return egg_trainer_option(run->trainer, name);
}

static egg_status run_epoch(struct training *training, egg_error *error)
{
    struct pretrain *run = training->own;
    const egg_epoch_stats *stats = &run->stats;
    egg_status status = egg_trainer_epoch(run->trainer, &run->stats, error);
    training->state = (struct training_state){.epoch = stats->epoch, .progress = stats->progress,
                                              .seconds = stats->seconds, .stopped = stats->stopped,
                                              .finished = egg_trainer_finished(run->trainer), .kept = stats->validated};
    return status;
}

static egg_status save(struct training *training, egg_error *error)
{
    struct pretrain *run = training->own;
    return egg_trainer_save(run->trainer, error);
}

/* ---------------------------------------------------------------------------------------------------------- result */

static void write_line(const struct training *training, char line[TRAINING_LINE_BYTES])
{
    const struct pretrain *run = training->own;
    const egg_epoch_stats *stats = &run->stats;
    char valid[TEXT_BYTES], tokens[TEXT_BYTES], bytes[TEXT_BYTES];
    snprintf(line, TRAINING_LINE_BYTES, "%7.4f %7s %8s %8s %6.2f%%", stats->train_bits_per_byte,
             text_bits(valid, stats->valid_bits_per_byte),
             text_scaled(tokens, progress_rate(&training->progress, stats->member_tokens), ""),
             text_scaled(bytes, progress_rate(&training->progress, stats->text_bytes), ""), 100 * stats->weights_moved);
}

static void print_result(const struct training *training)
{
    const struct pretrain *run = training->own;
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

/* --------------------------------------------------------------------------------------------------------- command */

static int pretrain(const struct invocation *invocation)
{
    static const struct training_kind kind = {
        .open = open_run,
        .close = close_run,
        .option = option,
        .run_epoch = run_epoch,
        .save = save,
        .print_header = print_header,
        .write_line = write_line,
        .print_result = print_result,
        .budget = "--epochs, --member-tokens or --minutes",
        .hints = {{"what next    eggroll generate ", " --prompt 'The '"},
                  {"             eggroll eval ", " FILE"},
                  {"             eggroll info ", ""}},
    };
    struct pretrain run = {0};
    if (!*egg_options_get(invocation->options, "resume") && invocation->operand_count == 0)
        return report_usage(invocation->command, "DATA is missing: a text file or folder to train on, or --resume RUN");
    return training_run(&kind, &run, invocation);
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
