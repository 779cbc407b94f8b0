/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous products of warpgroups. Each warp computes its 16 rows on its own, at some time between its instruction
 * and its wait, from what shared memory then holds; its sums are rubbish meanwhile. A warp need not be at the same
 * place as the others of its group, as on the device, but all four must give the same instructions in the same order.
 */
#include <stdio.h>

#include <list>
#include <vector>

#include "block.h"

enum { LANES = 32, GROUP_WARPS = 4, MOST_WARPS = 32, ROWS = 16, STEP = 32 /* bytes of depth */ };

/* Sums that are not in their registers, since products are under way. */
struct sums {
    uint32_t *registers[LANES];
    uint32_t columns, products;       /* so many are under way */
    uint32_t value[LANES][128];
};

/* What all threads of a warpgroup say alike. */
struct instruction {
    egg_emulator_type type;
    uint32_t columns;
    uint64_t a, b;
    bool add;
    bool operator==(const instruction &other) const
    {
        return type == other.type && columns == other.columns && a == other.a && b == other.b && add == other.add;
    }
};

struct product {
    instruction what;
    sums *d;
    uint32_t group;
    bool done;
};

struct product_warp {
    std::vector<product> products;    /* that have not been waited for, in their order */
    std::list<sums> in_flight;
    uint32_t group, issued;
    bool fenced;                      /* since sums were last in their registers */
};

static product_warp warps[MOST_WARPS];
static std::vector<instruction> given[MOST_WARPS / GROUP_WARPS];   /* by each warpgroup */

void egg_emulator_products_begin(void)
{
    for (product_warp &w : warps) w.group = w.issued = 0, w.fenced = false;
    for (std::vector<instruction> &list : given) list.clear();
}

void egg_emulator_products_end(void)
{
    for (uint32_t i = 0; i < MOST_WARPS; i++) {
        if (!warps[i].products.empty()) egg_emulator_fail("a block ended with products that were not waited for");
        if (warps[i].issued != given[i / GROUP_WARPS].size())
            egg_emulator_fail("not all warps of a warpgroup have come to an asynchronous product");
    }
}

static uint32_t this_warp(void)
{
    return egg_emulator_thread() / LANES;
}

/* -------------------------------------------------------------------------------------------------------- operands */

struct operand {
    uint32_t start, leading, stride, swizzle;
};

static operand decode(uint64_t bits)
{
    const operand o = {(uint32_t)(bits & 0x3FFF) << 4, (uint32_t)(bits >> 16 & 0x3FFF) << 4,
                       (uint32_t)(bits >> 32 & 0x3FFF) << 4, (uint32_t)(bits >> 62)};
    if (bits >> 14 & 3 || bits >> 30 & 3 || bits >> 46 & 7 || bits >> 52 & 0x3FF)
        egg_emulator_fail("an operand of a product with bits that have no meaning");
    if (bits >> 49 & 7) egg_emulator_fail("an operand of a product with a shifted swizzle, which is not emulated");
    return o;
}

/*
 * Where chunk 'chunk' of line 'line' is, lines along the depth. Eight lines lie together: without a swizzle 16 bytes of
 * each, the next 16 bytes 'leading' further; else 128, 64 or 32 bytes of each, whose chunks change places by bits of
 * the address.
 */
static uint32_t chunk_address(const operand &o, uint32_t line, uint32_t chunk)
{
    static const uint32_t bytes[4] = {16, 128, 64, 32};
    const uint32_t width = bytes[o.swizzle], eight = o.start + line / 8 * o.stride;
    if (o.swizzle == 0) return eight + line % 8 * width + chunk * o.leading;
    const uint32_t address = eight + line % 8 * width + chunk * 16;
    return address ^ (address >> 3 & (width - 1) & ~15u);
}

/* The pattern of the swizzle has to begin with line 0, and its lines have to hold the chunks that are asked for. */
static void check_operand(const operand &o)
{
    static const uint32_t bytes[4] = {16, 128, 64, 32};
    const uint32_t width = bytes[o.swizzle];
    if (o.swizzle && (o.start % (8 * width) / width || o.start % width + STEP > width || o.stride % (8 * width)))
        egg_emulator_fail("an operand of a product that does not begin where its swizzle does");
}

static void read_line(const operand &o, uint32_t line, void *to)
{
    for (uint32_t chunk = 0; chunk < STEP / 16; chunk++)
        memcpy((char *)to + 16 * chunk, egg_emulator_chunk(chunk_address(o, line, chunk)), 16);
}

/* The lines that a warp reads: its rows, and all columns. */
template <typename F> static void for_each_chunk(const instruction &what, uint32_t warp, F use)
{
    const operand a = decode(what.a), b = decode(what.b);
    const uint32_t first = warp % GROUP_WARPS * ROWS;
    for (uint32_t chunk = 0; chunk < STEP / 16; chunk++) {
        for (uint32_t i = 0; i < ROWS; i++) use(chunk_address(a, first + i, chunk));
        for (uint32_t j = 0; j < what.columns; j++) use(chunk_address(b, j, chunk));
    }
}

/* -------------------------------------------------------------------------------------------------------- products */

static int32_t add_dots(const int8_t *a, const int8_t *b, int32_t sum)
{
    int32_t dot = 0;
    for (uint32_t k = 0; k < STEP; k++) dot += a[k] * b[k];
    return (int32_t)((uint32_t)sum + (uint32_t)dot);
}

/* The products are exact; hardware adds them in an order of its own. */
static float add_dots(const uint16_t *a, const uint16_t *b, float sum)
{
    double dot = sum;
    for (uint32_t k = 0; k < STEP / 2; k++) dot += (double)egg_emulator_bf16(a[k]) * egg_emulator_bf16(b[k]);
    return (float)dot;
}

template <typename element, typename T> static void multiply(const product &p, uint32_t warp)
{
    enum { N = STEP / sizeof(element) };
    static element a[ROWS][N], b[256][N];
    const operand rows = decode(p.what.a), columns = decode(p.what.b);
    for (uint32_t i = 0; i < ROWS; i++) read_line(rows, warp % GROUP_WARPS * ROWS + i, a[i]);
    for (uint32_t j = 0; j < p.what.columns; j++) read_line(columns, j, b[j]);
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t i = 0; i < p.what.columns / 2; i++) {
            T sum = 0;
            if (p.what.add) memcpy(&sum, &p.d->value[lane][i], sizeof sum);
            sum = add_dots(a[lane / 4 + i / 2 % 2 * 8], b[i / 4 * 8 + lane % 4 * 2 + i % 2], sum);
            memcpy(&p.d->value[lane][i], &sum, sizeof sum);
        }
}

/* In their order, 'count' of those that are not done. */
static void do_products(product_warp *w, uint32_t warp, size_t count)
{
    for (product &p : w->products) {
        if (p.done) continue;
        if (count-- == 0) return;
        if (p.what.type == EGG_EMULATOR_S8) multiply<int8_t, int32_t>(p, warp);
        else multiply<uint16_t, float>(p, warp);
        p.done = true;
    }
}

/* Some of them, perhaps. */
static void let_go_on(product_warp *w, uint32_t warp)
{
    do_products(w, warp, egg_emulator_random() % (w->products.size() + 1));
}

/* The sums leave their registers. */
static sums *take_sums(product_warp *w, uint32_t *const registers[LANES], uint32_t columns)
{
    for (sums &s : w->in_flight)
        if (s.registers[0] == registers[0]) {
            if (s.columns != columns) egg_emulator_fail("products of two shapes on the same sums");
            return &s;
        }
    if (!w->fenced) egg_emulator_fail("an asynchronous product on sums that no wgmma.fence has preceded");
    w->in_flight.emplace_back();
    sums *s = &w->in_flight.back();
    s->columns = columns;
    s->products = 0;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        s->registers[lane] = registers[lane];
        memcpy(s->value[lane], registers[lane], columns / 2 * sizeof **registers);
        memset(registers[lane], (int)egg_emulator_random(), columns / 2 * sizeof **registers);
    }
    return s;
}

static void give_back_sums(product_warp *w)
{
    for (auto s = w->in_flight.begin(); s != w->in_flight.end();) {
        if (s->products) {
            s++;
            continue;
        }
        for (uint32_t lane = 0; lane < LANES; lane++)
            memcpy(s->registers[lane], s->value[lane], s->columns / 2 * sizeof **s->registers);
        s = w->in_flight.erase(s);
        w->fenced = false;
    }
}

/* ---------------------------------------------------------------------------------------------------- instructions */

struct wgmma_operands {
    instruction what;
    uint32_t *d;
};

static void wgmma_act(void *const operands[32])
{
    const uint32_t warp = this_warp();
    product_warp *w = &warps[warp];
    std::vector<instruction> &list = given[warp / GROUP_WARPS];
    const instruction &what = ((const wgmma_operands *)operands[0])->what;
    uint32_t *registers[LANES];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const wgmma_operands *mine = (const wgmma_operands *)operands[lane];
        if (!(mine->what == what)) egg_emulator_fail("lanes with different operands of an asynchronous product");
        registers[lane] = mine->d;
    }
    if (w->issued == list.size()) list.push_back(what);
    if (!(list[w->issued++] == what)) egg_emulator_fail("warps of a warpgroup at different asynchronous products");
    check_operand(decode(what.a));
    check_operand(decode(what.b));
    for_each_chunk(what, warp, [](uint32_t address) {
        if (!egg_emulator_is_fenced(address))
            egg_emulator_fail("an asynchronous product of what cp.async wrote, without a proxy fence between");
        egg_emulator_add_readers(address, 1);
    });
    sums *d = take_sums(w, registers, what.columns);
    d->products++;
    w->products.push_back({what, d, w->group, false});
    let_go_on(w, warp);
}

void egg_emulator_wgmma(void *d, egg_emulator_type type, uint32_t columns, uint64_t a, uint64_t b, bool add)
{
    wgmma_operands operands = {{type, columns, a, b, add}, (uint32_t *)d};
    egg_emulator_collective(wgmma_act, &operands);
}

static void fence_act(void *const operands[32])
{
    (void)operands;
    warps[this_warp()].fenced = true;
}

void egg_wgmma_fence(void)
{
    egg_emulator_collective(fence_act, nullptr);
}

static void commit_act(void *const operands[32])
{
    (void)operands;
    warps[this_warp()].group++;
}

void egg_wgmma_commit(void)
{
    egg_emulator_collective(commit_act, nullptr);
}

static void wait_act(void *const operands[32])
{
    const uint32_t warp = this_warp(), groups = *(const uint32_t *)operands[0];
    product_warp *w = &warps[warp];
    size_t over = 0;
    while (over < w->products.size() && w->products[over].group + groups < w->group) over++;
    do_products(w, warp, over);
    for (size_t i = 0; i < over; i++) {
        for_each_chunk(w->products[i].what, warp, [](uint32_t address) { egg_emulator_add_readers(address, -1); });
        w->products[i].d->products--;
    }
    w->products.erase(w->products.begin(), w->products.begin() + (ptrdiff_t)over);
    give_back_sums(w);
    let_go_on(w, warp);
}

void egg_emulator_wgmma_wait(uint32_t groups)
{
    egg_emulator_collective(wait_act, &groups);
}
