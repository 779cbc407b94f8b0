/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "interrupt.h"
#include "text.h"
#include "training.h"

struct finetune {
    egg_finetune *handle;
    egg_finetune_facts facts;
    egg_finetune_stats stats;      /* of the last epoch; all zero before the first */
    double answers;                /* so far */
    uint64_t silent, warn_at;      /* epochs that were silent; how many the next warning waits for */
};

/* ---------------------------------------------------------------------------------------------------------- header */

static void print_header(const struct training *training)
{
    const struct finetune *run = training->own;
    char parameters[TEXT_BYTES], evolved[TEXT_BYTES];
    training_print_option(training, "model        ", "base", "");
    printf(", %s parameters, of which %s evolve\n", text_scaled(parameters, (double)run->facts.parameters, ""),
           text_scaled(evolved, (double)run->facts.evolved, ""));
    training_print_option(training, "task         ", "task", "");
    printf(", %llu questions to train on, %llu held out\n", (unsigned long long)run->facts.train_questions,
           (unsigned long long)run->facts.valid_questions);
    training_print_option(training, "population   ", "population", " members");
    training_print_option(training, ", ", "questions", " questions each");
    training_print_option(training, ", rank ", "rank", "");
    training_print_option(training, ", sigma ", "sigma", "\n");
    training_print_option(training, "optimizer    ", "optimizer", "");
    training_print_option(training, ", rate ", "rate", "");
    training_print_option(training, ", ", "scoring", " scoring\n");
}

/* ------------------------------------------------------------------------------------------------------------- run */

static egg_status open_run(struct training *training, const struct invocation *invocation, egg_error *error)
{
    struct finetune *run = training->own;
    egg_status status = egg_finetune_open(&run->handle, invocation->options, error);
    if (status != EGG_OK) return status;
    egg_finetune_stop_when(run->handle, interrupt_wanted, NULL);
    run->facts = egg_finetune_about(run->handle);
    training->state.finished = egg_finetune_finished(run->handle);
    training->journal = egg_finetune_journal(run->handle);
    training->columns[0] = "  reward of members            equal          tokens a second";
    training->columns[1] = run->facts.lower_is_better
                               ? "     mean      best bits/byte quest. length  prompts  answers"
                               : "     mean      best  held out quest. length  prompts  answers";
    return EGG_OK;
}

static void close_run(struct training *training)
{
    struct finetune *run = training->own;
    egg_finetune_close(run->handle);
}

static const char *option(const struct training *training, const char *name)
{
    const struct finetune *run = training->own;
    return egg_finetune_option(run->handle, name);
}

static egg_status run_epoch(struct training *training, egg_error *error)
{
    struct finetune *run = training->own;
    const egg_finetune_stats *stats = &run->stats;
    egg_status status = egg_finetune_epoch(run->handle, &run->stats, error);
    if (stats->epoch > training->state.epoch) {
        run->answers += (double)stats->answers;
        run->silent += stats->silent_epochs > 0;
    }
    training->state = (struct training_state){.epoch = stats->epoch, .progress = stats->progress,
                                              .seconds = stats->seconds, .stopped = stats->stopped,
                                              .finished = egg_finetune_finished(run->handle),
                                              .kept = stats->validated};
    return status;
}

static egg_status save(struct training *training, egg_error *error)
{
    struct finetune *run = training->own;
    return egg_finetune_save(run->handle, error);
}

/* Nothing moves where nobody did better than anybody else: says so, at once and then ever less often. */
static void warn_of_silence(struct training *training)
{
    struct finetune *run = training->own;
    const egg_finetune_stats *stats = &run->stats;
    if (stats->silent_epochs == 0 || run->silent < run->warn_at) return;
    run->warn_at = 4 * run->silent;
    training_warn(training,
                  "epoch %llu: every member got the same rewards, %g on average, so there is nothing to learn from "
                  "(%llu such epochs so far); raise --questions, --temperature or --sigma, or grade in finer steps%s",
                  (unsigned long long)stats->epoch, stats->reward_mean, (unsigned long long)run->silent,
                  stats->reward_best != 0
                      ? ""
                      : "; a model that does not know the form of an answer learns it with --task sft");
}

/* ---------------------------------------------------------------------------------------------------------- result */

static const char *score_text(char out[TEXT_BYTES], double value)
{
    if (isfinite(value)) snprintf(out, TEXT_BYTES, "%.*f", fabs(value) < 100 ? 4 : 1, value);
    else snprintf(out, TEXT_BYTES, "-");
    return out;
}

static void write_line(const struct training *training, char line[TRAINING_LINE_BYTES])
{
    const struct finetune *run = training->own;
    const egg_finetune_stats *stats = &run->stats;
    char mean[TEXT_BYTES], best[TEXT_BYTES], valid[TEXT_BYTES], prompts[TEXT_BYTES], answers[TEXT_BYTES];
    snprintf(line, TRAINING_LINE_BYTES, "%9s %9s %9s %5.0f%% %6.1f %8s %8s", score_text(mean, stats->reward_mean),
             score_text(best, stats->reward_best), score_text(valid, stats->valid), 100 * stats->equal_questions,
             stats->answer_tokens, text_scaled(prompts, stats->prompt_rate, ""),
             text_scaled(answers, stats->answer_rate, ""));
}

static void print_result(const struct training *training)
{
    const struct finetune *run = training->own;
    const egg_finetune_stats *stats = &run->stats;
    const char *unit = run->facts.lower_is_better ? "bits a byte" : "mean reward";
    char base[TEXT_BYTES], valid[TEXT_BYTES], best[TEXT_BYTES], answers[TEXT_BYTES];
    printf("\nheld out     %s %s, %s before; best %s after epoch %llu\n", score_text(valid, stats->valid), unit,
           score_text(base, stats->base_valid), score_text(best, stats->best_valid),
           (unsigned long long)stats->best_epoch);
    printf("evaluated    %s answers in %.1f seconds and %llu epochs\n", text_scaled(answers, run->answers, ""),
           stats->seconds, (unsigned long long)stats->epoch);
}

/* --------------------------------------------------------------------------------------------------------- command */

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
    if (plan.count && egg_rank() == 0) print_plan(&plan, status == EGG_OK);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

static int finetune(const struct invocation *invocation)
{
    static const struct training_kind kind = {
        .open = open_run,
        .close = close_run,
        .option = option,
        .run_epoch = run_epoch,
        .save = save,
        .print_header = print_header,
        .warn = warn_of_silence,
        .write_line = write_line,
        .print_result = print_result,
        .budget = "--epochs or --minutes",
        .hints = {{"what next    eggroll generate ", " --prompt 'Once'"}},
    };
    struct finetune run = {.warn_at = 1};
    int status = set_model(invocation);
    if (status != STATUS_OK) return status;
    if (strcmp(egg_options_get(invocation->options, "plan"), "true") == 0) return show_plan(invocation);
    return training_run(&kind, &run, invocation);
}

const struct command command_finetune = {
    .name = "finetune",
    .summary = "fine-tune an RWKV-7 language model by reward",
    .synopsis = {"MODEL --task TASK [--data FILE] [--out RUN] [option...]", "--resume RUN [option...]"},
    .operands = {"MODEL"},
    .description =
        "Moves the weights of MODEL, a published RWKV-7 (.safetensors), toward higher rewards. Every epoch a "
        "population of perturbed copies answers the same questions, and the model moves toward the perturbations whose "
        "answers earned more. Nothing is differentiated, so that a reward can be any program.\n\n"
        "Tasks. sft makes given texts likelier: --data is JSON lines {\"prompt\", \"completion\"}, or a text that is "
        "cut into pieces. countdown makes its own questions: reach a number from others. gsm8k reads JSON lines "
        "{\"question\", \"answer\"} and compares final numbers. jsonl reads {\"prompt\", ...} and asks a reward of "
        "yours: with --reward 'CMD' a program that reads one JSON line {\"id\", \"prompt\", \"completion\", \"row\"} "
        "and replies {\"id\", \"reward\"}, until its input ends; with --reward-lib FILE a shared library, which "
        "eggroll.h describes.\n\n"
        "The defaults are the paper's, for large models. For models of up to 256 channels other ones are filled in that "
        "suit them, unless --preset none; of countdown they ask for puzzles of four numbers, of 1 to 5.\n\n"
        "A model whose vocabulary is not bytes needs it as --vocab FILE. A run keeps itself in the folder RUN, by "
        "default runs/DATE-TIME: model.safetensors is the last model, best.safetensors the one that did best on "
        "held-out questions, both in the published form; journal.egg rebuilds the last from MODEL with "
        "`eggroll patch`. A run goes on with --resume and ends with the very bits that it would have had without the "
        "interruption, as far as its reward is reproducible.\n\n"
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
