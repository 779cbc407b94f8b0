/* SPDX-License-Identifier: MIT */
/*
 * As much of cuBLAS as src/kernels/cuda/cublas.cu calls, on the processor, by the definition of BLAS: to see that the
 * product is asked for rightly where there is no GPU. Only for memory that the host reaches.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OP_NONE = 0, OP_TRANSPOSED = 1, REAL_BF16 = 14, COMPUTE_F32 = 68, NOT_SUPPORTED = 15 };

int cublasCreate_v2(void **handle);
int cublasDestroy_v2(void *handle);
int cublasSetStream_v2(void *handle, void *stream);
int cublasGetProperty(int which, int *value);
int cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *A, int type_a,
                 int stride_a, const void *B, int type_b, int stride_b, const void *beta, void *C, int type_c,
                 int stride_c, int compute, int algorithm);

int cublasCreate_v2(void **handle)
{
    *handle = calloc(1, sizeof(void *));   /* the stream */
    return *handle ? 0 : 1;
}

int cublasDestroy_v2(void *handle)
{
    free(handle);
    return 0;
}

int cublasSetStream_v2(void *handle, void *stream)
{
    *(void **)handle = stream;
    return 0;
}

int cublasGetProperty(int which, int *value)
{
    *value = 3 - which;
    return 0;
}

static float value_at(const void *matrix, int transposed, int i, int j, int stride)
{
    const size_t at = transposed ? (size_t)j + (size_t)i * (size_t)stride : (size_t)i + (size_t)j * (size_t)stride;
    const uint32_t bits = (uint32_t)((const uint16_t *)matrix)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest bf16, ties to even. */
static uint16_t rounded(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C, with beta 0. */
int cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *A, int type_a,
                 int stride_a, const void *B, int type_b, int stride_b, const void *beta, void *C, int type_c,
                 int stride_c, int compute, int algorithm)
{
    if (!*(void **)handle || type_a != REAL_BF16 || type_b != REAL_BF16 || type_c != REAL_BF16 ||
        compute != COMPUTE_F32 || algorithm != -1 || *(const float *)beta != 0 ||
        stride_a < (op_a == OP_TRANSPOSED ? k : m) || stride_b < (op_b == OP_TRANSPOSED ? n : k) || stride_c < m)
        return NOT_SUPPORTED;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)value_at(A, op_a != OP_NONE, i, l, stride_a) *
                       value_at(B, op_b != OP_NONE, l, j, stride_b);
            ((uint16_t *)C)[(size_t)i + (size_t)j * (size_t)stride_c] = rounded((float)sum * *(const float *)alpha);
        }
    return 0;
}
