/* SPDX-License-Identifier: MIT */
#include "bench/rivals.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "bench/dots.h"
#include "models/egg.h"

enum { SIGMA_SHIFT = 4 };

typedef struct egg_rival_scratch {
    egg_model *member;         /* the perturbed copy of the model, for dense */
    egg_arena arena;
    int8_t *noise;             /* (parameters) of the pair, for both of its members */
    int8_t *states;            /* (state_bytes) */
    int32_t loss;
} egg_rival_scratch;

struct egg_rival {
    const egg_model *model;
    egg_kernels kernels, dots_kernels;
    egg_model *dots_model;     /* the same weights, packed for dot products */
    egg_pool *pool;
    uint32_t pairs, steps;
    uint8_t *tokens;           /* (steps + 1) any text will do */
    egg_rival_scratch *scratch;
    uint32_t threads;
    atomic_bool failed;
};

/* ------------------------------------------------------------------------------------------------------------ open */

static egg_status open_scratch(egg_rival_scratch *scratch, const egg_model *model, const egg_kernels *kernels,
                               uint32_t steps, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_egg_open(&scratch->member, model->shape, kernels, error));
    EGG_TRY(egg_arena_open(&scratch->arena, egg_model_scratch_bytes(model, 2, steps, 1), error));
    scratch->noise = egg_alloc((size_t)egg_model_parameters(model));
    scratch->states = egg_alloc(model->state_bytes);
    if (!scratch->noise || !scratch->states) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a comparison");
out:
    return status;
}

egg_status egg_rival_open(egg_rival **out, const egg_model *model, const egg_kernels *kernels, egg_pool *pool,
                          uint32_t pairs, uint32_t steps, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_rival *rival = egg_alloc(sizeof *rival);
    *out = NULL;
    if (!rival) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a comparison");
    rival->model = model;
    rival->kernels = rival->dots_kernels = *kernels;
    egg_dots_kernels(&rival->dots_kernels);
    rival->pool = pool;
    rival->threads = egg_pool_threads(pool);
    rival->pairs = pairs;
    rival->steps = steps;
    rival->tokens = egg_alloc((size_t)steps + 1);
    rival->scratch = egg_alloc_array(rival->threads, sizeof *rival->scratch);
    if (!rival->tokens || !rival->scratch) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a comparison");
        goto out;
    }
    EGG_TRY(egg_egg_open(&rival->dots_model, model->shape, &rival->dots_kernels, error));
    for (uint32_t i = 0; i < model->param_count; i++)
        memcpy(rival->dots_model->params[i].data, model->params[i].data, egg_param_elements(&model->params[i]));
    egg_model_pack(rival->dots_model, &rival->dots_kernels);
    for (size_t i = 0; i < (size_t)steps + 1; i++) rival->tokens[i] = (uint8_t)(32 + i * 7 % 90);
    for (uint32_t i = 0; i < rival->threads; i++)
        EGG_TRY(open_scratch(&rival->scratch[i], model, kernels, steps, error));
    *out = rival;
    rival = NULL;
out:
    egg_rival_close(rival);
    return status;
}

void egg_rival_close(egg_rival *rival)
{
    if (!rival) return;
    for (uint32_t i = 0; rival->scratch && i < rival->threads; i++) {
        egg_model_free(rival->scratch[i].member);
        egg_arena_close(&rival->scratch[i].arena);
        egg_free(rival->scratch[i].noise);
        egg_free(rival->scratch[i].states);
    }
    egg_model_free(rival->dots_model);
    egg_free(rival->scratch);
    egg_free(rival->tokens);
    egg_free(rival);
}

/* ------------------------------------------------------------------------------------------------------------- run */

/* One member reads 'steps' tokens from 'first' on. */
static void forward(egg_rival *rival, egg_rival_scratch *scratch, const egg_model *model, const egg_kernels *kernels,
                    const egg_perturb *law, uint32_t pair, uint32_t first, uint32_t steps)
{
    egg_mark mark = egg_arena_mark(&scratch->arena);
    egg_pass pass = egg_pass_begin(kernels, &scratch->arena, law, pair, 1);
    egg_mat logits = egg_mat_i8(&pass, steps, EGG_VOCABULARY);
    model->ops->forward(&pass, model, rival->tokens + first, scratch->states, logits);
    egg_sequence_loss(&pass, logits, rival->tokens + first + 1, &scratch->loss);
    egg_arena_release(&scratch->arena, mark);
    if (pass.failed) atomic_store(&rival->failed, true);
}

static void draw_densely(const egg_rival *rival, egg_rival_scratch *scratch, uint32_t pair)
{
    egg_perturb law = egg_perturb_i8(1, 0, 1, SIGMA_SHIFT);
    int8_t *noise = scratch->noise;
    for (uint32_t id = 0; id < rival->model->param_count; id++) {
        size_t n = egg_param_elements(&rival->model->params[id]);
        rival->kernels.noise_i8(&(egg_noise_args){.key = law.key, .at = {.param = id, .pair = pair}, .n = n, .pairs = 1,
                                                  .out = noise, .out_stride = n});
        noise += n;
    }
}

/* w + sign * sigma * e with e dense */
static void perturb_densely(const egg_rival *rival, egg_rival_scratch *scratch, int sign)
{
    const int8_t *e = scratch->noise;
    for (uint32_t id = 0; id < rival->model->param_count; id++) {
        const egg_param *member = &scratch->member->params[id];
        const int8_t *w = rival->model->params[id].data;
        int8_t *out = member->data;
        size_t n = egg_param_elements(member);
        for (size_t i = 0; i < n; i++) {
            int16_t x = (int16_t)(w[i] + ((sign * e[i]) >> SIGMA_SHIFT));
            out[i] = (int8_t)(x < -127 ? -127 : x > 127 ? 127 : x);
        }
        egg_param_pack(member, &rival->kernels);
        e += n;
    }
}

static void dense_pairs(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_rival *rival = context;
    egg_rival_scratch *scratch = &rival->scratch[thread];
    for (size_t pair = begin; pair < end; pair++) {
        draw_densely(rival, scratch, (uint32_t)pair);
        for (int sign = 1; sign >= -1; sign -= 2) {
            perturb_densely(rival, scratch, sign);
            forward(rival, scratch, scratch->member, &rival->kernels, NULL, (uint32_t)pair, 0, rival->steps);
        }
    }
}

/* Both members of a pair cost the same, so the one with sign + is read twice. */
static void read_singly(egg_rival *rival, egg_rival_scratch *scratch, const egg_model *model,
                        const egg_kernels *kernels, size_t first_pair, size_t end_pair)
{
    egg_perturb law = egg_perturb_i8(1, 0, 1, SIGMA_SHIFT);
    for (size_t member = 2 * first_pair; member < 2 * end_pair; member++)
        for (uint32_t t = 0; t < rival->steps; t++)
            forward(rival, scratch, model, kernels, &law, (uint32_t)(member / 2), t, 1);
}

static void single_pairs(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_rival *rival = context;
    read_singly(rival, &rival->scratch[thread], rival->model, &rival->kernels, begin, end);
}

static void dots_pairs(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_rival *rival = context;
    read_singly(rival, &rival->scratch[thread], rival->dots_model, &rival->dots_kernels, begin, end);
}

static egg_status run(egg_rival *rival, egg_range_fn *fn, egg_error *error)
{
    atomic_store(&rival->failed, false);
    egg_parallel_for(rival->pool, rival->pairs, 1, fn, rival);
    if (atomic_load(&rival->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a comparison outgrew its scratch memory");
    return EGG_OK;
}

egg_status egg_rival_dense(egg_rival *rival, egg_error *error)
{
    return run(rival, dense_pairs, error);
}

egg_status egg_rival_single(egg_rival *rival, egg_error *error)
{
    return run(rival, single_pairs, error);
}

egg_status egg_rival_dots(egg_rival *rival, egg_error *error)
{
    return run(rival, dots_pairs, error);
}
