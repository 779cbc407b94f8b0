/* SPDX-License-Identifier: MIT */
/* What the suites finetune and decode measure: RWKV-7 of random weights, and on a device the memory of it all. */
#ifndef EGG_BENCH_LANGUAGE_MODEL_H
#define EGG_BENCH_LANGUAGE_MODEL_H

#include "bench/bench.h"
#include "models/rwkv7.h"

enum { EGG_BENCH_RWKV7_SHAPES = 2 };

/*
 * Those of published models with the World vocabulary: 0.1B, and on a device 1.5B behind it; or the one of the width
 * and layers that were named, with a smaller vocabulary where that would be most of the model. Returns how many.
 */
uint32_t egg_bench_rwkv7_shapes(const egg_bench_setting *setting, egg_rwkv7_shape shapes[EGG_BENCH_RWKV7_SHAPES]);

/*
 * The same weights once for each storage (count), packed only: nothing will change them. Activations stay of order one.
 * What was opened before an error is the caller's to close.
 */
egg_status egg_bench_rwkv7_open(egg_rwkv7 **models, const egg_storage *storages, uint32_t count,
                                const egg_rwkv7_shape *shape, const egg_bench_setting *setting, egg_error *error);

/* A model without weights that such a one's memory is planned with. */
egg_status egg_bench_rwkv7_plan(egg_rwkv7 **model, egg_storage storage, const egg_rwkv7_shape *shape,
                                const egg_bench_setting *setting, egg_error *error);

/* Answers that a population writes on a device unless --population is given: 256 directions, 6 prompts. */
enum { EGG_BENCH_MEMBERS = 512, EGG_BENCH_PROMPTS = 6 };

uint32_t egg_bench_pairs(const egg_bench_setting *setting);

/* Free memory of the device; 0 where there is none. */
uint64_t egg_bench_device_free(const egg_bench_setting *setting);

/* EGG_ERR_NOMEM where the device has not so much left. */
egg_status egg_bench_device_check(const egg_bench_setting *setting, uint64_t needed, egg_error *error);

/* What has been taken of the device's memory since 'free_before' was free, beside what the plan says. */
void egg_bench_report_memory(const egg_bench_setting *setting, const char *size, uint64_t free_before,
                             uint64_t planned);

#endif
