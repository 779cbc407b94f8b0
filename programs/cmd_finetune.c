/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "folder.h"
#include "interrupt.h"
#include "progress.h"
#include "text.h"

struct run {
    const struct command *command;
    egg_finetune *finetune;
    egg_finetune_facts facts;
    struct folder folder;
    bool quiet;
    struct progress progress;
    egg_finetune_stats stats;      /* of the last epoch; all zero before the first */
    double answers;                /* so far */
    uint64_t silent, warn_at;      /* epochs that were silent; how many the next warning waits for */
};

/* ---------------------------------------------------------------------------------------------------------- header */

static void print_option(const struct run *run, const char *before, const char *name, const char *after)
{
    printf("%s%s%s", before, egg_finetune_option(run->finetune, name), after);
}

static void print_header(const struct run *run)
{
    char parameters[TEXT_BYTES], evolved[TEXT_BYTES];
    print_option(run, "model        ", "base", "");
    printf(", %s parameters, of which %s evolve\n", text_scaled(parameters, (double)run->facts.parameters, ""),
           text_scaled(evolved, (double)run->facts.evolved, ""));
    print_option(run, "task         ", "task", "");
    printf(", %llu questions to train on, %llu held out\n", (unsigned long long)run->facts.train_questions,
           (unsigned long long)run->facts.valid_questions);
    print_option(run, "population   ", "population", " members");
    print_option(run, ", ", "questions", " questions each");
    print_option(run, ", rank ", "rank", "");
    print_option(run, ", sigma ", "sigma", "\n");
    print_option(run, "optimizer    ", "optimizer", "");
    print_option(run, ", rate ", "rate", "");
    print_option(run, ", ", "scoring", " scoring\n");
    folder_print(&run->folder, run->folder.resumed ? "resumed run  " : "run          ", "");
    folder_print_journal(egg_finetune_journal(run->finetune));
    fflush(stdout);
}

/* ---------------------------------------------------------------------------------------------------------- epochs */

static void complain(struct run *run, const egg_error *error, const char *consequence)
{
    progress_clear(&run->progress);
    fflush(stdout);
    fprintf(stderr, "eggroll: %s%s\n", error->text, consequence);
}

static const char *score_text(char out[TEXT_BYTES], double value)
{
    if (isfinite(value)) snprintf(out, TEXT_BYTES, "%.*f", fabs(value) < 100 ? 4 : 1, value);
    else snprintf(out, TEXT_BYTES, "-");
    return out;
}

static void show_epoch(struct run *run)
{
    const egg_finetune_stats *stats = &run->stats;
    const char *valid = run->facts.lower_is_better ? "bits/byte" : "held out";
    char line[240], title[240], mean[TEXT_BYTES], best[TEXT_BYTES], score[TEXT_BYTES], prompts[TEXT_BYTES],
        rate[TEXT_BYTES];
    char elapsed[TEXT_BYTES], left[TEXT_BYTES];
    if (!progress_due(&run->progress, stats->epoch, stats->validated)) return;
    snprintf(title, sizeof title, "\n%7s %6s %19s %9s %6s %6s %17s\n%7s %6s %9s %9s %9s %6s %6s %8s %8s %8s %8s\n", "",
             "", "reward of members", "", "equal", "", "tokens a second", "epoch", "done", "mean", "best", valid,
             "quest.", "length", "prompts", "answers", "elapsed", "left");
    snprintf(line, sizeof line, "%7llu %5.1f%% %9s %9s %9s %5.0f%% %6.1f %8s %8s %8s %8s",
             (unsigned long long)stats->epoch, 100 * stats->progress, score_text(mean, stats->reward_mean),
             score_text(best, stats->reward_best), score_text(score, stats->valid), 100 * stats->equal_questions,
             stats->answer_tokens, text_scaled(prompts, stats->prompt_rate, ""),
             text_scaled(rate, stats->answer_rate, ""), text_duration(elapsed, stats->seconds),
             text_duration(left, stats->progress > 0 ? stats->seconds * (1 - stats->progress) / stats->progress : NAN));
    progress_show(&run->progress, title, line, stats->validated);
}

/* Nothing moves where nobody did better than anybody else: says so, at once and then ever less often. */
static void warn_of_silence(struct run *run)
{
    const egg_finetune_stats *stats = &run->stats;
    run->silent += stats->silent_epochs > 0;
    if (run->quiet || stats->silent_epochs == 0 || run->silent < run->warn_at) return;
    run->warn_at = 4 * run->silent;
    progress_clear(&run->progress);
    fflush(stdout);
    fprintf(stderr,
            "eggroll: epoch %llu: every member got the same rewards, %g on average, so there is nothing to learn from "
            "(%llu such epochs so far); raise --questions, --temperature or --sigma, or grade in finer steps\n",
            (unsigned long long)stats->epoch, stats->reward_mean, (unsigned long long)run->silent);
}

/* Until the budget is used or someone wants an end; false: an epoch failed. */
static bool run_epochs(struct run *run)
{
    while (!egg_finetune_finished(run->finetune) && !interrupt_signal()) {
        egg_error error;
        uint64_t before = run->stats.epoch;
        egg_status status = egg_finetune_epoch(run->finetune, &run->stats, &error);
        bool stands = status == EGG_OK || run->stats.epoch > before;   /* then only a save failed */
        if (status != EGG_OK) complain(run, &error, stands ? "; the run goes on and will try to save again" : "");
        if (!stands) return false;
        run->answers += (double)run->stats.answers;
        warn_of_silence(run);
        show_epoch(run);
    }
    return true;
}

static bool save(struct run *run)
{
    egg_error error;
    if (run->stats.epoch == 0 || egg_finetune_save(run->finetune, &error) == EGG_OK) return true;
    complain(run, &error, "");
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- end */

static void print_end(const struct run *run, bool ran, bool saved)
{
    const egg_finetune_stats *stats = &run->stats;
    const char *unit = run->facts.lower_is_better ? "bits a byte" : "mean reward";
    char base[TEXT_BYTES], valid[TEXT_BYTES], best[TEXT_BYTES], answers[TEXT_BYTES];
    if (stats->epoch)
        printf("\nheld out     %s %s, %s before; best %s after epoch %llu\nevaluated    %s answers in %.1f seconds and "
               "%llu epochs\n",
               score_text(valid, stats->valid), unit, score_text(base, stats->base_valid),
               score_text(best, stats->best_valid), (unsigned long long)stats->best_epoch,
               text_scaled(answers, run->answers, ""), stats->seconds, (unsigned long long)stats->epoch);
    if (!saved) {
        folder_print(&run->folder, "not saved    ", " holds an earlier state of the run, if any");
    } else if (!ran || interrupt_signal()) {
        puts("stopped      and saved; to go on:");
        folder_print(&run->folder, "  eggroll finetune --resume ", "");
    } else if (stats->epoch == 0) {
        puts("\nThe budget of this run is used; name a larger one with --epochs or --minutes.");
    } else {
        folder_print(&run->folder, "run          ", "");
        folder_print(&run->folder, "what next    eggroll generate ", " --prompt 'Once'");
    }
}

static int run_finetune(struct run *run)
{
    interrupt_catch();
    run->facts = egg_finetune_about(run->finetune);
    if (!run->quiet) print_header(run);
    progress_open(&run->progress, run->quiet);
    bool ran = run_epochs(run), saved = save(run);
    progress_clear(&run->progress);
    if (!run->quiet) print_end(run, ran, saved);
    if (!ran || !saved) return STATUS_FAILURE;
    return interrupt_signal() ? STATUS_SIGNAL + interrupt_signal() : STATUS_OK;
}

static int set_model(const struct invocation *invocation)
{
    egg_error error;
    bool resumes = *egg_options_get(invocation->options, "resume");
    if (invocation->operand_count &&
        egg_options_set(invocation->options, "base", invocation->operands[0], &error) != EGG_OK)
        return report(invocation->command, &error);
    if (!resumes && !*egg_options_get(invocation->options, "base"))
        return report_usage(invocation->command, "MODEL is missing: the RWKV-7 to begin with, or --resume RUN");
    return STATUS_OK;
}

static int show_plan(const struct invocation *invocation)
{
    egg_error error;
    egg_plan plan;
    egg_status status = egg_finetune_plan(&plan, invocation->options, &error);
    if (plan.count) print_plan(&plan, status == EGG_OK);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

static int finetune(const struct invocation *invocation)
{
    struct run run = {.command = invocation->command, .warn_at = 1};
    egg_options *options = invocation->options;
    egg_error error;
    run.quiet = strcmp(egg_options_get(options, "quiet"), "true") == 0;
    int status = set_model(invocation);
    if (status == STATUS_OK && strcmp(egg_options_get(options, "plan"), "true") == 0) return show_plan(invocation);
    if (status == STATUS_OK) status = folder_choose(&run.folder, run.command, options);
    if (status != STATUS_OK) return status;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);   /* so that a log is up to date */
    if (egg_finetune_open(&run.finetune, options, &error) == EGG_OK) {
        status = run_finetune(&run);
        egg_finetune_close(run.finetune);
    } else {
        folder_unclaim(&run.folder);
        status = report(run.command, &error);
    }
    return status;
}

const struct command command_finetune = {
    .name = "finetune",
    .summary = "fine-tune an RWKV-7 language model by reward",
    .synopsis = {"MODEL --task TASK [--data FILE] [--out RUN] [option...]", "--resume RUN [option...]"},
    .operands = {"MODEL"},
    .description =
        "Moves the weights of MODEL, a published RWKV-7 (.safetensors), toward higher rewards. Every epoch a "
        "population of "
        "perturbed copies answers the same questions, and the model moves toward the perturbations whose answers "
        "earned more. "
        "Nothing is differentiated, so that a reward can be any program.\n\n"
        "Tasks. sft makes given texts likelier: --data is JSON lines {\"prompt\", \"completion\"}, or a text that is "
        "cut into "
        "pieces. countdown makes its own questions: reach a number from others. gsm8k reads JSON lines {\"question\", "
        "\"answer\"} and compares final numbers. jsonl reads {\"prompt\", ...} and asks a reward of yours: with "
        "--reward 'CMD' a "
        "program that reads one JSON line {\"id\", \"prompt\", \"completion\", \"row\"} and replies {\"id\", "
        "\"reward\"}, until its "
        "input ends; with --reward-lib FILE a shared library, which eggroll.h describes.\n\n"
        "A model whose vocabulary is not bytes needs it as --vocab FILE. A run keeps itself in the folder RUN, by "
        "default "
        "runs/DATE-TIME: model.safetensors is the last model, best.safetensors the one that did best on held-out "
        "questions, "
        "both in the published form; journal.egg rebuilds the last from MODEL with `eggroll patch`. A run goes on with "
        "--resume and ends with the very bits that it would have had without the interruption, as far as its reward is "
        "reproducible.\n\n"
        "With --weights bf16 or int8 members read rounded copies of the matrices: answers are written faster, and each "
        "weight takes 2 or 3 bytes less. What evolves, and what is saved, are the float32 weights behind them; "
        "validations score the rounded ones.",
    .examples = {{"eggroll finetune rwkv7.safetensors --task sft --data play.txt --minutes 20",
                  "specialize it to a text"},
                 {"eggroll finetune rwkv7.safetensors --task jsonl --data prompts.jsonl --reward 'python3 reward.py'",
                  "a reward of your own"},
                 {"eggroll finetune rwkv7.safetensors --task gsm8k --data train.jsonl --vocab vocab.txt --plan",
                  "would this fit?"}},
    .run = finetune,
};
