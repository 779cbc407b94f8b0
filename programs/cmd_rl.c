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
    egg_rl *rl;
    struct folder folder;
    bool quiet;
    struct progress progress;
    egg_rl_stats stats;            /* of the last epoch; all zero before the first */
};

/* ---------------------------------------------------------------------------------------------------------- header */

static void print_option(const struct run *run, const char *before, const char *name, const char *after)
{
    printf("%s%s%s", before, egg_rl_option(run->rl, name), after);
}

static void print_header(const struct run *run)
{
    char parameters[TEXT_BYTES];
    print_option(run, "environment  ", "env", "\n");
    print_option(run, "policy       ", "policy", "");
    print_option(run, ", ", "policy-layers", "");
    print_option(run, " x ", "policy-width", " ");
    print_option(run, "", "activation", "");
    printf(", %s parameters\n", text_scaled(parameters, (double)egg_rl_parameters(run->rl), ""));
    print_option(run, "population   ", "population", " members");
    print_option(run, ", ", "episodes", " episode(s) each");
    print_option(run, ", ", "algorithm", "");
    print_option(run, " of rank ", "rank", "");
    print_option(run, ", sigma ", "sigma", "\n");
    print_option(run, "optimizer    ", "optimizer", "");
    print_option(run, ", rate ", "rate", "");
    print_option(run, ", ", "shaping", " shaping\n");
    if (egg_rank_count() > 1) printf("ranks        %u\n", egg_rank_count());
    folder_print(&run->folder, run->folder.resumed ? "resumed run  " : "run          ", "");
    folder_print_journal(egg_rl_journal(run->rl));
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

static const char *return_text(char out[TEXT_BYTES], double value)
{
    if (isfinite(value)) snprintf(out, TEXT_BYTES, "%.*f", fabs(value) < 100 ? 3 : 1, value);
    else snprintf(out, TEXT_BYTES, "-");
    return out;
}

static void show_epoch(struct run *run)
{
    const egg_rl_stats *stats = &run->stats;
    char line[160], title[160], mean[TEXT_BYTES], best[TEXT_BYTES], eval[TEXT_BYTES], steps[TEXT_BYTES],
         rate[TEXT_BYTES];
    char elapsed[TEXT_BYTES], left[TEXT_BYTES];
    if (!progress_due(&run->progress, stats->epoch, stats->evaluated)) return;
    snprintf(title, sizeof title, "\n%7s %6s %28s %8s %8s\n%7s %6s %9s %9s %9s %8s %8s %8s %8s\n", "", "",
             "return of members and mean", "", "steps", "epoch", "done", "mean", "best", "policy", "steps", "a second",
             "elapsed", "left");
    snprintf(line, sizeof line, "%7llu %5.1f%% %9s %9s %9s %8s %8s %8s %8s", (unsigned long long)stats->epoch,
             100 * stats->progress, return_text(mean, stats->return_mean), return_text(best, stats->return_best),
             return_text(eval, stats->eval_return), text_scaled(steps, (double)stats->env_steps, ""),
             text_scaled(rate, progress_rate(&run->progress, stats->env_steps), ""),
             text_duration(elapsed, stats->seconds),
             text_duration(left, stats->progress > 0 ? stats->seconds * (1 - stats->progress) / stats->progress : NAN));
    progress_show(&run->progress, title, line, stats->evaluated);
}

static void warn_of_invalid(struct run *run)
{
    if (!run->stats.invalid || run->quiet) return;
    progress_clear(&run->progress);
    fprintf(stderr, "eggroll: epoch %llu: %llu episodes gave a reward or observation that is not finite; their members "
                    "count as the worst\n",
            (unsigned long long)run->stats.epoch, (unsigned long long)run->stats.invalid);
}

/* Until the budget is used or someone wants an end, on any rank; false: an epoch failed. */
static bool run_epochs(struct run *run)
{
    while (!egg_rl_finished(run->rl)) {
        egg_error error;
        uint64_t before = run->stats.epoch;
        egg_status status = egg_rl_epoch(run->rl, &run->stats, &error);
        bool stands = status == EGG_OK || run->stats.epoch > before;   /* then only a save failed */
        if (status != EGG_OK) complain(run, &error, stands ? "; the run goes on and will try to save again" : "");
        if (!stands) return false;
        warn_of_invalid(run);
        show_epoch(run);
    }
    return true;
}

static bool save(struct run *run)
{
    egg_error error;
    if (run->stats.epoch == 0 || egg_rl_save(run->rl, &error) == EGG_OK) return true;
    complain(run, &error, "");
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- end */

static void print_end(const struct run *run, bool ran, bool saved)
{
    const egg_rl_stats *stats = &run->stats;
    char steps[TEXT_BYTES], value[TEXT_BYTES];
    if (stats->epoch)
        printf("\nevaluation   mean return %s of the unperturbed policy\nplayed       %s steps in %.1f seconds and %llu epochs\n",
               return_text(value, stats->eval_return), text_scaled(steps, (double)stats->env_steps, ""), stats->seconds,
               (unsigned long long)stats->epoch);
    if (!saved) {
        folder_print(&run->folder, "not saved    ", " holds an earlier state of the run, if any");
    } else if (!ran || run->stats.stopped) {
        puts("stopped      and saved; to go on:");
        folder_print(&run->folder, "  eggroll rl --resume ", "");
    } else if (stats->epoch == 0) {
        puts("\nThe budget of this run is used; name a larger one with --epochs, --env-steps or --minutes.");
    } else {
        folder_print(&run->folder, "run          ", "");
        folder_print(&run->folder, "what next    eggroll eval ", " --episodes 100");
        folder_print(&run->folder, "             eggroll play ", "");
        folder_print(&run->folder, "             eggroll export ", " --out policy.h");
    }
}

static int run_rl(struct run *run)
{
    interrupt_catch();
    egg_rl_stop_when(run->rl, interrupt_wanted, NULL);
    if (!run->quiet) print_header(run);
    progress_open(&run->progress, run->quiet);
    bool ran = run_epochs(run), saved = save(run);
    progress_clear(&run->progress);
    if (!run->quiet) print_end(run, ran, saved);
    if (!ran || !saved) return STATUS_FAILURE;
    return interrupt_signal() ? STATUS_SIGNAL + interrupt_signal() : STATUS_OK;
}

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

static int rl(const struct invocation *invocation)
{
    struct run run = {.command = invocation->command};
    egg_options *options = invocation->options;
    egg_error error;
    run.quiet = egg_rank() > 0 || strcmp(egg_options_get(options, "quiet"), "true") == 0;
    int status = set_environment(invocation);
    if (status == STATUS_OK) status = folder_choose(&run.folder, run.command, options);
    if (status != STATUS_OK) return status;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);   /* so that a log is up to date */
    if (egg_rl_open(&run.rl, options, &error) == EGG_OK) {
        status = run_rl(&run);
        egg_rl_close(run.rl);
    } else {
        folder_unclaim(&run.folder);
        status = report(run.command, &error);
    }
    return status;
}

const struct command command_rl = {
    .name = "rl",
    .summary = "train a policy in an environment",
    .synopsis = {"ENV [--out RUN] [option...]", "--resume RUN [option...]"},
    .operands = {"ENV"},
    .description =
        "Trains a policy from nothing by evolution: every epoch a population of perturbed copies of a small network plays "
        "episodes of ENV, and the network moves toward the perturbations that earned the higher returns. Nothing is "
        "differentiated.\n\n"
        "ENV is one of the environments that `eggroll envs` lists, or a shared library of your own (./my_env.so; "
        "eggroll.h describes what it exports). Where a preset was found for an environment it fills in what you do not "
        "give; --preset none leaves the defaults. A run keeps itself in the folder RUN, by default runs/DATE-TIME, and "
        "goes on with --resume; bounded by epochs or steps it ends with the very bits that it would have had without "
        "the interruption.",
    .examples = {{"eggroll rl CartPole-v1", "train with the preset of the environment"},
                 {"eggroll rl Pendulum-v1 --population 512 --sigma 0.1 --rate 0.05 --minutes 5 --out runs/pendulum",
                  "with settings of your own"},
                 {"eggroll rl CartPole-v1 --algorithm openes", "full-rank noise, to compare with"}},
    .run = rl,
};
