/* SPDX-License-Identifier: MIT */
#include "cuda_emulator.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <vector>

#include "block.h"
#include "launcher.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

/* An H100's limits; what wants so much shared memory asks first (egg_cuda_shared_bytes). */
static const size_t SHARED_BYTES = EGG_EMULATOR_SHARED_BYTES, STATIC_SHARED_BYTES = 48 << 10;
static const uint32_t THREADS = 1024, LANES = 32;

[[noreturn]] static void fail(const char *kernel, const char *text)
{
    const uint3 b = egg_emulator_here.block, t = egg_emulator_here.thread;
    fprintf(stderr, "cuda emulator: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n", kernel, b.x, b.y, b.z,
            t.x, t.y, t.z, text);
    abort();
}

static uint64_t random_state = 0x9E3779B97F4A7C15;

static uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1D) >> 32);
}

static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)((uint64_t)random_u32() * bound >> 32);
}

/* ---------------------------------------------------------------------------------------------------------- fibers */

/* A copy that has been asked for and not happened. */
struct pending_copy {
    void *to;
    const void *from;
    bool valid;
    uint32_t group;
};

struct fiber {
    jmp_buf context;
    char *stack;
    uint3 index;
    uint32_t warp, lane;
    std::vector<pending_copy> copies;
    uint32_t group;        /* of the copies to come */
    uint32_t arrived;      /* groups before this one have been waited for, */
    uint32_t fenced;       /* and before this one, followed by a fence of the proxies */
};

/* What has last been done to 16 bytes of shared memory. */
struct chunk {
    uint32_t writer, group;   /* a thread's cp.async; writer NOBODY: none */
    int32_t readers;          /* asynchronous products that may still read it */
};
static const uint32_t NOBODY = UINT32_MAX;

/* Threads at a barrier that is not the whole block's. */
struct team_barrier {
    uint32_t threads, arrived, who[THREADS];
};

struct warp {
    egg_emulator_act *act;
    void *operands[LANES];
    uint32_t arrived;
};

struct static_shared {
    const void *site;
    void *memory;
    size_t bytes;
};

egg_emulator_place egg_emulator_here;

static struct block_state {
    const char *kernel;
    egg_emulator_call *call;
    fiber *fibers;                   /* THREADS of them, made once */
    fiber *current;                  /* NULL: none, the launcher runs */
    uint32_t threads, ended, at_barrier;
    const char *barrier_file;        /* where they wait */
    int barrier_line;
    team_barrier teams[15];
    uint32_t at_team_barrier;
    uint32_t runnable[THREADS], runnable_count;
    uint32_t slow_warp;              /* which goes on only if others hardly can: what forgets to wait for it shows */
    warp warps[THREADS / LANES];
    char *shared;
    size_t shared_bytes;
    uint32_t shared_address;         /* what device code takes it for */
    std::vector<chunk> chunks;
    std::vector<static_shared> statics;
    jmp_buf launcher;
    const void *launcher_stack;
    size_t launcher_stack_bytes;
} block;

#if defined(__SANITIZE_ADDRESS__)
static const size_t STACK_BYTES = 256 << 10;
#else
static const size_t STACK_BYTES = 64 << 10;
#endif

/* The address sanitizer wants to know whose stack it looks at. */
static void announce_switch(const fiber *to)
{
#if defined(__SANITIZE_ADDRESS__)
    if (to) __sanitizer_start_switch_fiber(nullptr, to->stack, STACK_BYTES);
    else __sanitizer_start_switch_fiber(nullptr, block.launcher_stack, block.launcher_stack_bytes);
#else
    (void)to;
#endif
}

static void switched(void)
{
#if defined(__SANITIZE_ADDRESS__)
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
    if (!block.launcher_stack) block.launcher_stack = stack, block.launcher_stack_bytes = bytes;
#endif
}

/* Not in line: what setjmp might lose lives in the callers' frames. */
__attribute__((noinline)) static void switch_to(jmp_buf *from, jmp_buf *to, const fiber *whose)
{
    if (_setjmp(*from)) {
        switched();
        return;
    }
    announce_switch(whose);
    _longjmp(*to, 1);
}

[[noreturn]] static void report_stuck(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "of %u threads %u have returned, %u wait at a barrier (%s:%d), %u at one of a team, %u for lanes of their "
             "warp", block.threads, block.ended, block.at_barrier, block.at_barrier ? block.barrier_file : "none",
             block.at_barrier ? block.barrier_line : 0, block.at_team_barrier,
             block.threads - block.ended - block.at_barrier - block.at_team_barrier);
    fail(block.kernel, text);
}

/* A place among those that can go on. */
static uint32_t draw_runnable(void)
{
    uint32_t i = random_below(block.runnable_count);
    for (uint32_t tries = 0; tries < 8 && block.runnable[i] / LANES == block.slow_warp; tries++)
        i = random_below(block.runnable_count);
    return i;
}

/* Lets any other thread go on; comes back when this one has been drawn. */
static void give_way(void)
{
    fiber *from = block.current, *to = nullptr;
    if (block.runnable_count) {
        const uint32_t i = draw_runnable();
        to = &block.fibers[block.runnable[i]];
        block.runnable[i] = block.runnable[--block.runnable_count];
        if (to == from) return;
        egg_emulator_here.thread = to->index;
    } else if (block.ended < block.threads) {
        report_stuck();
    }
    block.current = to;
    switch_to(&from->context, to ? &to->context : &block.launcher, to);
}

static void set_runnable(const fiber *f)
{
    block.runnable[block.runnable_count++] = (uint32_t)(f - block.fibers);
}

/* A fiber's whole life: one thread of one block after another. */
static void fiber_main(void)
{
    fiber *self = block.current;
    switched();
    switch_to(&self->context, &block.launcher, nullptr);
    for (;;) {
        block.call->run();
        self->copies.clear();
        block.ended++;
        give_way();
    }
}

static void make_fiber(fiber *f)
{
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = f->stack;
    start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&start, fiber_main, 0);
    block.current = f;
    if (_setjmp(block.launcher) == 0) {
        announce_switch(f);
        setcontext(&start);
    }
    switched();
}

/* Guard pages between the stacks: one that runs over must not write into the next. */
static void make_fibers(void)
{
    const size_t guard = 4096, each = STACK_BYTES + guard;
    char *stacks = (char *)mmap(nullptr, THREADS * each, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) fail("none", "no memory for stacks");
    block.fibers = new fiber[THREADS]();
    for (uint32_t i = 0; i < THREADS; i++) {
        mprotect(stacks + i * each, guard, PROT_NONE);
        block.fibers[i].stack = stacks + i * each + guard;
        block.fibers[i].warp = i / LANES;
        block.fibers[i].lane = i % LANES;
        make_fiber(&block.fibers[i]);
    }
}

/* ---------------------------------------------------------------------------------------------------------- blocks */

static void fill_with_rubbish(void *memory, size_t bytes)
{
    memset(memory, (int)random_u32(), bytes);
}

static void run_block(void)
{
    fill_with_rubbish(block.shared, block.shared_bytes);
    for (const static_shared &s : block.statics) fill_with_rubbish(s.memory, s.bytes);
    block.ended = block.at_barrier = block.at_team_barrier = block.runnable_count = 0;
    memset(block.warps, 0, sizeof block.warps);
    block.slow_warp = random_below(block.threads / LANES);
    for (team_barrier &team : block.teams) team.arrived = 0;
    block.chunks.assign((block.shared_bytes + EGG_EMULATOR_CHUNK - 1) / EGG_EMULATOR_CHUNK, {NOBODY, 0, 0});
    egg_emulator_products_begin();
    const dim3 size = egg_emulator_here.block_size;
    for (uint32_t i = 0; i < block.threads; i++) {
        fiber *f = &block.fibers[i];
        f->index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        f->group = f->arrived = f->fenced = 0;
        set_runnable(f);
    }
    fiber *first = &block.fibers[block.runnable[--block.runnable_count]];
    block.current = first;
    egg_emulator_here.thread = first->index;
    switch_to(&block.launcher, &first->context, first);
    egg_emulator_products_end();
}

bool egg_emulator_fits(uint64_t threads, size_t shared_bytes)
{
    return threads && threads <= THREADS && threads % LANES == 0 && shared_bytes <= SHARED_BYTES;
}

void egg_emulator_run_kernel(const char *name, egg_emulator_call *call, dim3 grid, dim3 size, size_t shared_bytes)
{
    if (!block.fibers) make_fibers();
    block.kernel = name;
    block.call = call;
    block.threads = size.x * size.y * size.z;
    block.shared_bytes = shared_bytes;
    if (posix_memalign((void **)&block.shared, 128, shared_bytes + !shared_bytes)) fail(name, "out of memory");
    block.shared_address = 1024 + random_below(8) * 128;
    egg_emulator_here.block_size = size;
    egg_emulator_here.grid_size = grid;
    for (uint32_t z = 0; z < grid.z; z++)
        for (uint32_t y = 0; y < grid.y; y++)
            for (uint32_t x = 0; x < grid.x; x++) {
                egg_emulator_here.block = {x, y, z};
                run_block();
            }
    free(block.shared);
    for (const static_shared &s : block.statics) free(s.memory);
    block.statics.clear();
}

void *egg_emulator_shared(void)
{
    return block.shared;
}

void *egg_emulator_static_shared(const void *site, size_t bytes)
{
    size_t sum = bytes;
    for (const static_shared &s : block.statics) {
        if (s.site == site) return s.memory;
        sum += s.bytes;
    }
    if (sum > STATIC_SHARED_BYTES || sum + block.shared_bytes > SHARED_BYTES)
        fail(block.kernel, "too much shared memory");
    static_shared s = {site, nullptr, bytes};
    if (posix_memalign(&s.memory, 16, bytes)) fail(block.kernel, "out of memory");
    fill_with_rubbish(s.memory, bytes);
    block.statics.push_back(s);
    return s.memory;
}

/* ---------------------------------------------------------------------------------------------- where threads meet */

void egg_emulator_barrier(const char *file, int line)
{
    if (block.at_barrier && (block.barrier_line != line || strcmp(block.barrier_file, file) != 0))
        fail(block.kernel, "threads at different barriers");
    block.barrier_file = file;
    block.barrier_line = line;
    if (++block.at_barrier == block.threads) {
        block.at_barrier = 0;
        for (uint32_t i = 0; i < block.threads; i++) set_runnable(&block.fibers[i]);
    }
    give_way();
}

void egg_emulator_team_barrier(uint32_t which, uint32_t threads)
{
    if (which >= sizeof block.teams / sizeof *block.teams || threads % LANES || threads > block.threads)
        fail(block.kernel, "no such barrier of a team");
    team_barrier *team = &block.teams[which];
    if (team->arrived && team->threads != threads) fail(block.kernel, "threads at a barrier of teams of two sizes");
    team->threads = threads;
    team->who[team->arrived++] = (uint32_t)(block.current - block.fibers);
    block.at_team_barrier++;
    if (team->arrived == threads) {
        for (uint32_t i = 0; i < threads; i++) set_runnable(&block.fibers[team->who[i]]);
        block.at_team_barrier -= threads;
        team->arrived = 0;
    }
    give_way();
}

void egg_emulator_no_act(void *const operands[32])
{
    (void)operands;
}

void egg_emulator_collective(egg_emulator_act *act, void *operands)
{
    fiber *self = block.current;
    warp *w = &block.warps[self->warp];
    if (w->arrived && w->act != act) fail(block.kernel, "lanes of a warp at different instructions");
    w->act = act;
    w->operands[self->lane] = operands;
    if (++w->arrived == LANES) {
        act(w->operands);
        w->arrived = 0;
        for (uint32_t i = 0; i < LANES; i++) set_runnable(&block.fibers[self->warp * LANES + i]);
    }
    give_way();
}

void egg_emulator_exchange_act(void *const operands[32])
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        egg_emulator_exchange *mine = (egg_emulator_exchange *)operands[lane];
        mine->received = ((const egg_emulator_exchange *)operands[mine->from])->given;
    }
}

/* --------------------------------------------------------------------------------- shared memory and who works on it */

void egg_emulator_fail(const char *text)
{
    fail(block.kernel, text);
}

uint32_t egg_emulator_random(void)
{
    return random_u32();
}

uint32_t egg_emulator_thread(void)
{
    return (uint32_t)(block.current - block.fibers);
}

uint32_t egg_shared_address(const void *shared)
{
    const size_t at = (size_t)((const char *)shared - block.shared);
    if (at >= block.shared_bytes) fail(block.kernel, "an address of what is not in the launch's shared memory");
    return block.shared_address + (uint32_t)at;
}

static chunk *chunk_at(uint32_t address)
{
    const uint32_t at = address - block.shared_address;
    if (address < block.shared_address || at + EGG_EMULATOR_CHUNK > block.shared_bytes)
        fail(block.kernel, "an operand that is not in the launch's shared memory");
    return &block.chunks[at / EGG_EMULATOR_CHUNK];
}

const char *egg_emulator_chunk(uint32_t address)
{
    chunk_at(address);
    return block.shared + (address - block.shared_address);
}

bool egg_emulator_is_fenced(uint32_t address)
{
    const chunk *c = chunk_at(address);
    return c->writer == NOBODY || c->group < block.fibers[c->writer].fenced;
}

void egg_emulator_add_readers(uint32_t address, int32_t readers)
{
    chunk_at(address)->readers += readers;
}

/* A cp.async into shared memory that is not the launch's is of no interest. */
static void note_writer(const void *shared, uint32_t writer, uint32_t group)
{
    const size_t at = (size_t)((const char *)shared - block.shared);
    if (at >= block.shared_bytes) return;
    chunk *c = &block.chunks[at / EGG_EMULATOR_CHUNK];
    if (c->readers) fail(block.kernel, "cp.async to where an asynchronous product may still read");
    c->writer = writer;
    c->group = group;
}

void egg_proxy_fence(void)
{
    block.current->fenced = block.current->arrived;
}

/* ---------------------------------------------------------------------------------------------- asynchronous copies */

static void copy_now(const pending_copy &copy)
{
    if (copy.valid) memcpy(copy.to, copy.from, 16);
    else memset(copy.to, 0, 16);
}

void egg_cp_async16_or_zero(void *shared, const void *global, bool valid)
{
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16) fail(block.kernel, "cp.async of an unaligned address");
    fiber *self = block.current;
    const pending_copy copy = {shared, global, valid, self->group};
    note_writer(shared, (uint32_t)(self - block.fibers), self->group);
    if (random_u32() & 1) copy_now(copy);
    else self->copies.push_back(copy);
}

void egg_cp_async_commit(void)
{
    block.current->group++;
}

void egg_emulator_cp_async_wait(uint32_t groups)
{
    fiber *self = block.current;
    size_t kept = 0;
    if (self->group > groups && self->group - groups > self->arrived) self->arrived = self->group - groups;
    for (const pending_copy &copy : self->copies) {
        if (copy.group + groups < self->group) copy_now(copy);
        else self->copies[kept++] = copy;
    }
    self->copies.resize(kept);
}

/* ------------------------------------------------------------------------------------------------ matrix fragments */

struct ldmatrix_operands {
    uint32_t *r;
    const char *row;
};

template <uint32_t matrices, bool transposed> static void ldmatrix_act(void *const operands[32])
{
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t m = 0; m < matrices; m++) {
            uint16_t words[2];
            for (uint32_t i = 0; i < 2; i++) {
                uint32_t row = lane / 4, column = lane % 4 * 2 + i;
                if (transposed) row = column, column = lane / 4;
                memcpy(&words[i], ((const ldmatrix_operands *)operands[8 * m + row])->row + 2 * column, 2);
            }
            memcpy(&((const ldmatrix_operands *)operands[lane])->r[m], words, 4);
        }
}

template <uint32_t matrices, bool transposed> static void ldmatrix(uint32_t *r, const void *row)
{
    if ((uintptr_t)row % 16) fail(block.kernel, "ldmatrix of an unaligned row");
    ldmatrix_operands operands = {r, (const char *)row};
    egg_emulator_collective(ldmatrix_act<matrices, transposed>, &operands);
}

void egg_ldmatrix_x4(uint32_t r[4], const void *row)
{
    ldmatrix<4, false>(r, row);
}

void egg_ldmatrix_x4_transposed(uint32_t r[4], const void *row)
{
    ldmatrix<4, true>(r, row);
}

void egg_ldmatrix_x2(uint32_t r[2], const void *row)
{
    ldmatrix<2, false>(r, row);
}

struct mma_operands {
    void *d;
    const uint32_t *a, *b;
};

static void mma_s8_act(void *const operands[32])
{
    int8_t a[16][32], b[8][32];   /* b by its columns */
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const mma_operands *mine = (const mma_operands *)operands[lane];
        const uint32_t g = lane / 4, c = lane % 4;
        for (uint32_t i = 0; i < 4; i++) memcpy(&a[g + i % 2 * 8][4 * c + i / 2 * 16], &mine->a[i], 4);
        for (uint32_t i = 0; i < 2; i++) memcpy(&b[g][4 * c + i * 16], &mine->b[i], 4);
    }
    for (uint32_t lane = 0; lane < LANES; lane++) {
        int32_t *d = (int32_t *)((const mma_operands *)operands[lane])->d;
        for (uint32_t i = 0; i < 4; i++) {
            const int8_t *row = a[lane / 4 + i / 2 * 8], *column = b[lane % 4 * 2 + i % 2];
            int32_t sum = 0;
            for (uint32_t k = 0; k < 32; k++) sum += row[k] * column[k];
            d[i] = (int32_t)((uint32_t)d[i] + (uint32_t)sum);
        }
    }
}

void egg_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2])
{
    mma_operands operands = {d, a, b};
    egg_emulator_collective(mma_s8_act, &operands);
}

float egg_emulator_bf16(uint16_t bits)
{
    return __uint_as_float((uint32_t)bits << 16);
}

/* The power of two whose bit is the first of 'value', a normal number that is not 0. */
static double first_bit(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= (uint64_t)0x7FF << 52;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 'value', less than 2^25 times 'unit', a power of two, without what is less than that; 'units' is 1 / unit. */
static double cut_below(double value, double unit, double units)
{
    return (double)(int32_t)(value * units) * unit;
}

/*
 * The sum as a tensor core may make it: terms lose what lies more than 23 bits below the largest one's first bit, and
 * the sum what a float has no room for. Nothing is rounded. Products of floats' halves are normal doubles.
 */
static float cut_sum(const double *terms, uint32_t count)
{
    double most = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (fabs(terms[i]) > most) most = fabs(terms[i]);
        sum += terms[i];
    }
    if (most == 0 || !(fabs(sum) <= 0x1p127)) return (float)sum;
    const double unit = first_bit(most) * 0x1p-23, units = 1 / unit;
    sum = 0;
    for (uint32_t i = 0; i < count; i++) sum += cut_below(terms[i], unit, units);
    if (sum == 0) return 0;
    double last = first_bit(sum) * 0x1p-23;
    if (last < 0x1p-149) last = 0x1p-149;
    return (float)cut_below(sum, last, 1 / last);
}

/* 16 values; 'zero': all of them, so that nothing finite times them adds anything. */
struct mma_vector {
    double values[16];
    bool zero, finite;
};

static void widen(const uint16_t from[16], mma_vector *vector)
{
    vector->zero = vector->finite = true;
    for (uint32_t k = 0; k < 16; k++) {
        vector->values[k] = egg_emulator_bf16(from[k]);
        vector->zero = vector->zero && vector->values[k] == 0;
        vector->finite = vector->finite && (from[k] & 0x7F80) != 0x7F80;
    }
}

static float mma_bf16_sum(const mma_vector *row, const mma_vector *column, float d)
{
    if (row->zero && column->finite) return d;
    for (uint32_t half = 0; half < 16; half += 8) {
        double terms[9] = {d};
        for (uint32_t k = 0; k < 8; k++) terms[1 + k] = row->values[half + k] * column->values[half + k];
        d = cut_sum(terms, 9);
    }
    return d;
}

static void mma_bf16_act(void *const operands[32])
{
    uint16_t a[16][16], b[8][16];
    mma_vector rows[16], columns[8];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const mma_operands *mine = (const mma_operands *)operands[lane];
        const uint32_t g = lane / 4, c = lane % 4;
        for (uint32_t i = 0; i < 4; i++) memcpy(&a[g + i % 2 * 8][2 * c + i / 2 * 8], &mine->a[i], 4);
        for (uint32_t i = 0; i < 2; i++) memcpy(&b[g][2 * c + i * 8], &mine->b[i], 4);
    }
    for (uint32_t i = 0; i < 16; i++) widen(a[i], &rows[i]);
    for (uint32_t i = 0; i < 8; i++) widen(b[i], &columns[i]);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        float *d = (float *)((const mma_operands *)operands[lane])->d;
        for (uint32_t i = 0; i < 4; i++)
            d[i] = mma_bf16_sum(&rows[lane / 4 + i / 2 * 8], &columns[lane % 4 * 2 + i % 2], d[i]);
    }
}

void egg_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    mma_operands operands = {d, a, b};
    egg_emulator_collective(mma_bf16_act, &operands);
}

void egg_mma_bf16_first(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    for (uint32_t i = 0; i < 4; i++) d[i] = 0;
    egg_mma_bf16(d, a, b);
}

static uint32_t bf16_of(float value)
{
    const uint32_t bits = __float_as_uint(value);
    if (value != value) return 0x7FFF;
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

uint32_t egg_bf16x2(float low, float high)
{
    return bf16_of(high) << 16 | bf16_of(low);
}
