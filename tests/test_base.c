/* SPDX-License-Identifier: MIT */
/* The lowest floor: failures and their texts, memory, scratch arenas, threads, processor levels. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "base/arena.h"
#include "base/compiler.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"

/* --------------------------------------------------------------------------------------------------------- status */

static void test_fail_fills_the_error(void **state)
{
    (void)state;
    egg_error error = {.offset = 7};
    assert_int_equal(egg_fail(&error, EGG_ERR_FORMAT, "%s: line %d", "file.json", 3), EGG_ERR_FORMAT);
    assert_int_equal(error.status, EGG_ERR_FORMAT);
    assert_string_equal(error.text, "file.json: line 3");
    assert_int_equal(egg_fail(NULL, EGG_ERR_COMM, "nobody reads this"), EGG_ERR_COMM);
}

static void test_fail_cuts_a_long_text(void **state)
{
    (void)state;
    struct {
        egg_error error;
        char after[2 * sizeof(egg_error)];
    } guarded;
    char longer[2 * sizeof guarded.error.text];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memset(&guarded, '#', sizeof guarded);

    egg_fail(&guarded.error, EGG_ERR_IO, "%s", longer);
    assert_int_equal(strlen(guarded.error.text), sizeof guarded.error.text - 1);

    errno = ENOENT;
    egg_fail_errno(&guarded.error, "%s", longer);
    assert_int_equal(strlen(guarded.error.text), sizeof guarded.error.text - 1);

    /* Three bytes are left for the reason. */
    errno = ENOENT;
    egg_fail_errno(&guarded.error, "%.*s", (int)sizeof guarded.error.text - 4, longer);
    assert_int_equal(strlen(guarded.error.text), sizeof guarded.error.text - 1);
    assert_string_equal(guarded.error.text + sizeof guarded.error.text - 4, ": N");
    for (size_t i = 0; i < sizeof guarded.after; i++) assert_int_equal(guarded.after[i], '#');
}

static void test_fail_errno_names_the_reason(void **state)
{
    (void)state;
    egg_error error = {0};
    errno = ENOENT;
    assert_int_equal(egg_fail_errno(&error, "cannot open '%s'", "weights"), EGG_ERR_IO);
    assert_int_equal(error.status, EGG_ERR_IO);
    assert_string_equal(error.text, "cannot open 'weights': No such file or directory");
    errno = ENOMEM;
    assert_int_equal(egg_fail_errno(&error, "cannot map"), EGG_ERR_NOMEM);
    assert_int_equal(error.status, EGG_ERR_NOMEM);
    errno = ENOMEM;
    assert_int_equal(egg_fail_errno(NULL, "nobody reads this"), EGG_ERR_NOMEM);
}

static void test_every_status_has_its_own_name(void **state)
{
    (void)state;
    for (int a = EGG_ERR_COMM; a <= EGG_OK; a++) {
        assert_string_not_equal(egg_status_name((egg_status)a), "unknown status");
        for (int b = EGG_ERR_COMM; b < a; b++)
            assert_string_not_equal(egg_status_name((egg_status)a), egg_status_name((egg_status)b));
    }
    assert_string_equal(egg_status_name((egg_status)1), "unknown status");
}

static egg_status third_of_three(int fail_at, int *calls, int *freed)
{
    egg_status status = EGG_OK;
    for (int i = 1; i <= 3; i++) {
        ++*calls;
        EGG_TRY(i == fail_at ? EGG_ERR_DEVICE : EGG_OK);
    }
out:
    ++*freed;
    return status;
}

static void test_try_leaves_at_the_first_failure(void **state)
{
    (void)state;
    for (int fail_at = 0; fail_at <= 3; fail_at++) {
        int calls = 0, freed = 0;
        assert_int_equal(third_of_three(fail_at, &calls, &freed), fail_at ? EGG_ERR_DEVICE : EGG_OK);
        assert_int_equal(calls, fail_at ? fail_at : 3);
        assert_int_equal(freed, 1);
    }
}

/* --------------------------------------------------------------------------------------------------------- memory */

static void test_memory_is_aligned_and_zero(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 127, 128, 4095, 4096, 100000};
    for (int round = 0; round < 3; round++)   /* the later rounds get back memory that has been written to */
        for (size_t i = 0; i < EGG_COUNT(sizes); i++) {
            char *memory = egg_alloc(sizes[i]);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % 64, 0);
            for (size_t at = 0; at < sizes[i]; at++) assert_int_equal(memory[at], 0);
            memset(memory, 0xA5, sizes[i]);
            egg_free(memory);
        }
    egg_free(NULL);
}

static void test_memory_refuses_sizes_that_overflow(void **state)
{
    (void)state;
    assert_null(egg_alloc(SIZE_MAX));
    assert_null(egg_alloc(SIZE_MAX - 64));
    assert_null(egg_alloc_array(SIZE_MAX, 2));
    assert_null(egg_alloc_array(SIZE_MAX / 4 + 1, 4));                     /* the product wraps round to 0 */
    assert_null(egg_alloc_array((size_t)1 << 33, ((size_t)1 << 31) + 1));   /* and here to 2^33 */
    void *none = egg_alloc_array(0, 8), *nothing = egg_alloc_array(8, 0);
    assert_non_null(none);
    assert_non_null(nothing);
    egg_free(none);
    egg_free(nothing);
}

static void test_memory_counts_and_fails_on_request(void **state)
{
    (void)state;
    uint64_t before = egg_alloc_count();
    void *memory[4];
    egg_alloc_fail_at(3);
    for (int i = 0; i < 4; i++) memory[i] = egg_alloc_array(2, 8);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(memory[i] == NULL, i == 2);
        egg_free(memory[i]);
    }
    assert_int_equal(egg_alloc_count() - before, 4);

    egg_alloc_fail_at(1);
    assert_null(egg_strdup("text"));

    egg_alloc_fail_at(1);
    egg_alloc_fail_at(0);
    char *copy = egg_strdup("text");
    assert_string_equal(copy, "text");
    egg_free(copy);
}

/* ---------------------------------------------------------------------------------------------------------- arena */

static void test_arena_takes_aligned_pieces_until_it_is_full(void **state)
{
    (void)state;
    egg_arena arena;
    assert_int_equal(egg_arena_open(&arena, 256, NULL), EGG_OK);
    char *a = egg_arena_take(&arena, 1), *b = egg_arena_take(&arena, 64), *c = egg_arena_take(&arena, 65);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_ptr_equal(b, a + 64);
    assert_ptr_equal(c, b + 64);
    memset(a, 1, 1);
    memset(b, 2, 64);
    memset(c, 3, 65);

    assert_null(egg_arena_take(&arena, 1));
    assert_null(egg_arena_take(&arena, SIZE_MAX));   /* rounded up it would be 0 */
    assert_null(egg_arena_take(&arena, SIZE_MAX - 63));
    assert_int_equal(arena.used, 256);
    egg_arena_close(&arena);
    assert_null(arena.data);
    egg_arena_close(&arena);
}

static void test_arena_releases_to_a_mark(void **state)
{
    (void)state;
    egg_arena arena;
    assert_int_equal(egg_arena_open(&arena, 1024, NULL), EGG_OK);
    char *kept = egg_arena_take(&arena, 64);
    memset(kept, 5, 64);
    egg_mark mark = egg_arena_mark(&arena);
    char *first = egg_arena_take(&arena, 256);
    memset(first, 6, 256);
    assert_non_null(egg_arena_take(&arena, 256));
    assert_int_equal(arena.peak, 576);

    egg_arena_release(&arena, mark);
    assert_int_equal(arena.used, 64);
    assert_int_equal(arena.peak, 576);   /* stays */
    char *again = egg_arena_take(&arena, 128);
    assert_ptr_equal(again, first);
    memset(again, 7, 128);
    for (int i = 0; i < 64; i++) assert_int_equal(kept[i], 5);
    assert_int_equal(arena.peak, 576);
    assert_null(egg_arena_take(&arena, 1024 - 64 - 128 + 1));
    assert_non_null(egg_arena_take(&arena, 1024 - 64 - 128));
    assert_int_equal(arena.peak, 1024);
    egg_arena_close(&arena);
}

static void test_arena_poisons_what_is_not_taken(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    egg_arena arena;
    assert_int_equal(egg_arena_open(&arena, 256, NULL), EGG_OK);
    char *memory = egg_arena_take(&arena, 100);
    assert_null(__asan_region_is_poisoned(memory, 100));
    assert_ptr_equal(__asan_region_is_poisoned(memory, 101), memory + 100);
    egg_arena_release(&arena, 0);
    assert_ptr_equal(__asan_region_is_poisoned(memory, 256), memory);
    egg_arena_close(&arena);
#else
    print_message("built without AddressSanitizer\n");
    skip();
#endif
}

static void test_arena_reports_missing_memory(void **state)
{
    (void)state;
    egg_arena arena;
    egg_error error = {0};
    egg_alloc_fail_at(1);
    assert_int_equal(egg_arena_open(&arena, 4096, &error), EGG_ERR_NOMEM);
    assert_non_null(strstr(error.text, "4096"));
    egg_arena_close(&arena);
}

/* -------------------------------------------------------------------------------------------------------- threads */

enum { MOST_INDICES = 1000, MOST_THREADS = 9 };

typedef struct cover {
    size_t n, grain;
    uint32_t threads;
    uint8_t visits[MOST_INDICES];         /* plain memory: ThreadSanitizer reports an index that two threads visit */
    uint64_t squares[MOST_INDICES];
    uint64_t by_thread[MOST_THREADS];     /* likewise for two threads with one number */
    atomic_uint bad_ranges;
} cover;

static void visit_range(void *context, size_t begin, size_t end, uint32_t thread)
{
    cover *c = context;
    size_t expected_end = c->n - begin < c->grain ? c->n : begin + c->grain;
    if (begin % c->grain || begin >= c->n || end != expected_end || thread >= c->threads) {
        c->bad_ranges++;
        return;
    }
    for (size_t i = begin; i < end; i++) {
        c->visits[i]++;
        c->squares[i] = i * i;
    }
    c->by_thread[thread] += end - begin;
}

static void check_cover(egg_pool *pool, size_t n, size_t grain)
{
    static cover c;
    memset(&c, 0, sizeof c);
    c.n = n;
    c.grain = grain;
    c.threads = egg_pool_threads(pool);
    egg_parallel_for(pool, n, grain, visit_range, &c);
    assert_int_equal(c.bad_ranges, 0);
    uint64_t total = 0;
    for (uint32_t t = 0; t < MOST_THREADS; t++) total += c.by_thread[t];
    assert_int_equal(total, n);
    for (size_t i = 0; i < MOST_INDICES; i++) {
        assert_int_equal(c.visits[i], i < n);
        assert_int_equal(c.squares[i], i < n ? i * i : 0);
    }
}

static void test_parallel_for_covers_every_index_once(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, MOST_THREADS};
    static const size_t lengths[] = {0, 1, 2, 7, 8, 9, 64, 999, 1000}, grains[] = {1, 2, 3, 8, 64, 999, 1000, 5000};
    for (size_t t = 0; t < EGG_COUNT(threads); t++) {
        egg_pool *pool = NULL;
        assert_int_equal(egg_pool_open(&pool, threads[t], NULL), EGG_OK);
        assert_int_equal(egg_pool_threads(pool), threads[t]);
        for (size_t n = 0; n < EGG_COUNT(lengths); n++)
            for (size_t g = 0; g < EGG_COUNT(grains); g++) check_cover(pool, lengths[n], grains[g]);
        egg_pool_close(pool);
    }
}

static void test_no_pool_is_the_plain_loop(void **state)
{
    (void)state;
    assert_int_equal(egg_pool_threads(NULL), 1);
    check_cover(NULL, 1000, 7);
    check_cover(NULL, 0, 7);
    egg_pool_close(NULL);
}

typedef struct meeting {
    atomic_uint arrived;
    bool worker_done;
} meeting;

/* Two ranges that wait for each other, so each thread has one; then the worker takes its time. */
static void meet_and_dawdle(void *context, size_t begin, size_t end, uint32_t thread)
{
    meeting *m = context;
    (void)begin;
    (void)end;
    for (m->arrived++; m->arrived < 2;) sched_yield();
    if (thread == 0) return;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    m->worker_done = true;
}

static void test_parallel_for_waits_for_the_last(void **state)
{
    (void)state;
    egg_pool *pool = NULL;
    assert_int_equal(egg_pool_open(&pool, 2, NULL), EGG_OK);
    for (int i = 0; i < 5; i++) {
        meeting m = {0};
        egg_parallel_for(pool, 2, 1, meet_and_dawdle, &m);
        assert_true(m.worker_done);
    }
    egg_pool_close(pool);
}

/* Each round depends on the one before it: a range that starts early or ends late changes the sum. */
static void sum_neighbours(void *context, size_t begin, size_t end, uint32_t thread)
{
    (void)thread;
    uint32_t **rows = context;
    for (size_t i = begin; i < end; i++) rows[1][i] = rows[0][i] + rows[0][(i + 1) % 8] + 1;
}

static void test_a_pool_serves_many_rounds(void **state)
{
    (void)state;
    uint32_t parallel[2][8] = {{0}}, serial[2][8] = {{0}};
    uint64_t allocations;
    egg_pool *pool = NULL;
    assert_int_equal(egg_pool_open(&pool, 3, NULL), EGG_OK);
    allocations = egg_alloc_count();
    for (uint32_t round = 0; round < 10000; round++) {
        egg_parallel_for(pool, 8, 1, sum_neighbours, (uint32_t *[]){parallel[round % 2], parallel[(round + 1) % 2]});
        egg_parallel_for(NULL, 8, 1, sum_neighbours, (uint32_t *[]){serial[round % 2], serial[(round + 1) % 2]});
    }
    assert_int_equal(egg_alloc_count(), allocations);
    assert_memory_equal(parallel, serial, sizeof serial);
    egg_pool_close(pool);
}

static void test_pools_open_and_close(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        egg_pool *pool = NULL;
        assert_int_equal(egg_pool_open(&pool, 4, NULL), EGG_OK);
        if (i % 2) check_cover(pool, 10, 1);
        egg_pool_close(pool);
    }
    egg_pool *pool = NULL;
    assert_true(egg_processor_count() >= 1);
    assert_int_equal(egg_pool_open(&pool, 0, NULL), EGG_OK);
    assert_int_equal(egg_pool_threads(pool), egg_processor_count());
    egg_pool_close(pool);
}

static void test_pool_reports_missing_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        egg_pool *pool = NULL;
        egg_error error = {0};
        egg_alloc_fail_at(nth);
        assert_int_equal(egg_pool_open(&pool, 4, &error), EGG_ERR_NOMEM);
        assert_null(pool);
        assert_non_null(strstr(error.text, "4 threads"));
    }
    egg_alloc_fail_at(0);
}

/* ---------------------------------------------------------------------------------------------- processor levels */

static uint32_t levels_under(const char *isa, const char **unknown)
{
    assert_int_equal(isa ? setenv("EGGROLL_ISA", isa, 1) : unsetenv("EGGROLL_ISA"), 0);
    uint32_t found = egg_cpu_levels(unknown);
    unsetenv("EGGROLL_ISA");
    return found;
}

static void test_isa_variable_masks_levels(void **state)
{
    (void)state;
    static const struct {
        const char *isa;
        uint32_t allowed;
    } cases[] = {
        {NULL, ~0u},
        {"", ~0u},
        {"ref", 0},
        {"neon", EGG_CPU_NEON},
        {"avx2", EGG_CPU_NEON | EGG_CPU_AVX2},   /* no machine has both */
        {"avx512vnni", ~0u},
    };
    for (size_t i = 0; i < EGG_COUNT(cases); i++) {
        const char *unknown = "untouched";
        assert_int_equal(levels_under(cases[i].isa, &unknown), egg_cpu_detect() & cases[i].allowed);
        assert_null(unknown);
    }
}

static void test_unknown_isa_is_reported(void **state)
{
    (void)state;
    static const char *const names[] = {"sse9", "AVX2", "avx", "avx2 ", "unknown", "0"};
    for (size_t i = 0; i < EGG_COUNT(names); i++) {
        const char *unknown = NULL;
        setenv("EGGROLL_ISA", names[i], 1);
        assert_int_equal(egg_cpu_levels(&unknown), egg_cpu_detect());
        assert_string_equal(unknown, names[i]);
        unsetenv("EGGROLL_ISA");
    }
}

static void test_levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(egg_cpu_level_name(0), "ref");
    assert_string_equal(egg_cpu_level_name(EGG_CPU_NEON), "neon");
    assert_string_equal(egg_cpu_level_name(EGG_CPU_AVX2), "avx2");
    assert_string_equal(egg_cpu_level_name(EGG_CPU_AVX512VNNI), "avx512vnni");
    assert_string_equal(egg_cpu_level_name(EGG_CPU_AVX2 | EGG_CPU_NEON), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_fills_the_error),
        cmocka_unit_test(test_fail_cuts_a_long_text),
        cmocka_unit_test(test_fail_errno_names_the_reason),
        cmocka_unit_test(test_every_status_has_its_own_name),
        cmocka_unit_test(test_try_leaves_at_the_first_failure),
        cmocka_unit_test(test_memory_is_aligned_and_zero),
        cmocka_unit_test(test_memory_refuses_sizes_that_overflow),
        cmocka_unit_test(test_memory_counts_and_fails_on_request),
        cmocka_unit_test(test_arena_takes_aligned_pieces_until_it_is_full),
        cmocka_unit_test(test_arena_releases_to_a_mark),
        cmocka_unit_test(test_arena_poisons_what_is_not_taken),
        cmocka_unit_test(test_arena_reports_missing_memory),
        cmocka_unit_test(test_parallel_for_covers_every_index_once),
        cmocka_unit_test(test_no_pool_is_the_plain_loop),
        cmocka_unit_test(test_parallel_for_waits_for_the_last),
        cmocka_unit_test(test_a_pool_serves_many_rounds),
        cmocka_unit_test(test_pools_open_and_close),
        cmocka_unit_test(test_pool_reports_missing_memory),
        cmocka_unit_test(test_isa_variable_masks_levels),
        cmocka_unit_test(test_unknown_isa_is_reported),
        cmocka_unit_test(test_levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
