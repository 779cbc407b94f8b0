/* SPDX-License-Identifier: MIT */
#include "tasks/likelihood.h"

#include <string.h>

#include "base/memory.h"

/* Sequences at once: each has a state. */
enum { MAX_LANES = 64 };

/* One member with one text. */
typedef struct egg_lane {
    const egg_scored_text *text;
    uint32_t at, member;         /* the next token to read */
    double *loss;
    float *state;
} egg_lane;

struct egg_likelihood {
    const egg_rwkv7 *model;
    const egg_kernels *kernels;
    egg_arena arena;
    egg_lane lanes[MAX_LANES];
    uint32_t count, rows, max_lanes;
    float *states;               /* (max_lanes, state_floats) */
    float *logits, *losses;      /* (rows, vocabulary), (rows) */
    uint32_t *tokens, *member, *targets, *wanted;   /* (rows); the last two of the scored ones */
    double **owner;              /* (rows) where a scored row's loss goes */
    uint32_t first[MAX_LANES + 1];
    float *state[MAX_LANES];
    const egg_bank *bank;        /* of the run in progress */
};

static uint32_t lanes_of(uint32_t rows)
{
    return rows < MAX_LANES ? rows : MAX_LANES;
}

static size_t scratch_bytes(const egg_rwkv7 *model, uint32_t rows, uint32_t rank)
{
    return egg_rwkv7_scratch_bytes(&model->shape, rows, lanes_of(rows), rows, rank);
}

uint64_t egg_likelihood_bytes(const egg_rwkv7 *model, uint32_t rows, uint32_t rank)
{
    uint64_t of_row = (model->shape.vocabulary + 1) * sizeof(float) + 4 * sizeof(uint32_t) + sizeof(double *);
    return sizeof(egg_likelihood) + rows * of_row + lanes_of(rows) * egg_rwkv7_state_floats(model) * sizeof(float) +
           scratch_bytes(model, rows, rank);
}

egg_status egg_likelihood_open(egg_likelihood **out, const egg_rwkv7 *model, const egg_kernels *kernels, uint32_t rows,
                               uint32_t rank, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_likelihood *l = egg_alloc(sizeof *l);
    *out = NULL;
    if (!l) return egg_fail(error, EGG_ERR_NOMEM, "no memory to score texts");
    l->model = model;
    l->kernels = kernels;
    l->rows = rows;
    l->max_lanes = lanes_of(rows);
    l->states = egg_alloc_array(l->max_lanes, egg_rwkv7_state_floats(model) * sizeof(float));
    l->logits = egg_alloc_array(rows, model->shape.vocabulary * sizeof(float));
    l->losses = egg_alloc_array(rows, sizeof *l->losses);
    l->tokens = egg_alloc_array(rows, sizeof *l->tokens);
    l->member = egg_alloc_array(rows, sizeof *l->member);
    l->targets = egg_alloc_array(rows, sizeof *l->targets);
    l->wanted = egg_alloc_array(rows, sizeof *l->wanted);
    l->owner = egg_alloc_array(rows, sizeof *l->owner);
    if (!l->states || !l->logits || !l->losses || !l->tokens || !l->member || !l->targets || !l->wanted || !l->owner) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory to score %u tokens at once", rows);
        goto out;
    }
    EGG_TRY(egg_arena_open(&l->arena, scratch_bytes(model, rows, rank), error));
    for (uint32_t i = 0; i < l->max_lanes; i++) l->lanes[i].state = l->states + i * egg_rwkv7_state_floats(model);
    *out = l;
    l = NULL;
out:
    egg_likelihood_close(l);
    return status;
}

void egg_likelihood_close(egg_likelihood *l)
{
    if (!l) return;
    egg_arena_close(&l->arena);
    egg_free(l->states);
    egg_free(l->logits);
    egg_free(l->losses);
    egg_free(l->tokens);
    egg_free(l->member);
    egg_free(l->targets);
    egg_free(l->wanted);
    egg_free(l->owner);
    egg_free(l);
}

static void start_lane(egg_likelihood *l, const egg_scored_text *text, uint32_t member, double *loss)
{
    egg_lane *lane = &l->lanes[l->count++];
    *loss = 0;
    *lane = (egg_lane){.text = text, .member = member, .loss = loss, .state = lane->state};
    memset(lane->state, 0, egg_rwkv7_state_floats(l->model) * sizeof(float));
}

/* Adds the next inputs of a lane to the batch, of which 'rows' are taken; returns how many. The last token is no input.
 */
static uint32_t add_rows(egg_likelihood *l, egg_lane *lane, uint32_t rows, uint32_t *scored)
{
    uint32_t n = lane->text->count - 1 - lane->at, room = l->rows - rows;
    if (n > room) n = room;
    for (uint32_t i = 0; i < n; i++, lane->at++) {
        l->tokens[rows + i] = lane->text->tokens[lane->at];
        l->member[rows + i] = lane->member;
        if (lane->at + 1 < lane->text->prompt) continue;
        l->wanted[*scored] = rows + i;
        l->targets[*scored] = lane->text->tokens[lane->at + 1];
        l->owner[(*scored)++] = lane->loss;
    }
    return n;
}

static bool run_batch(egg_likelihood *l)
{
    uint32_t rows = 0, scored = 0, sequences = 0;
    for (uint32_t i = 0; i < l->count && rows < l->rows; i++) {
        l->first[sequences] = rows;
        l->state[sequences++] = l->lanes[i].state;
        rows += add_rows(l, &l->lanes[i], rows, &scored);
    }
    l->first[sequences] = rows;
    egg_mark mark = egg_arena_mark(&l->arena);
    egg_pass pass = egg_pass_begin_rows(l->kernels, &l->arena, l->bank, l->bank ? l->member : NULL, rows);
    const egg_rwkv7_batch batch = {.tokens = l->tokens, .first = l->first, .state = l->state, .sequences = sequences,
                                   .wanted = l->wanted, .wanted_count = scored};
    egg_rwkv7_forward(&pass, l->model, &batch, l->logits);
    egg_arena_release(&l->arena, mark);
    if (pass.failed) return false;
    egg_rwkv7_log_loss(l->model, l->kernels, l->logits, l->targets, scored, l->losses);
    for (uint32_t k = 0; k < scored; k++) *l->owner[k] += l->losses[k];
    return true;
}

/* Lanes whose text is read give their place to the last one. */
static uint32_t waiting_rows(egg_likelihood *l)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < l->count;) {
        egg_lane *lane = &l->lanes[i], done = *lane;
        if (lane->at + 1 < lane->text->count) {
            rows += lane->text->count - 1 - lane->at;
            i++;
            continue;
        }
        *lane = l->lanes[--l->count];
        l->lanes[l->count] = done;
    }
    return rows;
}

bool egg_likelihood_run(egg_likelihood *l, const egg_bank *bank, uint32_t members, const egg_scored_text *texts,
                        uint32_t count, double *loss)
{
    size_t next = 0, all = (size_t)members * count;
    l->bank = bank;
    l->count = 0;
    for (;;) {
        uint32_t rows = waiting_rows(l);
        for (; next < all && rows < l->rows && l->count < l->max_lanes; next++) {
            /* Members of a text follow one another, so that the rows of a batch are alike in length. */
            uint32_t m = (uint32_t)(next % members), j = (uint32_t)(next / members);
            start_lane(l, &texts[j], m, &loss[(size_t)m * count + j]);
            rows += texts[j].count > 1 ? texts[j].count - 1 : 0;
        }
        if (rows == 0 && next == all) return true;
        if (rows && !run_batch(l)) return false;
    }
}
