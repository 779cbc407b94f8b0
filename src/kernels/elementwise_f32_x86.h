/* SPDX-License-Identifier: MIT */
/*
 * Template of the float32 kernels that touch every value once. A level's level.h comes first: vectors (vec_f32,
 * F32_LANES), the operations on them, and ISA(), which completes the names. Lengths are multiples of EGG_ROW_QUANTUM
 * and so of every vector.
 */

/* --------------------------------------------------------------------------------------------------------- weigh */

static void ISA(weigh_f32)(const float *A, const float *F, uint32_t pairs, size_t n, float *out)
{
    for (uint32_t p = 0; p < pairs; p++, A += n, out += n) {
        const vec_f32 factor = splat_f32(F[p]);
        for (size_t i = 0; i < n; i += F32_LANES) store_f32(out + i, load_f32(A + i) * factor);
    }
}
