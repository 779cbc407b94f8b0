/* SPDX-License-Identifier: MIT */
#include "tasks/sample.h"

#include "base/memory.h"

egg_memory_bytes egg_sampler_bytes(const egg_device *device, uint32_t vocabulary, uint32_t rows)
{
    const uint64_t lists = rows * (sizeof(double) + sizeof(uint32_t)), scratch = EGG_SAMPLE_SCRATCH(vocabulary);
    if (device) return (egg_memory_bytes){.host = lists, .device = lists + scratch};
    return (egg_memory_bytes){.host = lists + scratch};
}

egg_status egg_sampler_open(egg_sampler *sampler, const egg_sampling *sampling, const egg_kernels *kernels,
                            uint32_t vocabulary, uint32_t rows, egg_error *error)
{
    const egg_device *device = kernels->device;
    *sampler = (egg_sampler){.sampling = *sampling, .kernels = kernels, .vocabulary = vocabulary, .rows = rows};
    sampler->uniform = egg_alloc_array(rows, sizeof *sampler->uniform);
    sampler->token = egg_alloc_array(rows, sizeof *sampler->token);
    sampler->uniform_there = egg_device_pair(device, sampler->uniform, rows * sizeof *sampler->uniform);
    sampler->token_there = egg_device_pair(device, sampler->token, rows * sizeof *sampler->token);
    sampler->scratch = egg_device_alloc(device, EGG_SAMPLE_SCRATCH(vocabulary));
    if (sampler->uniform_there && sampler->token_there && sampler->scratch) return EGG_OK;
    egg_sampler_close(sampler);
    return egg_fail(error, EGG_ERR_NOMEM, "no memory to sample from %u tokens", vocabulary);
}

void egg_sampler_close(egg_sampler *sampler)
{
    const egg_device *device = sampler->kernels ? sampler->kernels->device : NULL;
    egg_device_unpair(device, sampler->uniform_there);
    egg_device_unpair(device, sampler->token_there);
    egg_device_free(device, sampler->scratch);
    egg_free(sampler->uniform);
    egg_free(sampler->token);
    *sampler = (egg_sampler){0};
}

void egg_sampler_draw(egg_sampler *sampler, const float *logits, uint32_t rows)
{
    const egg_sampling *sampling = &sampler->sampling;
    const egg_device *device = sampler->kernels->device;
    if (sampling->temperature > 0)
        egg_device_upload(device, sampler->uniform_there, sampler->uniform, rows * sizeof *sampler->uniform);
    sampler->kernels->sample_f32(&(egg_sample_args){
        .logits = logits, .uniform = sampler->uniform_there, .token = sampler->token_there,
        .scratch = sampler->scratch, .rows = rows, .n = sampler->vocabulary, .temperature = sampling->temperature,
        .top_p = sampling->top_p, .min_p = sampling->min_p,
    });
    egg_device_download(device, sampler->token, sampler->token_there, rows * sizeof *sampler->token);
}

double egg_words_uniform(egg_words *words)
{
    uint64_t high = egg_words_next(words), low = egg_words_next(words);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}
