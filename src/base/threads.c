/* SPDX-License-Identifier: MIT */
/*
 * POSIX threads rather than OpenMP: ThreadSanitizer understands them, gcc and clang builds share one runtime, and a
 * host program with an OpenMP runtime of its own does not get a second one.
 */
#define _GNU_SOURCE
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/memory.h"

typedef struct egg_worker {
    egg_pool *pool;
    pthread_t thread;
    uint32_t index;
} egg_worker;

struct egg_pool {
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    uint64_t round;            /* of the job the workers should run or have run */
    uint32_t running;          /* workers still in the current round */
    bool quit;

    egg_range_fn *fn;
    void *context;
    size_t n, grain;
    atomic_size_t next;        /* first index nobody has taken */

    uint32_t threads;
    egg_worker *workers;       /* (threads - 1) */
};

static void take_ranges(egg_pool *pool, uint32_t thread)
{
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(&pool->next, pool->grain, memory_order_relaxed);
        if (begin >= pool->n) return;
        size_t end = pool->n - begin < pool->grain ? pool->n : begin + pool->grain;
        pool->fn(pool->context, begin, end, thread);
    }
}

static void *worker_main(void *argument)
{
    egg_worker *self = argument;
    egg_pool *pool = self->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->round == seen && !pool->quit) pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->quit) break;
        seen = pool->round;
        pthread_mutex_unlock(&pool->mutex);
        take_ranges(pool, self->index);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->running == 0) pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

uint32_t egg_processor_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return (uint32_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

egg_status egg_pool_open(egg_pool **out, uint32_t threads, egg_error *error)
{
    *out = NULL;
    if (threads == 0) threads = egg_processor_count();
    egg_pool *pool = egg_alloc(sizeof *pool);
    egg_worker *workers = egg_alloc_array(threads, sizeof *workers);
    if (!pool || !workers) {
        egg_free(pool);
        egg_free(workers);
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u threads", threads);
    }
    pool->workers = workers;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (pool->threads = 1; pool->threads < threads; pool->threads++) {
        egg_worker *worker = &workers[pool->threads - 1];
        *worker = (egg_worker){.pool = pool, .index = pool->threads};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            uint32_t started = pool->threads;
            egg_pool_close(pool);
            return egg_fail(error, EGG_ERR_NOMEM, "could start only %u of %u threads", started, threads);
        }
    }
    *out = pool;
    return EGG_OK;
}

void egg_pool_close(egg_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    pool->quit = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 1; i < pool->threads; i++) pthread_join(pool->workers[i - 1].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->start);
    pthread_mutex_destroy(&pool->mutex);
    egg_free(pool->workers);
    egg_free(pool);
}

uint32_t egg_pool_threads(const egg_pool *pool)
{
    return pool ? pool->threads : 1;
}

void egg_parallel_for(egg_pool *pool, size_t n, size_t grain, egg_range_fn *fn, void *context)
{
    if (n == 0) return;
    if (!pool || pool->threads == 1 || n <= grain) {
        for (size_t begin = 0; begin < n; begin += grain) fn(context, begin, n - begin < grain ? n : begin + grain, 0);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->fn = fn;
    pool->context = context;
    pool->n = n;
    pool->grain = grain;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->running = pool->threads - 1;
    pool->round++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);

    take_ranges(pool, 0);

    pthread_mutex_lock(&pool->mutex);
    while (pool->running != 0) pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}
