/* SPDX-License-Identifier: MIT */
#include "tasks/pretrain.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "es/device_memory.h"

enum {
    CHUNK_ACTIVATION_BYTES = 512 * 1024,   /* what a chunk's activations may take of the second-level cache */
    MIN_CHUNK_PAIRS = 4,                   /* rows of a recurrent product: fewer leave the product kernel half idle */
    MAX_CHUNK_PAIRS = 64,
    CHUNKS_PER_THREAD = 4,
    DEVICE_SHARE = 4                       /* of a device's memory, one part in so many may go into a chunk */
};

/* What one thread needs to evaluate one chunk. */
typedef struct egg_pretrain_scratch {
    egg_arena arena;
    uint8_t *tokens, *targets;   /* (chunk members * steps) */
    uint8_t *tokens_there, *targets_there;   /* the same where the kernels work */
    uint8_t *segment;            /* (steps + 1) */
    int8_t *states;              /* (chunk members, state_bytes), there, where states are not carried, else NULL */
} egg_pretrain_scratch;

struct egg_pretrain {
    egg_pretrain_shape shape;
    const egg_model *model;
    const egg_corpus *corpus;
    const egg_device *device;    /* of the model */
    int8_t *states;              /* (population, state_bytes) or NULL */
    int32_t *loss;               /* (population) */
    int8_t *states_there;        /* both where the kernels work */
    int32_t *loss_there;
    bool ahead;                  /* states_there has changed, and 'states' has not followed */
    egg_pretrain_scratch *scratch;   /* (threads) */

    /* of the evaluation in progress */
    const egg_kernels *kernels;
    const egg_perturb *law;
    uint64_t epoch;
    uint32_t first_pair;
    atomic_bool failed;
};

static uint32_t chunk_pairs(const egg_pretrain_shape *shape, const egg_model *model)
{
    uint32_t pairs = shape->population / 2;
    uint64_t chunk = shape->chunk_pairs;
    uint64_t bytes_per_pair = (uint64_t)2 * shape->steps * (9 * model->shape.width + EGG_VOCABULARY);
    const egg_device *device = egg_model_device(model);
    if (!chunk && device) {
        chunk = device->memory().total_bytes / DEVICE_SHARE / bytes_per_pair;
        if (chunk < 1) chunk = 1;
    } else if (!chunk) {
        uint64_t balanced = pairs / ((uint64_t)CHUNKS_PER_THREAD * shape->threads);
        chunk = CHUNK_ACTIVATION_BYTES / bytes_per_pair;
        if (chunk > balanced) chunk = balanced;
        if (chunk > MAX_CHUNK_PAIRS) chunk = MAX_CHUNK_PAIRS;
        if (chunk < MIN_CHUNK_PAIRS) chunk = MIN_CHUNK_PAIRS;
    }
    return chunk < pairs ? (uint32_t)chunk : pairs;
}

static size_t arena_bytes(const egg_pretrain_shape *shape, const egg_model *model)
{
    return egg_model_scratch_bytes(model, 2 * chunk_pairs(shape, model), shape->steps, shape->rank);
}

egg_pretrain_memory egg_pretrain_bytes(const egg_pretrain_shape *shape, const egg_model *model)
{
    const uint64_t members = 2 * (uint64_t)chunk_pairs(shape, model), rows = members * shape->steps;
    const uint64_t states = shape->carry ? (uint64_t)shape->population * model->state_bytes : 0;
    const uint64_t own_states = shape->carry ? 0 : members * model->state_bytes;
    egg_pretrain_memory memory = {.states = states, .fitness = (uint64_t)shape->population * sizeof(int32_t)};
    if (egg_model_device(model)) {
        memory.scratch = 2 * rows + shape->steps + 1;
        memory.device_states = states;
        memory.device_scratch = arena_bytes(shape, model) + 2 * rows + own_states + memory.fitness;
    } else {
        memory.scratch = shape->threads * (arena_bytes(shape, model) + 2 * rows + own_states + shape->steps + 1);
    }
    return memory;
}

static egg_status open_scratch(egg_pretrain_scratch *scratch, const egg_pretrain_shape *shape, const egg_model *model,
                               egg_error *error)
{
    const egg_device *device = egg_model_device(model);
    size_t members = 2 * (size_t)chunk_pairs(shape, model), rows = members * shape->steps;
    scratch->tokens = egg_alloc(rows);
    scratch->targets = egg_alloc(rows);
    scratch->tokens_there = egg_device_pair(device, scratch->tokens, rows);
    scratch->targets_there = egg_device_pair(device, scratch->targets, rows);
    scratch->segment = egg_alloc((size_t)shape->steps + 1);
    if (!shape->carry) scratch->states = egg_device_alloc_array(device, members, model->state_bytes);
    if (!scratch->tokens_there || !scratch->targets_there || !scratch->segment || (!shape->carry && !scratch->states))
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for the segments of a chunk");
    return egg_device_arena_open(device, &scratch->arena, arena_bytes(shape, model), error);
}

static void close_scratch(egg_pretrain_scratch *scratch, const egg_device *device)
{
    egg_device_arena_close(device, &scratch->arena);
    egg_device_unpair(device, scratch->tokens_there);
    egg_device_unpair(device, scratch->targets_there);
    egg_free(scratch->tokens);
    egg_free(scratch->targets);
    egg_free(scratch->segment);
    egg_device_free(device, scratch->states);
}

egg_status egg_pretrain_open(egg_pretrain **out, const egg_pretrain_shape *shape, const egg_model *model,
                             const egg_corpus *corpus, egg_error *error)
{
    *out = NULL;
    if (shape->train_bytes < (uint64_t)shape->steps + 1)
        return egg_fail(error, EGG_ERR_ARGUMENT,
                        "--seq-len: the training text has %llu bytes, fewer than one segment of %u and the byte that "
                        "follows",
                        (unsigned long long)shape->train_bytes, shape->steps);
    egg_status status = EGG_OK;
    egg_pretrain *task = egg_alloc(sizeof *task);
    if (!task) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a task");
    task->shape = *shape;
    task->model = model;
    task->device = egg_model_device(model);
    task->corpus = corpus;
    task->loss = egg_alloc_array(shape->population, sizeof *task->loss);
    task->scratch = egg_alloc_array(shape->threads, sizeof *task->scratch);
    if (shape->carry) task->states = egg_alloc_array(shape->population, model->state_bytes);
    task->loss_there = egg_device_pair(task->device, task->loss, shape->population * sizeof *task->loss);
    task->states_there = egg_device_pair(task->device, task->states, shape->population * model->state_bytes);
    if (!task->loss_there || !task->scratch || (shape->carry && !task->states_there)) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for a population of %u", shape->population);
        goto out;
    }
    for (uint32_t i = 0; i < shape->threads; i++) EGG_TRY(open_scratch(&task->scratch[i], shape, model, error));
    *out = task;
    task = NULL;
out:
    egg_pretrain_close(task);
    return status;
}

void egg_pretrain_close(egg_pretrain *task)
{
    if (!task) return;
    for (uint32_t i = 0; task->scratch && i < task->shape.threads; i++) close_scratch(&task->scratch[i], task->device);
    egg_device_unpair(task->device, task->loss_there);
    egg_device_unpair(task->device, task->states_there);
    egg_free(task->scratch);
    egg_free(task->states);
    egg_free(task->loss);
    egg_free(task);
}

/* The segment of stream 'stream': steps inputs and the byte after them. */
static void read_segment(const egg_pretrain *task, uint32_t stream, uint8_t *segment)
{
    const egg_pretrain_shape *shape = &task->shape;
    uint64_t streams = shape->population / shape->group, length = shape->train_bytes;
    uint64_t start = stream * (length / streams) + stream * (length % streams) / streams;
    uint64_t at = (start + task->epoch % length * shape->steps) % length;
    size_t wanted = (size_t)shape->steps + 1;
    while (wanted) {   /* the corpus itself goes on behind the training text, so the turn is taken here */
        size_t n = length - at < wanted ? (size_t)(length - at) : wanted;
        egg_corpus_read(task->corpus, at, n, segment);
        segment += n;
        wanted -= n;
        at = 0;
    }
}

static void load_tokens(const egg_pretrain *task, egg_pretrain_scratch *scratch, uint32_t first_member,
                        uint32_t members)
{
    size_t steps = task->shape.steps;
    for (uint32_t m = 0; m < members; m++) {
        uint32_t member = first_member + m;
        if (m == 0 || member % task->shape.group == 0)
            read_segment(task, member / task->shape.group, scratch->segment);
        memcpy(scratch->tokens + m * steps, scratch->segment, steps);
        memcpy(scratch->targets + m * steps, scratch->segment + 1, steps);
    }
    egg_device_upload(task->device, scratch->tokens_there, scratch->tokens, members * steps);
    egg_device_upload(task->device, scratch->targets_there, scratch->targets, members * steps);
}

static void evaluate_chunk(void *context, size_t begin, size_t end, uint32_t thread)
{
    egg_pretrain *task = context;
    egg_pretrain_scratch *scratch = &task->scratch[thread];
    uint32_t pair = task->first_pair + (uint32_t)begin, members = 2 * (uint32_t)(end - begin);
    size_t first_member = 2 * (size_t)pair;
    size_t state_bytes = task->model->state_bytes;
    int8_t *states = task->states ? task->states_there + first_member * state_bytes : scratch->states;
    if (!task->states) egg_device_fill(task->device, states, 0, members * state_bytes);
    load_tokens(task, scratch, (uint32_t)first_member, members);

    egg_mark mark = egg_arena_mark(&scratch->arena);
    egg_pass pass = egg_pass_begin(task->kernels, &scratch->arena, task->law, pair, members);
    egg_mat logits = egg_mat_i8(&pass, task->shape.steps, EGG_VOCABULARY);
    task->model->ops->forward(&pass, task->model, scratch->tokens_there, states, logits);
    egg_sequence_loss(&pass, logits, scratch->targets_there, task->loss_there + first_member);
    egg_arena_release(&scratch->arena, mark);
    if (pass.failed) atomic_store(&task->failed, true);
}

egg_status egg_pretrain_evaluate(egg_pretrain *task, const egg_kernels *kernels, egg_pool *pool, const egg_perturb *law,
                                 uint64_t epoch, egg_slice slice, egg_error *error)
{
    task->kernels = kernels;
    task->law = law;
    task->epoch = epoch;
    task->first_pair = slice.first_pair;
    atomic_store(&task->failed, false);
    egg_parallel_for(pool, slice.pairs, chunk_pairs(&task->shape, task->model), evaluate_chunk, task);
    if (atomic_load(&task->failed)) return egg_fail(error, EGG_ERR_NOMEM, "a chunk outgrew its scratch memory");
    task->ahead = task->device && task->states;
    const size_t first = 2 * (size_t)slice.first_pair;
    egg_device_download(task->device, task->loss + first, task->loss_there + first,
                        2 * (size_t)slice.pairs * sizeof *task->loss);
    return egg_device_wait(task->device, error);
}

int32_t *egg_pretrain_loss(egg_pretrain *task)
{
    return task->loss;
}

int8_t *egg_pretrain_states(egg_pretrain *task, size_t *bytes)
{
    *bytes = task->states ? (size_t)task->shape.population * task->model->state_bytes : 0;
    if (task->ahead) egg_device_download(task->device, task->states, task->states_there, *bytes);
    task->ahead = false;
    return task->states;
}

void egg_pretrain_states_changed(egg_pretrain *task)
{
    if (task->states)
        egg_device_upload(task->device, task->states_there, task->states,
                          (size_t)task->shape.population * task->model->state_bytes);
}

uint64_t egg_pretrain_text_bytes(const egg_pretrain *task)
{
    return (uint64_t)(task->shape.population / task->shape.group) * task->shape.steps;
}
