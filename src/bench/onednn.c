/* SPDX-License-Identifier: MIT */
#include "bench/onednn.h"

#ifdef EGG_HAVE_DNNL

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "base/memory.h"

/*
 * u8 * s8 -> s32, the instruction's own form and the fastest that oneDNN has: X is shifted to unsigned once, untimed.
 */
struct egg_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t matmul;
    dnnl_memory_t X, W, C;
    uint8_t *inputs;
};

static bool failed(dnnl_status_t result, egg_error *error)
{
    if (result == dnnl_success) return false;
    egg_fail(error, EGG_ERR_UNSUPPORTED, "oneDNN failed with status %d", (int)result);
    return true;
}

#define DNNL_TRY(call)                                                                                                 \
    do {                                                                                                               \
        if (failed(call, error)) goto fail;                                                                            \
    } while (0)

static dnnl_status_t describe(dnnl_memory_desc_t *description, int64_t a, int64_t b, dnnl_data_type_t type,
                              dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {a, b};
    return dnnl_memory_desc_init_by_tag(description, 2, dims, type, tag);
}

/* Lets oneDNN choose the order of the weights, as a user of many products would. */
static dnnl_status_t pack_weights(egg_onednn *peer, const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *packed,
                                  const int8_t *W)
{
    dnnl_memory_t source = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t result = dnnl_memory_create(&source, plain, peer->engine, (void *)(uintptr_t)W);
    if (result == dnnl_success) result = dnnl_memory_create(&peer->W, packed, peer->engine, DNNL_MEMORY_ALLOCATE);
    if (result == dnnl_success)
        result = dnnl_reorder_primitive_desc_create(&description, plain, peer->engine, packed, peer->engine, NULL);
    if (result == dnnl_success) result = dnnl_primitive_create(&reorder, description);
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, peer->W}};
    if (result == dnnl_success) result = dnnl_primitive_execute(reorder, peer->stream, 2, arguments);
    if (result == dnnl_success) result = dnnl_stream_wait(peer->stream);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(description);
    dnnl_memory_destroy(source);
    return result;
}

egg_status egg_onednn_open(egg_onednn **out, const int8_t *X, const int8_t *W, uint32_t rows, uint32_t out_n,
                           uint32_t in, egg_error *error)
{
    dnnl_memory_desc_t x, w, w_any, c;
    dnnl_matmul_desc_t description;
    dnnl_primitive_desc_t primitive = NULL;
    egg_onednn *peer = egg_alloc(sizeof *peer);
    *out = NULL;
    if (peer) peer->inputs = egg_alloc((size_t)rows * in);
    if (!peer || !peer->inputs) {
        egg_onednn_close(peer);
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for oneDNN");
    }
    omp_set_num_threads(1);
    for (size_t i = 0; i < (size_t)rows * in; i++) peer->inputs[i] = (uint8_t)(X[i] + 128);
    DNNL_TRY(dnnl_engine_create(&peer->engine, dnnl_cpu, 0));
    DNNL_TRY(dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags));
    DNNL_TRY(describe(&x, rows, in, dnnl_u8, dnnl_ab));
    DNNL_TRY(describe(&w, in, out_n, dnnl_s8, dnnl_ba));
    DNNL_TRY(describe(&w_any, in, out_n, dnnl_s8, dnnl_format_tag_any));
    DNNL_TRY(describe(&c, rows, out_n, dnnl_s32, dnnl_ab));
    DNNL_TRY(dnnl_matmul_desc_init(&description, &x, &w_any, NULL, &c));
    DNNL_TRY(dnnl_primitive_desc_create(&primitive, &description, NULL, peer->engine, NULL));
    DNNL_TRY(dnnl_primitive_create(&peer->matmul, primitive));
    DNNL_TRY(dnnl_memory_create(&peer->X, &x, peer->engine, peer->inputs));
    DNNL_TRY(dnnl_memory_create(&peer->C, &c, peer->engine, DNNL_MEMORY_ALLOCATE));
    DNNL_TRY(pack_weights(peer, &w, dnnl_primitive_desc_query_md(primitive, dnnl_query_weights_md, 0), W));
    dnnl_primitive_desc_destroy(primitive);
    *out = peer;
    return EGG_OK;

fail:
    dnnl_primitive_desc_destroy(primitive);
    egg_onednn_close(peer);
    return EGG_ERR_UNSUPPORTED;
}

void egg_onednn_close(egg_onednn *peer)
{
    if (!peer) return;
    dnnl_primitive_destroy(peer->matmul);
    dnnl_memory_destroy(peer->X);
    dnnl_memory_destroy(peer->W);
    dnnl_memory_destroy(peer->C);
    dnnl_stream_destroy(peer->stream);
    dnnl_engine_destroy(peer->engine);
    egg_free(peer->inputs);
    egg_free(peer);
}

egg_status egg_onednn_run(void *context, egg_error *error)
{
    egg_onednn *peer = context;
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, peer->X}, {DNNL_ARG_WEIGHTS, peer->W}, {DNNL_ARG_DST, peer->C}};
    if (failed(dnnl_primitive_execute(peer->matmul, peer->stream, 3, arguments), error)) return EGG_ERR_UNSUPPORTED;
    return failed(dnnl_stream_wait(peer->stream), error) ? EGG_ERR_UNSUPPORTED : EGG_OK;
}

#else

egg_status egg_onednn_open(egg_onednn **peer, const int8_t *X, const int8_t *W, uint32_t rows, uint32_t out,
                           uint32_t in, egg_error *error)
{
    (void)X, (void)W, (void)rows, (void)out, (void)in, (void)error;
    *peer = NULL;
    return EGG_OK;
}

void egg_onednn_close(egg_onednn *peer)
{
    (void)peer;
}

egg_status egg_onednn_run(void *peer, egg_error *error)
{
    (void)peer;
    return egg_fail(error, EGG_ERR_UNSUPPORTED, "this build is without oneDNN");
}

#endif
