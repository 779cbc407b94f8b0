/* SPDX-License-Identifier: MIT */
#include "train/finetune_settings.h"

#include <stdio.h>
#include <string.h>

#include "train/precision.h"
#include "train/rl_settings.h"
#include "train/rwkv7_file.h"

enum {
    PIECE = 64,                    /* tokens of a piece of text, where nobody says */
    NARROW = 256                   /* channels of a model up to which the settings of narrow ones are preferred */
};

enum { SCORING_AUTO, SCORING_GROUP, SCORING_ZSCORE, SCORING_RANK, SCORING_SIGN };   /* in the order of options.def */

/* ----------------------------------------------------------------------------------------------------------- checks */

/* "3-4", or "3" for "3-3". */
static bool read_range(const char *text, uint32_t *low, uint32_t *high)
{
    int used = 0;
    if (sscanf(text, "%9u%n", low, &used) != 1) return false;
    *high = *low;
    if (text[used] == '-') {
        text += used + 1;
        if (sscanf(text, "%9u%n", high, &used) != 1) return false;
    }
    return !text[used] && *low <= *high;
}

static egg_status check_range(const char *name, const char *text, uint32_t least, uint32_t most, egg_error *error)
{
    uint32_t low, high;
    if (read_range(text, &low, &high) && low >= least && high <= most) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT,
                    "--%s: expected two numbers of %u to %u with a dash between, as 3-4, found '%.60s'", name, least,
                    most, text);
}

static egg_status check_thaw(const char *list, egg_rwkv7_thaw *thaw, egg_error *error)
{
    *thaw = (egg_rwkv7_thaw){0};
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        if (length == 7 && strncmp(at, "vectors", length) == 0) thaw->vectors = true;
        else if (length == 9 && strncmp(at, "embedding", length) == 0) thaw->embedding = true;
        else if (length == 4 && strncmp(at, "head", length) == 0) thaw->head = true;
        else
            return egg_fail(error, EGG_ERR_ARGUMENT,
                            "--thaw: expected words of vectors, embedding, head with commas between, "
                            "found '%.60s'",
                            list);
        at += length + (at[length] == ',');
    }
    return EGG_OK;
}

static egg_status check_reward(const egg_settings *s, egg_error *error)
{
    bool given = *s->reward || *s->reward_lib;
    if (s->task != EGG_COURSE_JSONL && given)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: rewards of your own go with --task jsonl",
                        *s->reward ? "reward" : "reward-lib");
    if (s->task == EGG_COURSE_JSONL && !given)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "--reward: --task jsonl needs a program, or a library with --reward-lib");
    if (*s->reward && *s->reward_lib)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--reward-lib: there is a --reward already, expected one of the two");
    return EGG_OK;
}

static egg_status check(egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rwkv7_thaw thaw;
    const egg_settings *s = egg_options_values(options);
    if (!*s->base) return egg_fail(error, EGG_ERR_ARGUMENT, "MODEL is missing: the RWKV-7 to begin with");
    if (!egg_options_is_set(options, "task"))
        return egg_fail(error, EGG_ERR_ARGUMENT, "--task is missing: expected sft, countdown, gsm8k or jsonl");
    if (s->task == EGG_COURSE_COUNTDOWN && *s->data)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--data: countdown makes its own questions");
    if (s->task != EGG_COURSE_COUNTDOWN && !*s->data)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--data is missing: the questions to train on");
    EGG_TRY(check_reward(s, error));
    EGG_TRY(check_thaw(s->thaw, &thaw, error));
    EGG_TRY(egg_precision_check(s, error));
    EGG_TRY(check_range("numbers", s->numbers, 1, EGG_COUNTDOWN_NUMBERS, error));
    EGG_TRY(check_range("number-range", s->number_range, 0, 1000000, error));
    EGG_TRY(check_range("target-range", s->target_range, 0, 100000000, error));
    if (s->sigma <= 0)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--sigma: expected more than 0, found %g: nothing would be perturbed",
                        s->sigma);
    if (s->population % 2)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--population: %llu is odd; members come in antithetic pairs",
                        (unsigned long long)s->population);
out:
    return status;
}

/* --------------------------------------------------------------------------------------------------------- choices */

typedef struct preference {
    const char *name, *value;
} preference;

/*
 * Those of docs/results.md, from a model of 64 channels; the defaults are the paper's, which tunes models of billions
 * of parameters. So narrow a model takes larger perturbations, without which the answers of a population hardly differ;
 * most of what it learns fast is outside its matrices; and its likeliest answers are hardly ever right, so that they
 * are drawn. Of countdown also puzzles that it can learn.
 */
static const preference narrow_sft[] = {{"thaw", "vectors,head"}, {"population", "64"}, {"questions", "2"},
                                        {"sigma", "0.004"},       {"rate", "0.2"},      {"rate-decay", "0.9997"}};
static const preference narrow_countdown[] = {
    {"style", "plain"},    {"numbers", "4"},  {"number-range", "1-5"},            {"target-range", "1-9"},
    {"max-tokens", "6"},   {"stop", "\\n"},   {"thaw", "vectors,head,embedding"}, {"population", "128"},
    {"questions", "16"},   {"sigma", "0.02"}, {"rate", "0.5"},                    {"temperature", "1"}};
static const preference narrow_reward[] = {{"thaw", "vectors,head"}, {"population", "64"}, {"temperature", "1"},
                                           {"sigma", "0.01"},        {"rate", "1"}};

static egg_status prefer(egg_options *options, const preference *list, size_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    for (size_t i = 0; i < count; i++) EGG_TRY(egg_options_prefer(options, list[i].name, list[i].value, error));
out:
    return status;
}

/* What is wrong with a file is told where the model is read. */
static bool is_narrow(const char *base)
{
    egg_rwkv7_shape shape;
    egg_shards *shards = NULL;
    bool narrow = egg_shards_open(&shards, base, NULL) == EGG_OK &&
                  egg_rwkv7_file_shape(shards, &shape, NULL) == EGG_OK && shape.width <= NARROW;
    egg_shards_close(shards);
    return narrow;
}

static egg_status prefer_narrow(egg_options *options, egg_error *error)
{
    switch (egg_options_values(options)->task) {
    case EGG_COURSE_SFT: return prefer(options, narrow_sft, EGG_COUNT(narrow_sft), error);
    case EGG_COURSE_COUNTDOWN: return prefer(options, narrow_countdown, EGG_COUNT(narrow_countdown), error);
    default: return prefer(options, narrow_reward, EGG_COUNT(narrow_reward), error);
    }
}

egg_status egg_finetune_resolve(egg_options *options, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *s = egg_options_values(options);
    if (s->preset == EGG_PRESET_AUTO && egg_options_is_set(options, "task") && is_narrow(s->base))
        EGG_TRY(prefer_narrow(options, error));
    if (s->seq_len == 0) egg_options_resolve_integer(options, "seq-len", PIECE);
    if (s->weights == EGG_WEIGHTS_AUTO) EGG_TRY(egg_options_set(options, "weights", "f32", error));
    if (s->optimizer == EGG_OPTIMIZER_ADAMW && s->weight_decay == 0)
        egg_options_resolve_number(options, "weight-decay", 1e-4);
    if (!s->epochs && s->minutes == 0) egg_options_resolve_number(options, "minutes", s->target != 0 ? 0 : 1);
    EGG_TRY(check(options, error));
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ views */

/* The deviation of all rewards would mostly be that of the texts of sft, whose likelihoods lie far apart. */
static uint32_t scoring_of(const egg_settings *s)
{
    if (s->scoring != SCORING_AUTO) return s->scoring;
    return s->task == EGG_COURSE_SFT ? SCORING_ZSCORE : SCORING_GROUP;
}

bool egg_finetune_is_centred(const egg_settings *s)
{
    return scoring_of(s) == SCORING_GROUP;
}

egg_evolution_shape egg_finetune_evolution(const egg_settings *s, uint32_t threads)
{
    static const egg_shaping_kind kinds[] = {
        [SCORING_GROUP] = EGG_SHAPING_GIVEN, [SCORING_ZSCORE] = EGG_SHAPING_ZSCORE,
        [SCORING_RANK] = EGG_SHAPING_RANK,   [SCORING_SIGN] = EGG_SHAPING_SIGN,
    };
    egg_evolution_shape shape = egg_rl_evolution(s, threads);
    shape.shaping = (egg_shaping){.kind = kinds[scoring_of(s)], .antithetic = true};
    return shape;
}

static egg_grader_shape grader_of(const egg_settings *s)
{
    enum { ATTEMPTS = 3, MAX_REPLY = 1 << 16 };
    egg_grader_kind kind = s->task == EGG_COURSE_COUNTDOWN ? EGG_GRADER_COUNTDOWN
                           : s->task == EGG_COURSE_GSM8K   ? EGG_GRADER_GSM8K
                           : *s->reward_lib                ? EGG_GRADER_LIBRARY
                                                           : EGG_GRADER_PROCESS;
    return (egg_grader_shape){
        .kind = kind,
        .style = (egg_countdown_style)s->style,
        .graded = s->grading == 1,
        .process = {.command = s->reward, .workers = (uint32_t)s->reward_workers, .attempts = ATTEMPTS,
                    .seconds = s->reward_seconds, .max_reply = MAX_REPLY},
        .library = s->reward_lib,
    };
}

egg_course_shape egg_finetune_course(const egg_settings *s, uint32_t pairs, const egg_stops *stops, uint32_t threads)
{
    egg_countdown_form form = {0};
    read_range(s->numbers, &form.least, &form.most);
    read_range(s->number_range, &form.low, &form.high);
    read_range(s->target_range, &form.target_low, &form.target_high);
    return (egg_course_shape){
        .kind = (egg_course_kind)s->task,
        .data = s->data,
        .valid = s->valid,
        .valid_fraction = s->valid_fraction,
        .valid_questions = (uint32_t)s->valid_questions,
        .questions = (uint32_t)s->questions,
        .piece = (uint32_t)s->seq_len,
        .max_prompt = (uint32_t)s->max_prompt,
        .form = form,
        .puzzles = (uint32_t)s->puzzles,
        .seed = s->seed,
        .answers = {.pairs = pairs, .rank = (uint32_t)s->rank, .max_tokens = (uint32_t)s->max_tokens,
                    .sampling = {.seed = s->seed, .temperature = s->temperature, .top_p = s->top_p, .min_p = s->min_p},
                    .stops = stops->texts, .stop_count = stops->count, .rows = (uint32_t)s->rows, .threads = threads},
        .grader = grader_of(s),
    };
}

egg_status egg_finetune_freeze(const egg_settings *s, egg_rwkv7 *model, egg_error *error)
{
    egg_rwkv7_thaw thaw;
    egg_status status = check_thaw(s->thaw, &thaw, error);
    if (status != EGG_OK) return status;
    egg_rwkv7_set_thaw(model, thaw);
    return *s->freeze ? egg_params_freeze(model->params, model->param_count, s->freeze, error) : EGG_OK;
}
