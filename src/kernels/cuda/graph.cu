/* SPDX-License-Identifier: MIT */
/*
 * Sequences of calls kept as CUDA graphs: to launch one costs the host as much as a few kernels, whatever it is made
 * of, and the device begins each kernel sooner. To make one costs several times what its calls do, so a sequence is
 * only kept when it comes for the second time; of many the one that was not wanted for longest makes room.
 */
#include "kernels/cuda/cuda.h"

enum { KEPT = 32, KEY_BYTES = 128 };

struct kept_graph {
    unsigned char key[KEY_BYTES];
    size_t key_bytes;            /* 0: the place is free */
    uint64_t used;               /* when, counted in uses */
    cudaGraphExec_t graph;       /* NULL: its calls were made once, and not kept */
};

static kept_graph kept[KEPT];
static kept_graph *recording;    /* NULL: calls are only made */
static uint64_t uses;

static void forget(kept_graph *place)
{
    if (place->graph) egg_cuda_check(cudaGraphExecDestroy(place->graph), "giving up a graph");
    *place = {};
}

void egg_cuda_graphs_forget(void)
{
    for (uint32_t i = 0; i < KEPT; i++)
        if (kept[i].key_bytes) forget(&kept[i]);
}

/* The place that has the key, or one for it. */
static kept_graph *place_of(const void *key, size_t bytes)
{
    kept_graph *oldest = &kept[0];
    for (uint32_t i = 0; i < KEPT; i++) {
        if (kept[i].key_bytes == bytes && memcmp(kept[i].key, key, bytes) == 0) return &kept[i];
        if (kept[i].used < oldest->used) oldest = &kept[i];
    }
    forget(oldest);
    return oldest;
}

bool egg_cuda_begin_replay(const void *key, size_t bytes)
{
    if (bytes > KEY_BYTES || !egg_cuda_check(cudaSuccess, "")) return false;
    kept_graph *place = place_of(key, bytes);
    const bool known = place->key_bytes != 0;
    memcpy(place->key, key, bytes);
    place->key_bytes = bytes;
    place->used = ++uses;
    if (place->graph) return egg_cuda_check(cudaGraphLaunch(place->graph, egg_cuda_stream), "launching a graph");
    if (known && egg_cuda_check(cudaStreamBeginCapture(egg_cuda_stream, cudaStreamCaptureModeThreadLocal),
                                "recording a graph"))
        recording = place;
    return false;
}

void egg_cuda_end_replay(void)
{
    cudaGraph_t graph = nullptr;
    kept_graph *place = recording;
    recording = nullptr;
    if (!place) return;
    const cudaError_t ended = cudaStreamEndCapture(egg_cuda_stream, &graph);   /* in any case, or nothing works again */
    if (egg_cuda_check(ended, "recording a graph") &&
        egg_cuda_check(cudaGraphInstantiate(&place->graph, graph, 0), "keeping a graph"))
        egg_cuda_check(cudaGraphLaunch(place->graph, egg_cuda_stream), "launching a graph");
    if (graph) egg_cuda_check(cudaGraphDestroy(graph), "giving up a graph");
}
