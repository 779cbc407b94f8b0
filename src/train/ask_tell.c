/* SPDX-License-Identifier: MIT */
/* Ask and tell: evolution of parameters that the user brings, by a fitness that the user computes. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "eggroll.h"
#include "train/machine.h"
#include "train/options.h"
#include "train/rl_settings.h"
#include "train/run.h"
#include "train/strategy.h"

/* ------------------------------------------------------------------------------------------------------ open, close */

/* The saved state keeps what belongs to parameter NAME under names that begin with "NAME.moment". */
static egg_status check_name(const egg_strategy_param *params, size_t index, egg_error *error)
{
    const char *name = params[index].name;
    if (!name || !*name) return egg_fail(error, EGG_ERR_ARGUMENT, "parameter %zu: expected a name, found none", index);
    if (strlen(name) >= EGG_PARAM_NAME_BYTES)
        return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%.60s': expected a name of at most %d bytes, found %zu",
                        name, EGG_PARAM_NAME_BYTES - 1, strlen(name));
    if (strstr(name, ".moment"))
        return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%s': a name may not hold '.moment'", name);
    for (size_t i = 0; i < index; i++)
        if (strcmp(params[i].name, name) == 0)
            return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%s': parameters %zu and %zu have the same name", name,
                            i, index);
    return EGG_OK;
}

static egg_status check_param(const egg_strategy_param *params, size_t index, egg_error *error)
{
    enum { MOST = 1 << 24 };
    const egg_strategy_param *param = &params[index];
    egg_status status = check_name(params, index, error);
    if (status != EGG_OK) return status;
    if (param->kind < EGG_STRATEGY_MATRIX || param->kind > EGG_STRATEGY_FROZEN)
        return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%s': kind %d is none of egg_strategy_kind", param->name,
                        (int)param->kind);
    if (param->rows < 1 || param->columns < 1 || param->rows > MOST || param->columns > MOST)
        return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%s': shape [%u, %u], expected 1 to %d of each",
                        param->name, param->rows, param->columns, MOST);
    if (param->kind == EGG_STRATEGY_VECTOR && param->rows != 1)
        return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%s': a vector has 1 row, found %u", param->name,
                        param->rows);
    for (size_t i = 0; param->initial && i < (size_t)param->rows * param->columns; i++)
        if (!isfinite(param->initial[i]))
            return egg_fail(error, EGG_ERR_ARGUMENT, "parameter '%s': its initial value is not finite at %zu",
                            param->name, i);
    return EGG_OK;
}

static egg_status check_params(const egg_strategy_param *params, size_t count, egg_error *error)
{
    enum { MOST = 1 << 20 };
    bool any = false;
    if (count < 1 || count > MOST)
        return egg_fail(error, EGG_ERR_ARGUMENT, "%zu parameters: expected 1 to %d", count, MOST);
    for (size_t i = 0; i < count; i++) {
        egg_status status = check_param(params, i, error);
        if (status != EGG_OK) return status;
        any = any || params[i].kind != EGG_STRATEGY_FROZEN;
    }
    if (!any) return egg_fail(error, EGG_ERR_ARGUMENT, "every parameter is frozen: there is nothing to evolve");
    return EGG_OK;
}

static egg_status open_params(egg_strategy *strategy, const egg_strategy_param *params, size_t count, egg_error *error)
{
    static const egg_param_kind kinds[] = {EGG_PARAM_MATRIX, EGG_PARAM_VECTOR, EGG_PARAM_MATRIX};
    strategy->params = egg_alloc_array(count, sizeof *strategy->params);
    if (!strategy->params) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu parameters", count);
    for (size_t i = 0; i < count; i++) {
        egg_param *param = &strategy->params[strategy->count++];
        egg_status status = egg_param_open(param, &strategy->kernels, (uint32_t)i, kinds[params[i].kind], EGG_F32,
                                           params[i].rows, params[i].columns, params[i].name, error);
        if (status != EGG_OK) return status;
        param->frozen = params[i].kind == EGG_STRATEGY_FROZEN;
        if (params[i].initial) egg_param_write_f32(param, params[i].initial);
    }
    return EGG_OK;
}

static egg_status open_options(egg_strategy *strategy, const egg_options *given, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_options *options = NULL;
    if (!given || strcmp(egg_options_command(given), "strategy") != 0)
        return egg_fail(error, EGG_ERR_ARGUMENT, "options of '%s', expected those of 'strategy'",
                        given ? egg_options_command(given) : "nothing");
    options = egg_options_copy(given);
    if (!options) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
    EGG_TRY(egg_evolution_resolve(options, error));
    EGG_TRY(egg_run_law(options, &strategy->law, error));
    const egg_settings *settings = egg_options_values(options);
    EGG_TRY(egg_pool_open(&strategy->pool, (uint32_t)settings->threads, error));
    strategy->shape = egg_rl_evolution(settings, egg_pool_threads(strategy->pool));
out:
    egg_options_free(options);
    return status;
}

egg_status egg_strategy_open(egg_strategy **out, const egg_options *options, const egg_strategy_param *params,
                             size_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_strategy *strategy = NULL;
    *out = NULL;
    EGG_TRY(check_params(params, count, error));
    strategy = egg_alloc(sizeof *strategy);
    if (!strategy) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a strategy");
    EGG_TRY(egg_machine_kernels(&strategy->kernels, error));
    EGG_TRY(open_options(strategy, options, error));
    EGG_TRY(open_params(strategy, params, count, error));
    EGG_TRY(egg_evolution_open(&strategy->evolution, &strategy->shape, strategy->params, strategy->count, error));
    strategy->fitness = egg_alloc_array(strategy->shape.population, sizeof *strategy->fitness);
    if (!strategy->fitness) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the fitness of %u members", strategy->shape.population);
        goto out;
    }
    *out = strategy;
    strategy = NULL;
out:
    egg_strategy_close(strategy);
    return status;
}

void egg_strategy_close(egg_strategy *strategy)
{
    if (!strategy) return;
    egg_evolution_close(strategy->evolution);
    for (uint32_t i = 0; i < strategy->count; i++) egg_param_close(&strategy->params[i]);
    egg_free(strategy->params);
    egg_free(strategy->fitness);
    egg_free(strategy->law);
    egg_pool_close(strategy->pool);
    egg_free(strategy);
}

/* -------------------------------------------------------------------------------------------------------------- ask */

enum { TILE = 256 };               /* numbers of noise drawn at once, on the stack: asking shares nothing */

/* What perturbs one parameter of one member. */
typedef struct member_view {
    const egg_strategy *strategy;
    const egg_param *param;
    egg_perturb law;
    uint32_t pair;
    egg_strategy_noise noise;
} member_view;

static egg_status find_param(const egg_strategy *strategy, uint32_t param, egg_error *error)
{
    if (param < strategy->count) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT, "parameter %u: expected 0 to %u", param, strategy->count - 1);
}

static egg_status view_member(member_view *view, const egg_strategy *strategy, uint32_t member, uint32_t param,
                              egg_error *error)
{
    const egg_shaping *shaping = &strategy->shape.shaping;
    egg_status status = find_param(strategy, param, error);
    if (status != EGG_OK) return status;
    if (member >= strategy->shape.population)
        return egg_fail(error, EGG_ERR_ARGUMENT, "member %u: expected 0 to %u", member, strategy->shape.population - 1);
    *view = (member_view){.strategy = strategy, .param = &strategy->params[param],
                          .law = egg_evolution_law(&strategy->shape, strategy->epoch),
                          .pair = shaping->antithetic ? member / 2 : member};
    bool dense = egg_perturb_is_dense(&view->law, view->param), odd = shaping->antithetic && member % 2;
    if (view->param->frozen) return EGG_OK;
    view->noise.rank = dense ? 0 : view->law.rank;
    if (egg_shaping_is_baseline(shaping, view->pair)) return EGG_OK;
    view->noise.scale = (odd ? -1 : 1) * (dense ? view->law.sigma : view->law.c);
    return EGG_OK;
}

/* n numbers of noise from element 'first', a multiple of EGG_ROW_QUANTUM. */
static void draw(const member_view *view, egg_side side, uint64_t first, uint32_t n, float *out)
{
    float tile[TILE];
    for (uint32_t done = 0; done < n; done += TILE) {
        uint32_t part = n - done < TILE ? n - done : TILE;
        view->strategy->kernels.noise_f32(&(egg_noise_args){
            .key = view->law.key,
            .at = {.epoch = view->law.epoch, .param = view->param->id, .side = side, .pair = view->pair},
            .first = first + done,
            .n = (part + EGG_ROW_QUANTUM - 1) / EGG_ROW_QUANTUM * EGG_ROW_QUANTUM,
            .pairs = 1,
            .out = tile,
            .out_stride = TILE,
        });
        memcpy(out + done, tile, part * sizeof *out);
    }
}

/* W += scale A_k B_k^T, tile by tile. */
static void add_component(const member_view *view, uint32_t k, float *W)
{
    const egg_param *param = view->param;
    const uint32_t rows = param->used_out, columns = param->used_in;
    float A[TILE], B[TILE];
    for (uint32_t i = 0; i < columns; i += TILE) {
        uint32_t width = columns - i < TILE ? columns - i : TILE;
        draw(view, EGG_B, (uint64_t)k * param->in + i, width, B);
        for (uint32_t o = 0; o < rows; o++) {
            if (o % TILE == 0) draw(view, EGG_A, (uint64_t)k * param->out + o, rows - o < TILE ? rows - o : TILE, A);
            float a = view->noise.scale * A[o % TILE], *row = W + (size_t)o * columns + i;
            for (uint32_t j = 0; j < width; j++) row[j] += a * B[j];
        }
    }
}

static void add_dense(const member_view *view, float *W)
{
    const egg_param *param = view->param;
    float noise[TILE];
    for (uint32_t o = 0; o < param->used_out; o++)
        for (uint32_t i = 0; i < param->used_in; i += TILE) {
            uint32_t width = param->used_in - i < TILE ? param->used_in - i : TILE;
            float *row = W + (size_t)o * param->used_in + i;
            draw(view, EGG_A, (uint64_t)o * param->in + i, width, noise);
            for (uint32_t j = 0; j < width; j++) row[j] += view->noise.scale * noise[j];
        }
}

egg_status egg_ask(const egg_strategy *strategy, uint32_t member, uint32_t param, float *W, egg_error *error)
{
    member_view view = {0};
    egg_status status = view_member(&view, strategy, member, param, error);
    if (status != EGG_OK) return status;
    egg_param_read_f32(view.param, W);
    if (view.noise.scale == 0) return EGG_OK;
    if (view.noise.rank == 0) add_dense(&view, W);
    for (uint32_t k = 0; k < view.noise.rank; k++) add_component(&view, k, W);
    return EGG_OK;
}

egg_status egg_ask_factors(const egg_strategy *strategy, uint32_t member, uint32_t param, float *A, float *B,
                           egg_strategy_noise *noise, egg_error *error)
{
    member_view view = {0};
    egg_status status = view_member(&view, strategy, member, param, error);
    if (status != EGG_OK) return status;
    const egg_param *p = view.param;
    *noise = view.noise;
    for (uint32_t k = 0; k < noise->rank; k++) {
        draw(&view, EGG_A, (uint64_t)k * p->out, p->used_out, A + (size_t)k * p->used_out);
        draw(&view, EGG_B, (uint64_t)k * p->in, p->used_in, B + (size_t)k * p->used_in);
    }
    if (noise->rank || p->frozen) return EGG_OK;
    for (uint32_t o = 0; o < p->used_out; o++)
        draw(&view, EGG_A, (uint64_t)o * p->in, p->used_in, A + (size_t)o * p->used_in);
    return EGG_OK;
}

egg_status egg_strategy_read(const egg_strategy *strategy, uint32_t param, float *W, egg_error *error)
{
    egg_status status = find_param(strategy, param, error);
    if (status == EGG_OK) egg_param_read_f32(&strategy->params[param], W);
    return status;
}

uint64_t egg_strategy_epoch(const egg_strategy *strategy)
{
    return strategy->epoch;
}

/* ------------------------------------------------------------------------------------------------------------- tell */

static bool any_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i])) return true;
    return false;
}

egg_status egg_tell(egg_strategy *strategy, const float *fitness, size_t members, egg_strategy_stats *stats,
                    egg_error *error)
{
    const uint32_t population = strategy->shape.population;
    if (members != population)
        return egg_fail(error, EGG_ERR_ARGUMENT, "fitness of %zu members, expected that of all %u of the population",
                        members, population);
    if (!any_finite(fitness, members))
        return egg_fail(error, EGG_ERR_ARGUMENT, "the fitness of none of %u members is finite: nothing to learn from",
                        population);
    memcpy(strategy->fitness, fitness, members * sizeof *fitness);   /* what is not finite is repaired in the copy */
    egg_evolution_stats told = egg_evolution_tell(strategy->evolution, &strategy->kernels, strategy->pool,
                                                  strategy->epoch, strategy->fitness);
    strategy->epoch++;
    if (!stats) return EGG_OK;
    *stats = (egg_strategy_stats){
        .epoch = strategy->epoch,
        .mean = told.scores.mean,
        .best = told.scores.best,
        .worst = told.scores.worst,
        .deviation = told.scores.deviation,
        .invalid = told.scores.invalid,
        .tied_pairs = (double)told.scores.ties / egg_shaping_pairs(&strategy->shape.shaping, population),
        .sigma = told.sigma,
        .rate = told.rate,
        .gradient_norm = told.gradient_norm,
    };
    return EGG_OK;
}

static egg_status check_scale(const char *name, double value, egg_error *error)
{
    if (isfinite(value) && value >= 0) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT, "%s: expected a finite number of at least 0, found %g", name, value);
}

egg_status egg_strategy_set_sigma(egg_strategy *strategy, double sigma, egg_error *error)
{
    egg_status status = check_scale("sigma", sigma, error);
    if (status != EGG_OK) return status;
    strategy->shape.sigma = sigma;
    strategy->shape.sigma_epoch = strategy->epoch;
    egg_evolution_reschedule(strategy->evolution, &strategy->shape);
    return EGG_OK;
}

egg_status egg_strategy_set_rate(egg_strategy *strategy, double rate, egg_error *error)
{
    egg_status status = check_scale("rate", rate, error);
    if (status != EGG_OK) return status;
    strategy->shape.rate = rate;
    strategy->shape.rate_epoch = strategy->epoch;
    egg_evolution_reschedule(strategy->evolution, &strategy->shape);
    return EGG_OK;
}
