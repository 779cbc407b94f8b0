/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "interrupt.h"
#include "text.h"
#include "training.h"

struct rl {
    egg_rl *handle;
    egg_rl_stats stats;            /* of the last epoch; all zero before the first */
};

/* ---------------------------------------------------------------------------------------------------------- header */

static void print_header(const struct training *training)
{
    const struct rl *run = training->own;
    char parameters[TEXT_BYTES];
    training_print_option(training, "environment  ", "env", "\n");
    training_print_option(training, "policy       ", "policy", "");
    training_print_option(training, ", ", "policy-layers", "");
    training_print_option(training, " x ", "policy-width", " ");
    training_print_option(training, "", "activation", "");
    printf(", %s parameters\n", text_scaled(parameters, (double)egg_rl_parameters(run->handle), ""));
    training_print_option(training, "population   ", "population", " members");
    training_print_option(training, ", ", "episodes", " episode(s) each");
    training_print_option(training, ", ", "algorithm", "");
    training_print_option(training, " of rank ", "rank", "");
    training_print_option(training, ", sigma ", "sigma", "\n");
    training_print_option(training, "optimizer    ", "optimizer", "");
    training_print_option(training, ", rate ", "rate", "");
    training_print_option(training, ", ", "shaping", " shaping\n");
    if (egg_rank_count() > 1) printf("ranks        %u\n", egg_rank_count());
}

/* ------------------------------------------------------------------------------------------------------------- run */

static egg_status open_run(struct training *training, const struct invocation *invocation, egg_error *error)
{
    struct rl *run = training->own;
    egg_status status = egg_rl_open(&run->handle, invocation->options, error);
    if (status != EGG_OK) return status;
    egg_rl_stop_when(run->handle, interrupt_wanted, NULL);
    training->state.finished = egg_rl_finished(run->handle);
    training->journal = egg_rl_journal(run->handle);
    training->columns[0] = "  return of members and mean             steps";
    training->columns[1] = "     mean      best    policy    steps a second";
    return EGG_OK;
}

static void close_run(struct training *training)
{
    struct rl *run = training->own;
    egg_rl_close(run->handle);
}

static const char *option(const struct training *training, const char *name)
{
    const struct rl *run = training->own;
    return egg_rl_option(run->handle, name);
}

static egg_status run_epoch(struct training *training, egg_error *error)
{
    struct rl *run = training->own;
    const egg_rl_stats *stats = &run->stats;
    egg_status status = egg_rl_epoch(run->handle, &run->stats, error);
    training->state = (struct training_state){.epoch = stats->epoch, .progress = stats->progress,
                                              .seconds = stats->seconds, .stopped = stats->stopped,
                                              .finished = egg_rl_finished(run->handle), .kept = stats->evaluated};
    return status;
}

static egg_status save(struct training *training, egg_error *error)
{
    struct rl *run = training->own;
    return egg_rl_save(run->handle, error);
}

static void warn_of_invalid(struct training *training)
{
    const struct rl *run = training->own;
    if (run->stats.invalid)
        training_warn(training, "epoch %llu: %llu episodes gave a reward or observation that is not finite; their "
                                "members count as the worst",
                      (unsigned long long)run->stats.epoch, (unsigned long long)run->stats.invalid);
}

/* ---------------------------------------------------------------------------------------------------------- result */

static const char *return_text(char out[TEXT_BYTES], double value)
{
    if (isfinite(value)) snprintf(out, TEXT_BYTES, "%.*f", fabs(value) < 100 ? 3 : 1, value);
    else snprintf(out, TEXT_BYTES, "-");
    return out;
}

static void write_line(const struct training *training, char line[TRAINING_LINE_BYTES])
{
    const struct rl *run = training->own;
    const egg_rl_stats *stats = &run->stats;
    char mean[TEXT_BYTES], best[TEXT_BYTES], eval[TEXT_BYTES], steps[TEXT_BYTES], rate[TEXT_BYTES];
    snprintf(line, TRAINING_LINE_BYTES, "%9s %9s %9s %8s %8s", return_text(mean, stats->return_mean),
             return_text(best, stats->return_best), return_text(eval, stats->eval_return),
             text_scaled(steps, (double)stats->env_steps, ""),
             text_scaled(rate, progress_rate(&training->progress, stats->env_steps), ""));
}

static void print_result(const struct training *training)
{
    const struct rl *run = training->own;
    const egg_rl_stats *stats = &run->stats;
    char steps[TEXT_BYTES], value[TEXT_BYTES];
    printf("\nevaluation   mean return %s of the unperturbed policy\n", return_text(value, stats->eval_return));
    printf("played       %s steps in %.1f seconds and %llu epochs\n", text_scaled(steps, (double)stats->env_steps, ""),
           stats->seconds, (unsigned long long)stats->epoch);
}

/* --------------------------------------------------------------------------------------------------------- command */

static int set_environment(const struct invocation *invocation)
{
    egg_error error;
    bool resumes = *egg_options_get(invocation->options, "resume");
    if (invocation->operand_count) {
        if (resumes) return report_usage(invocation->command, "'%s': a resumed run has its environment already",
                                         invocation->operands[0]);
        if (egg_options_set(invocation->options, "env", invocation->operands[0], &error) != EGG_OK)
            return report(invocation->command, &error);
    }
    if (!resumes && !*egg_options_get(invocation->options, "env"))
        return report_usage(invocation->command,
                            "ENV is missing: a name that `eggroll envs` lists, a plug-in, or --resume RUN");
    return STATUS_OK;
}

static int show_plan(const struct invocation *invocation)
{
    egg_error error;
    egg_plan plan;
    egg_status status = egg_rl_plan(&plan, invocation->options, &error);
    if (plan.count && egg_rank() == 0) print_plan(&plan, status == EGG_OK);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

static int rl(const struct invocation *invocation)
{
    static const struct training_kind kind = {
        .open = open_run,
        .close = close_run,
        .option = option,
        .run_epoch = run_epoch,
        .save = save,
        .print_header = print_header,
        .warn = warn_of_invalid,
        .write_line = write_line,
        .print_result = print_result,
        .budget = "--epochs, --env-steps or --minutes",
        .hints = {{"what next    eggroll eval ", " --episodes 100"},
                  {"             eggroll play ", ""},
                  {"             eggroll export ", " --out policy.h"}},
    };
    struct rl run = {0};
    int status = set_environment(invocation);
    if (status != STATUS_OK) return status;
    if (strcmp(egg_options_get(invocation->options, "plan"), "true") == 0) return show_plan(invocation);
    return training_run(&kind, &run, invocation);
}

const struct command command_rl = {
    .name = "rl",
    .summary = "train a policy in an environment",
    .synopsis = {"ENV [--out RUN] [option...]", "--resume RUN [option...]"},
    .operands = {"ENV"},
    .description =
        "Trains a policy from nothing by evolution: every epoch a population of perturbed copies of a small network "
        "plays episodes of ENV, and the network moves toward the perturbations that earned the higher returns. Nothing "
        "is differentiated.\n\n"
        "ENV is one of the environments that `eggroll envs` lists, or a shared library of your own (./my_env.so; "
        "eggroll.h describes what it exports). Where a preset was found for an environment it fills in what you do not "
        "give; --preset none leaves the defaults. A run keeps itself in the folder RUN, by default runs/DATE-TIME, and "
        "goes on with --resume; bounded by epochs or steps it ends with the very bits that it would have had without "
        "the interruption.\n\n"
        "With --weights bf16 or int8 members multiply with rounded copies of the matrices, on a GPU by its tensor cores. "
        "What evolves, and what is saved, are the float32 weights behind them.",
    .examples = {{"eggroll rl CartPole-v1", "train with the preset of the environment"},
                 {"eggroll rl Pendulum-v1 --population 512 --sigma 0.1 --rate 0.05 --minutes 5 --out runs/pendulum",
                  "with settings of your own"},
                 {"eggroll rl CartPole-v1 --algorithm openes", "full-rank noise, to compare with"}},
    .run = rl,
};
