/* SPDX-License-Identifier: MIT */
/*
 * cuBLAS, to measure against, where the machine has it: loaded when somebody asks, neither linked nor needed to build.
 * What of its interface is used is declared here; it has been the same since its version 11.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/tensor.h"

enum {
    OP_NONE = 0,
    OP_TRANSPOSED = 1,
    REAL_BF16 = 14,
    COMPUTE_F32 = 68,
    ALGORITHM_DEFAULT = -1,
    ALL_SUMS_IN_F32 = 16     /* a math mode: parts of a sum are not added up as bf16 */
};

/* All return 0 if all went well. Matrices are column-major: element (i, j) is at i + j * stride. */
typedef int create_fn(void **handle);
typedef int destroy_fn(void *handle);
typedef int set_stream_fn(void *handle, cudaStream_t stream);
typedef int set_math_mode_fn(void *handle, int mode);
typedef int get_property_fn(int which, int *value);   /* 0, 1, 2: of the version */
typedef int gemm_ex_fn(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *A,
                       int type_a, int stride_a, const void *B, int type_b, int stride_b, const void *beta, void *C,
                       int type_c, int stride_c, int compute, int algorithm);

static struct {
    void *library;
    create_fn *create;
    destroy_fn *destroy;
    set_stream_fn *set_stream;
    set_math_mode_fn *set_math_mode;
    get_property_fn *get_property;
    gemm_ex_fn *gemm_ex;
    void *handle;             /* of the open device */
    char name[320];
} cublas;

static bool load(const char *name)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    cublas.create = (create_fn *)dlsym(library, "cublasCreate_v2");
    cublas.destroy = (destroy_fn *)dlsym(library, "cublasDestroy_v2");
    cublas.set_stream = (set_stream_fn *)dlsym(library, "cublasSetStream_v2");
    cublas.set_math_mode = (set_math_mode_fn *)dlsym(library, "cublasSetMathMode");
    cublas.get_property = (get_property_fn *)dlsym(library, "cublasGetProperty");
    cublas.gemm_ex = (gemm_ex_fn *)dlsym(library, "cublasGemmEx");
    int version[3] = {};
    bool good = cublas.create && cublas.destroy && cublas.set_stream && cublas.set_math_mode && cublas.get_property &&
                cublas.gemm_ex;
    for (int i = 0; i < 3; i++) good = good && cublas.get_property(i, &version[i]) == 0;
    if (!good) {
        dlclose(library);
        return false;
    }
    snprintf(cublas.name, sizeof cublas.name, "%.255s, version %d.%d.%d", name, version[0], version[1], version[2]);
    cublas.library = library;
    return true;
}

extern "C" const char *egg_cuda_cublas(const char **why)
{
    const char *named = getenv("EGGROLL_CUBLAS");
    *why = NULL;
    if (cublas.library || (named && *named && load(named))) return cublas.name;
#ifdef EGG_CUDA_EMULATOR
    *why = "the GPU is emulated";
#else
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};
    for (const char *name : names)
        if (!(named && *named) && load(name)) return cublas.name;
    *why = "neither libcublas.so.13 nor .12 was found; LD_LIBRARY_PATH or EGGROLL_CUBLAS may name a place";
#endif
    return NULL;
}

static void check(int status, const char *what)
{
    char text[80];
    snprintf(text, sizeof text, "%s (status %d)", what, status);
    if (status) egg_cuda_check(cudaErrorUnknown, text);
}

/* Row-major matrices are the transposes of column-major ones: Y^T (out, rows) = W (out, in) X^T (in, rows). */
extern "C" void egg_cuda_cublas_linear(const egg_tensor_args *args)
{
    const char *why;
    const float one = 1, zero = 0;
    if (!egg_cuda_check(egg_cuda_cublas(&why) ? cudaSuccess : cudaErrorUnknown, "cuBLAS is not there")) return;
    if (!cublas.handle) {
        check(cublas.create(&cublas.handle), "opening cuBLAS");
        if (!cublas.handle) return;
        check(cublas.set_stream(cublas.handle, egg_cuda_stream), "giving cuBLAS a stream");
        check(cublas.set_math_mode(cublas.handle, ALL_SUMS_IN_F32), "asking cuBLAS for sums in float32");
    }
    const int rows = (int)args->rows, out = (int)args->out, in = (int)args->in;
    check(cublas.gemm_ex(cublas.handle, OP_TRANSPOSED, OP_NONE, out, rows, in, &one, args->W, REAL_BF16, in, args->X,
                         REAL_BF16, in, &zero, args->Y, REAL_BF16, out, COMPUTE_F32, ALGORITHM_DEFAULT),
          "multiplying by cuBLAS");
}

void egg_cuda_cublas_close(void)
{
    if (cublas.handle) cublas.destroy(cublas.handle);
    cublas.handle = NULL;
}
