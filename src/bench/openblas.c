/* SPDX-License-Identifier: MIT */
#include "bench/openblas.h"

#ifdef EGG_HAVE_OPENBLAS

#include <cblas.h>

bool egg_openblas_open(void)
{
    openblas_set_num_threads(1);
    return true;
}

void egg_openblas_linear(const float *X, const float *W, float *Y, uint32_t rows, uint32_t out, uint32_t in)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)out, (int)in, 1, X, (int)in, W, (int)in, 0, Y,
                (int)out);
}

#else

bool egg_openblas_open(void)
{
    return false;
}

void egg_openblas_linear(const float *X, const float *W, float *Y, uint32_t rows, uint32_t out, uint32_t in)
{
    (void)X, (void)W, (void)Y, (void)rows, (void)out, (void)in;
}

#endif
