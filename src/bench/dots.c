/* SPDX-License-Identifier: MIT */
#include "bench/dots.h"

/* Compiled for the instructions that have a dot product of bytes, where the processor turns out to have them. */
#define VNNI "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#if defined(__x86_64__) && defined(__clang__)
#define WITH_VNNI __attribute__((target(VNNI)))
#elif defined(__x86_64__)
#define WITH_VNNI __attribute__((target(VNNI ",prefer-vector-width=512")))
#endif

static size_t packed_bytes(uint32_t out, uint32_t in)
{
    return (size_t)out * in;
}

/* Unsigned weights, w + 128: the instruction multiplies an unsigned by a signed byte. */
static void pack(const void *W, uint32_t out, uint32_t in, void *packed)
{
    const int8_t *w = W;
    uint8_t *u = packed;
    for (size_t i = 0; i < (size_t)out * in; i++) u[i] = (uint8_t)(w[i] + 128);
}

static inline __attribute__((always_inline)) void linear(const egg_linear_args *args)
{
    const uint8_t *W = args->W;
    const size_t factor = (size_t)args->rank * args->out;
    for (uint32_t b = 0; b < args->rows; b++) {
        const int8_t *x = (const int8_t *)args->X + b * args->x_stride;
        int8_t *y = (int8_t *)args->Y + b * args->y_stride;
        const int8_t *A = args->A ? (const int8_t *)args->A + b / args->steps / 2 * factor : NULL;
        const int32_t *t = args->t ? (const int32_t *)args->t + (size_t)b * args->rank : NULL;
        int32_t total = 0;
        for (uint32_t i = 0; i < args->in; i++) total += x[i];
        for (uint32_t o = 0; o < args->out; o++) {
            const uint8_t *w = W + (size_t)o * args->in;
            int32_t sum = 0, noise = 0;
            for (uint32_t i = 0; i < args->in; i++) sum += (int32_t)w[i] * (int32_t)x[i];
            for (uint32_t k = 0; A && k < args->rank; k++) noise += t[k] * A[(size_t)k * args->out + o];
            sum = (sum - 128 * total + (noise >> args->noise_shift)) >> args->shift;
            y[o] = (int8_t)(sum < -127 ? -127 : sum > 127 ? 127 : sum);
        }
    }
}

static void linear_plain(const egg_linear_args *args)
{
    linear(args);
}

#ifdef WITH_VNNI
WITH_VNNI static void linear_vnni(const egg_linear_args *args)
{
    linear(args);
}
#endif

void egg_dots_kernels(egg_kernels *kernels)
{
    kernels->packed_bytes_i8 = packed_bytes;
    kernels->pack_i8 = pack;
    kernels->linear_i8 = linear_plain;
#ifdef WITH_VNNI
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) kernels->linear_i8 = linear_vnni;
#endif
}
