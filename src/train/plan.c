/* SPDX-License-Identifier: MIT */
#include "train/plan.h"

#include "base/system.h"
#include "es/update.h"
#include "tasks/score.h"

/*
 * Small things beside the large: tables to count bytes, a file's write buffer, code that has not run yet; a thread's
 * stack.
 */
enum { SUNDRIES_BYTES = 1 << 20, STACK_BYTES = 1 << 16 };

void egg_plan_add(egg_plan *plan, const char *name, uint64_t bytes)
{
    plan->items[plan->count++] = (egg_plan_item){.name = name, .bytes = bytes};
    plan->total_bytes += bytes;
}

/* Not all that is free: kernels that are loaded when they are first used, graphs and rounding take some, too. */
uint64_t egg_plan_device_available(const egg_device *device)
{
    const uint64_t reserve = 256 << 20, free_bytes = device->memory().free_bytes;
    return free_bytes > reserve ? free_bytes - reserve : 0;
}

void egg_plan_add_device(egg_plan *plan, const char *name, uint64_t bytes)
{
    plan->items[plan->count++] = (egg_plan_item){.name = name, .bytes = bytes, .on_device = true};
    plan->device_bytes += bytes;
}

uint64_t egg_plan_program_bytes(uint64_t base_bytes, uint32_t threads)
{
    return base_bytes + SUNDRIES_BYTES + (uint64_t)threads * STACK_BYTES;
}

static const egg_plan_item *largest(const egg_plan *plan, bool on_device)
{
    const egg_plan_item *found = NULL;
    for (uint32_t i = 1; i < plan->count; i++)
        if (plan->items[i].on_device == on_device && (!found || plan->items[i].bytes > found->bytes))
            found = &plan->items[i];
    return found;
}

static egg_status check(const egg_plan *plan, bool on_device, uint64_t needed, uint64_t available, egg_error *error)
{
    if (!available || needed <= available) return EGG_OK;
    const egg_plan_item *most = largest(plan, on_device);
    return egg_fail(error, EGG_ERR_NOMEM,
                    "the run needs %.1f MiB of %smemory and %.1f MiB are available; the largest part: %s, %.1f MiB",
                    (double)needed / 0x1p20, on_device ? "the device's " : "", (double)available / 0x1p20, most->name,
                    (double)most->bytes / 0x1p20);
}

egg_status egg_plan_check(const egg_plan *plan, uint64_t held, uint64_t droppable, egg_error *error)
{
    egg_status status = check(plan, false, plan->total_bytes - held - droppable, plan->available_bytes, error);
    if (status != EGG_OK) return status;
    return check(plan, true, plan->device_bytes, plan->device_available_bytes, error);
}

/* What goes onto the kernels' device, item by item; on the host it is counted where it is. */
static void add_device(egg_plan *plan, const egg_settings *settings, const egg_model *shape,
                       const egg_kernels *kernels, const egg_pretrain_memory *task)
{
    plan->device_available_bytes = egg_plan_device_available(kernels->device);
    egg_plan_add_device(plan, "device: parameters", egg_model_device_bytes(shape, kernels));
    if (settings->update == EGG_UPDATE_FRACTIONAL)
        egg_plan_add_device(plan, "device: fractions of the weights", egg_model_parameters(shape) * sizeof(int16_t));
    if (task->device_states) egg_plan_add_device(plan, "device: recurrent states", task->device_states);
    egg_plan_add_device(plan, "device: scratch for evaluating", task->device_scratch);
    egg_plan_add_device(plan, "device: scratch for updating",
                        egg_update_bytes(shape->params, shape->param_count, (uint32_t)settings->rank, 1));
    egg_plan_add_device(plan, "device: scratch for validating", egg_scorer_device_bytes(shape));
}

egg_status egg_plan_run(egg_plan *plan, const egg_settings *settings, const egg_model *shape,
                        const egg_kernels *kernels, uint32_t threads, const egg_corpus *const *corpora, size_t count,
                        uint64_t train_bytes, uint64_t base_bytes, egg_error *error)
{
    egg_pretrain_shape pretrain = egg_settings_pretrain(settings, threads, train_bytes);
    egg_pretrain_memory task = egg_pretrain_bytes(&pretrain, shape);
    uint64_t parameters = egg_model_parameters(shape), text = 0;
    for (size_t i = 0; i < count; i++) text += egg_corpus_resident_bytes(corpora[i]);

    *plan = (egg_plan){.parameters = parameters, .epochs = egg_settings_schedule(settings).epochs,
                       .available_bytes = egg_system_available_bytes()};
    egg_plan_add(plan, "program", egg_plan_program_bytes(base_bytes, threads));
    egg_plan_add(plan, "text, as far as it stays in memory", text);
    egg_plan_add(plan, "parameters", egg_model_bytes(shape, kernels));
    if (settings->update == EGG_UPDATE_FRACTIONAL)
        egg_plan_add(plan, "fractions of the weights", parameters * sizeof(int16_t));
    if (task.states) egg_plan_add(plan, "recurrent states of the members", task.states);
    egg_plan_add(plan, "fitness of the members", task.fitness + settings->population / 2 * sizeof(int32_t) +
                 settings->population / (settings->journal == EGG_JOURNAL_ON ? 1 : 2));
    egg_plan_add(plan, "scratch for evaluating", task.scratch);
    if (!kernels->device)
        egg_plan_add(plan, "scratch for updating",
                     egg_update_bytes(shape->params, shape->param_count, (uint32_t)settings->rank, threads));
    egg_plan_add(plan, "scratch for validating", egg_scorer_bytes(shape, threads));
    if (kernels->device) add_device(plan, settings, shape, kernels, &task);
    return egg_plan_check(plan, base_bytes, text, error);
}
