/* SPDX-License-Identifier: MIT */
#include "train/settings.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/run.h"

static void choose_integer(egg_options *options, uint64_t value, const char *name, uint64_t chosen)
{
    if (value == 0) egg_options_resolve_integer(options, name, chosen);
}

static void choose_number(egg_options *options, double value, const char *name, double chosen)
{
    if (value == 0) egg_options_resolve_number(options, name, chosen);
}

static egg_status check(const egg_settings *s, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_egg_check_shape(egg_settings_shape(s), error));
    if (s->population % 2)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--population: %llu is odd; members come in antithetic pairs",
                        (unsigned long long)s->population);
    if (s->group_size % 2 || s->group_size > s->population || s->population % s->group_size)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "--group-size: %llu is not an even divisor of the population of %llu",
                        (unsigned long long)s->group_size, (unsigned long long)s->population);
    if (s->population / 2 * s->rank > EGG_UPDATE_MAX_TERMS)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "--population: %llu members of rank %llu are too many; population times rank must stay within "
                        "%d, so that sums over the population fit 32 bits",
                        (unsigned long long)s->population, (unsigned long long)s->rank, 2 * EGG_UPDATE_MAX_TERMS);
    if (egg_settings_schedule(s).epochs > UINT32_MAX)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--member-tokens: %llu are more than 4294967295 epochs",
                        (unsigned long long)s->member_tokens);
    egg_perturb law = egg_settings_law(s, 0);
    EGG_TRY(egg_perturb_check_i8(&law, 4 * (uint32_t)s->width, error));
out:
    return status;
}

egg_status egg_settings_resolve(egg_options *options, egg_error *error)
{
    const egg_settings *s = egg_options_values(options);
    bool vote = s->update == EGG_UPDATE_VOTE;
    choose_integer(options, s->seq_len, "seq-len", vote ? 100 : 10);
    choose_number(options, s->init_matrix, "init-matrix", vote ? 16 : 8);
    choose_number(options, s->init_head, "init-head", vote ? 16 : 4);
    choose_number(options, s->init_embedding, "init-embedding", 16);
    /* Tuned at D = 64 and 128; the square root carries the rule on to other widths. */
    choose_number(options, s->learning_rate, "learning-rate", round(0.7 * sqrt(64.0 / (double)s->width) * 1000) / 1000);
    if (!s->epochs && !s->member_tokens && s->minutes == 0) egg_options_resolve_number(options, "minutes", 1);
    return check(s, error);
}

static egg_status apply_change(egg_options *options, egg_options *given, const char *folder, size_t index,
                               egg_error *error)
{
    const char *name = egg_options_describe(given, index).name, *value = egg_options_get(given, name);
    if (egg_options_may_change(given, index)) return egg_options_set(options, name, value, error);
    const char *current = egg_options_get(options, name);
    if (strcmp(current, value) == 0) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT, "--%s: the run in '%s' has %s, found %s; a resumed run cannot change it",
                    name,
                    folder, *current ? current : "none", value);
}

static egg_status choose_resumed(egg_options **out, const egg_options *given, const char *folder,
                                 egg_settings_resolve_fn *resolve, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES];
    egg_options *options = egg_options_new(egg_options_command(given)), *changes = egg_options_copy(given);
    *out = NULL;
    if (!options || !changes) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
        goto out;
    }
    EGG_TRY(egg_path_join(path, sizeof path, folder, EGG_RUN_CONFIG, error));
    EGG_TRY(egg_options_load(options, path, error));

    /* A new bound replaces the old ones: more minutes for a run that was bounded by epochs means minutes. */
    bool bounded = egg_options_is_set(given, "epochs") || egg_options_is_set(given, "member-tokens") ||
                   egg_options_is_set(given, "env-steps") || egg_options_is_set(given, "minutes");
    if (bounded) {
        egg_options_resolve_integer(options, "epochs", 0);
        egg_options_resolve_integer(options, "member-tokens", 0);
        egg_options_resolve_integer(options, "env-steps", 0);
        egg_options_resolve_number(options, "minutes", 0);
    }
    for (size_t i = 0; i < egg_options_count(given); i++) {
        const char *name = egg_options_describe(given, i).name;
        if (egg_options_is_set(given, name)) EGG_TRY(apply_change(options, changes, folder, i, error));
    }
    EGG_TRY(resolve(options, error));
    *out = options;
    options = NULL;
out:
    egg_options_free(options);
    egg_options_free(changes);
    return status;
}

static egg_status choose_new(egg_chosen *chosen, const egg_options *given, egg_settings_resolve_fn *resolve,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    chosen->options = egg_options_copy(given);
    if (!chosen->options) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
    EGG_TRY(resolve(chosen->options, error));
    if (chosen->folder) EGG_TRY(egg_run_refuse_existing(chosen->folder, error));
out:
    return status;
}

egg_status egg_settings_choose(egg_chosen *chosen, const egg_options *given, egg_settings_resolve_fn *resolve,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    const char *folder;
    *chosen = (egg_chosen){0};
    EGG_TRY(egg_run_folder(given, &folder, &chosen->resumed, error));
    if (*folder && !(chosen->folder = egg_strdup(folder)))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for a path");
    if (chosen->resumed) EGG_TRY(choose_resumed(&chosen->options, given, folder, resolve, error));
    else EGG_TRY(choose_new(chosen, given, resolve, error));
out:
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- views */

egg_shape egg_settings_shape(const egg_settings *settings)
{
    return (egg_shape){.width = (uint32_t)settings->width, .layers = (uint32_t)settings->layers};
}

egg_egg_init egg_settings_init(const egg_settings *settings)
{
    return (egg_egg_init){.seed = settings->seed, .matrix = settings->init_matrix, .head = settings->init_head,
                          .embedding = settings->init_embedding};
}

egg_schedule egg_settings_schedule(const egg_settings *settings)
{
    uint64_t tokens = settings->population * settings->seq_len, epochs = settings->epochs;
    uint64_t by_tokens = settings->member_tokens / tokens + (settings->member_tokens % tokens != 0);
    if (settings->member_tokens && (!epochs || by_tokens < epochs)) epochs = by_tokens;
    return (egg_schedule){
        .rule = settings->update == EGG_UPDATE_VOTE ? EGG_RULE_VOTE : EGG_RULE_FRACTIONAL,
        .initial24 = (uint32_t)lround(settings->learning_rate * 0x1p24),
        .alpha = settings->alpha,
        .epochs = epochs,
        .seconds = 60 * settings->minutes,
        .record = -1,
    };
}

egg_perturb egg_settings_law(const egg_settings *settings, uint64_t epoch)
{
    uint64_t noise_epoch = settings->noise_reuse ? epoch / settings->noise_reuse : 0;
    return egg_perturb_i8(settings->seed, (uint32_t)noise_epoch, (uint32_t)settings->rank,
                          (uint32_t)settings->sigma_shift);
}

egg_step egg_settings_step(const egg_settings *settings, double rate, const int8_t *F)
{
    uint32_t pairs = (uint32_t)settings->population / 2, rank = (uint32_t)settings->rank;
    uint64_t sum_squares = 0;
    if (settings->update == EGG_UPDATE_VOTE) return egg_step_vote(egg_vote_quantile(rate), pairs, rank);
    for (uint32_t p = 0; p < pairs; p++) sum_squares += (uint64_t)(F[p] * F[p]);
    return egg_step_fractional((uint32_t)(rate * 0x1p24), sum_squares, rank);
}

egg_pretrain_shape egg_settings_pretrain(const egg_settings *settings, uint32_t threads, uint64_t train_bytes)
{
    return (egg_pretrain_shape){
        .population = (uint32_t)settings->population,
        .group = (uint32_t)settings->group_size,
        .steps = (uint32_t)settings->seq_len,
        .rank = (uint32_t)settings->rank,
        .chunk_pairs = (uint32_t)settings->chunk,
        .threads = threads,
        .carry = settings->state == EGG_STATE_CARRY,
        .train_bytes = train_bytes,
    };
}
