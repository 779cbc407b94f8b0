/* SPDX-License-Identifier: MIT */
/* What a run will hold in memory, from the same functions that size it. */
#ifndef EGG_TRAIN_PLAN_H
#define EGG_TRAIN_PLAN_H

#include "data/corpus.h"
#include "train/settings.h"

/*
 * 'shape': the model, with or without weights, of these kernels or planned for them. 'base_bytes': what the process
 * held before anything of the run was opened. 'corpora' (count) are open. Fills 'plan'; EGG_ERR_NOMEM where the total,
 * less text that the system can drop and read again, is more than the machine has available, or what goes onto a device
 * is more than that has.
 */
egg_status egg_plan_run(egg_plan *plan, const egg_settings *settings, const egg_model *shape,
                        const egg_kernels *kernels, uint32_t threads, const egg_corpus *const *corpora, size_t count,
                        uint64_t train_bytes, uint64_t base_bytes, egg_error *error);

/* The steps of it, for other kinds of runs. 'held' and 'droppable' of the total need not be available any more. */
void egg_plan_add(egg_plan *plan, const char *name, uint64_t bytes);
void egg_plan_add_device(egg_plan *plan, const char *name, uint64_t bytes);
uint64_t egg_plan_device_available(const egg_device *device);
uint64_t egg_plan_program_bytes(uint64_t base_bytes, uint32_t threads);
egg_status egg_plan_check(const egg_plan *plan, uint64_t held, uint64_t droppable, egg_error *error);

#endif
