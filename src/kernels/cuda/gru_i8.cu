/* SPDX-License-Identifier: MIT */
/*
 * The recurrent half of EGG's gated recurrent unit. Step by step from the host it is eight launches a step over few
 * rows, and each waits for the one before. But members do not meet: a block takes some of them and goes through all
 * steps alone, their states and both halves' operands in shared memory.
 *
 * Up to a width of 256 both weight matrices stay in shared memory, too, 64 KiB each (sequence_resident). Elementwise
 * work then costs about twice what the products cost: a row and step has 512 results of 14 or so integer instructions.
 * To have both at once, a block is two teams of eight warps with 32 members each, and the second is always one phase
 * behind: while one team multiplies, the other gates or blends. Wider layers stream their weights through a ring, from
 * the second-level cache, which all blocks read them from (sequence_streamed).
 *
 * Rows of a team's tile are dealt out so that an mma leaves a thread with the same outputs of the two members of a pair,
 * who share a factor; and the outputs (egg_weight_slot) so that a thread has eight in a row.
 */
#include "kernels/cuda/mma.cuh"

enum {
    TEAM = 256,                              /* threads of a team */
    TEAM_WARPS = TEAM / EGG_WARP,
    WARP_OUTS = 32,
    RUN = WARP_OUTS / 4,                     /* outputs in a row that a thread ends up with */
    PAIRS_OF_SUMS = WARP_OUTS / 8,
    PASS = TEAM_WARPS * WARP_OUTS,           /* outputs that a team makes at once */
    TEAMS = 2,
    STAGES = 4,
    STAGE_BYTES = PASS * EGG_TILE_DEPTH
};

/* A team's 16 M members from 'first' on. A row that has no member works on zeros or on another's, and stores nothing. */
struct gru_team {
    uint32_t first;
    int8_t *state, *gated;                   /* tiles (depth, 16 M, 64): operands of the two products */
    int32_t *t;                              /* (16 M, rank) of the product at hand */
};

/* What gate and blend have in common. */
struct gru_half {
    const int8_t *in;
    const int8_t *U, *A, *B;
    const int8_t *bias;
    size_t bias_stride;
};

/* sum[i][j]: outputs 2j, 2j + 1 of the thread's run; of its pair of members i first the even one's, then the odd one's */
template <int M> struct gru_sums {
    int32_t of[M][PAIRS_OF_SUMS][4];
};

/* What of a thread's results comes from memory and is asked for before the product. */
template <int M> struct gru_inputs {
    uint2 in[M][2];
    bool forgets[M][2];                      /* the step after this one begins a document */
};

static __device__ __forceinline__ gru_half gate_half(const egg_gru_sequence_args &args)
{
    return {args.gate_in, (const int8_t *)args.Uf, args.Uf_A, args.Uf_B, args.bf, args.bf_stride};
}

static __device__ __forceinline__ gru_half blend_half(const egg_gru_sequence_args &args)
{
    return {args.blend_in, (const int8_t *)args.Uh, args.Uh_A, args.Uh_B, args.bh, args.bh_stride};
}

static __host__ __device__ __forceinline__ uint32_t depth_of(uint32_t n)
{
    return egg_divide_up(n, (uint32_t)EGG_TILE_DEPTH);
}

/* ----------------------------------------------------------------------------------------------------------- places */

static __device__ __forceinline__ uint32_t team_thread()
{
    return threadIdx.x % TEAM;
}

/* The thread's first output of its team's first pass. */
static __device__ __forceinline__ uint32_t thread_column()
{
    return team_thread() / EGG_WARP * WARP_OUTS + threadIdx.x % 4 * RUN;
}

/* The thread's row, within the team's, of pair i: its even member's, h = 0, or its odd one's. */
static __device__ __forceinline__ uint32_t thread_row(int i, int h)
{
    return 16 * i + threadIdx.x % EGG_WARP / 4 * 2 + h;
}

/* A row that is not there counts as the last. */
static __device__ __forceinline__ uint32_t present(const egg_gru_sequence_args &args, uint32_t member)
{
    return min(member, args.members - 1);
}

/* Element 'at' of row 'row'. A stride that fits 32 bits, as all do, makes it one instruction. */
template <typename T> static __device__ __forceinline__ T *element(T *matrix, uint32_t row, size_t stride, uint32_t at)
{
    return matrix + at + (uint64_t)row * (uint32_t)stride;
}

/* The thread's row of pair i in gate_in, blend_in, Y or tokens. */
static __device__ __forceinline__ uint32_t step_row(const egg_gru_sequence_args &args, const gru_team &team, int i, int h,
                                                    uint32_t step)
{
    return present(args, team.first + thread_row(i, h)) * args.steps + step;
}

/* Where row 'row' of an operand has its column 'column'. */
template <int M> static __device__ __forceinline__ int8_t *operand_at(int8_t *operand, uint32_t row, uint32_t column)
{
    const uint32_t slot = row / 16 * 16 + row % 2 * 8 + row % 16 / 2;
    return operand + column / EGG_TILE_DEPTH * (16 * M * EGG_TILE_DEPTH) + egg_tile_offset(slot, column / EGG_CHUNK) +
           column % EGG_CHUNK;
}

/* The same for thread_row(i, h): how a chunk is turned does not depend on i and h, so they are a constant distance. */
template <int M> static __device__ __forceinline__ uint2 *run_at(int8_t *operand, int i, int h, uint32_t column)
{
    return (uint2 *)(operand_at<M>(operand, thread_row(0, 0), column) + (16 * i + 8 * h) * EGG_TILE_DEPTH);
}

/* ------------------------------------------------------------------------------------------------- state, in and out */

template <int M> static __device__ void load_state(const egg_gru_sequence_args &args, const gru_team &team)
{
    const uint32_t chunks = depth_of(args.n) * EGG_TILE_CHUNKS;
    for (uint32_t i = team_thread(); i < 16 * M * chunks; i += TEAM) {
        const uint32_t row = i / chunks, column = i % chunks * EGG_CHUNK, member = team.first + row;
        uint4 words = make_uint4(0, 0, 0, 0);
        *(uint4 *)operand_at<M>(team.gated, row, column) = words;
        if (member < args.members && column < args.n && args.tokens[(size_t)member * args.steps])
            words = *(const uint4 *)(args.state + member * args.state_stride + column);
        *(uint4 *)operand_at<M>(team.state, row, column) = words;
    }
}

template <int M> static __device__ void store_state(const egg_gru_sequence_args &args, const gru_team &team)
{
    const uint32_t chunks = args.n / EGG_CHUNK;
    for (uint32_t i = team_thread(); i < 16 * M * chunks; i += TEAM) {
        const uint32_t row = i / chunks, column = i % chunks * EGG_CHUNK, member = team.first + row;
        if (member < args.members)
            *(uint4 *)(args.state + member * args.state_stride + column) =
                *(const uint4 *)operand_at<M>(team.state, row, column);
    }
}

/* --------------------------------------------------------------------------------------------------------- products */

/* Outputs [first, first + count) of U, tile k of their depth, into a tile with a slot for each. By 'threads' threads. */
static __device__ __forceinline__ void load_weights(const int8_t *U, uint32_t n, uint32_t first, uint32_t count,
                                                    uint32_t k, int8_t *tile, uint32_t threads)
{
    const uint32_t chunk = threadIdx.x % EGG_TILE_CHUNKS, at = k * EGG_TILE_DEPTH + chunk * EGG_CHUNK;
    for (uint32_t o = threadIdx.x / EGG_TILE_CHUNKS; o < count; o += threads / EGG_TILE_CHUNKS) {
        const bool valid = first + o < n && at < n;
        egg_cp_async16_or_zero(tile + egg_tile_offset(egg_weight_slot<RUN>(o), chunk),
                               valid ? U + (size_t)(first + o) * n + at : U, valid);
    }
}

/* t[row,k] of the team's rows, as shrink_i8 has it; as many neighbouring threads a row as there are. */
template <int M> static __device__ __forceinline__ void shrink(const egg_gru_sequence_args &args, const gru_team &team,
                                                               const gru_half &half, int8_t *operand)
{
    constexpr uint32_t lanes = TEAM / (16 * M);
    if (!half.A) return;
    const uint32_t row = team_thread() / lanes, lane = threadIdx.x % lanes, member = present(args, team.first + row);
    const int8_t *B = element(half.B, member / 2, args.rank * args.n, 0);
    const int64_t factor = member % 2 ? -args.scale : args.scale;
    operand = operand_at<M>(operand, row, lane * EGG_CHUNK);
    EGG_NO_UNROLL
    for (uint32_t k = 0; k < args.rank; k++, B += args.n) {
        const int8_t *x = operand;   /* the lanes' chunks are whole tiles apart */
        int32_t sum = 0;
        EGG_NO_UNROLL
        for (uint32_t i = lane * EGG_CHUNK; i < args.n; i += lanes * EGG_CHUNK) {
            sum = egg_dot16(*(const uint4 *)x, __ldg((const uint4 *)(B + i)), sum);
            x += lanes / EGG_TILE_CHUNKS * (16 * M * EGG_TILE_DEPTH);
        }
        sum = egg_group_sum(sum, lanes);
        if (lane == 0) team.t[row * args.rank + k] = (int32_t)((factor * sum) >> 8);
    }
}

/* noise[h] (+)= t[h] * A[pair,k] */
template <bool FIRST> static __device__ __forceinline__ void expand_one(const int8_t *A, const int32_t *even,
                                                                        const int32_t *odd, int32_t (&noise)[2][RUN])
{
    const int32_t t[2] = {*even, *odd};
    int32_t a[RUN];
    egg_unpack_i8(__ldg((const uint2 *)A), a);
    EGG_UNROLL
    for (int c = 0; c < RUN; c++)
        for (int h = 0; h < 2; h++) noise[h][c] = (FIRST ? 0 : noise[h][c]) + t[h] * a[c];
}

/* What noise adds to a run of both members of pair i, before its shift. */
template <int M> static __device__ __forceinline__ void expand(const egg_gru_sequence_args &args, const gru_team &team,
                                                               const gru_half &half, int i, uint32_t column,
                                                               int32_t (&noise)[2][RUN])
{
    if (!half.A) {
        EGG_UNROLL
        for (int c = 0; c < RUN; c++) noise[0][c] = noise[1][c] = 0;
        return;
    }
    const uint32_t row = thread_row(i, 0), rank = args.rank;
    const int8_t *A = element(half.A, present(args, team.first + row) / 2, rank * args.n, column);
    const int32_t *even = team.t + row * rank, *odd = even + rank;
    expand_one<true>(A, even, odd, noise);
    EGG_NO_UNROLL
    for (uint32_t k = 1; k < rank; k++) expand_one<false>(A += args.n, ++even, ++odd, noise);
}

/* I8((sum + noise) >> shift), c-th of the run of member h of pair i. */
template <int M> static __device__ __forceinline__ int32_t product(const egg_gru_sequence_args &args,
                                                                   const gru_sums<M> &sums, int i, int h, int c,
                                                                   const int32_t (&noise)[2][RUN])
{
    const int32_t sum = sums.of[i][c / 2][2 * h + c % 2] + (noise[h][c] >> args.noise_shift);
    return min(max(sum, -127 * (1 << args.shift)) >> args.shift, 127);
}

/* ------------------------------------------------------------------------------------------------------ gate, blend */

/* Byte 'byte', 0 or 1, of each of four words. */
static __device__ __forceinline__ uint32_t pack_byte(const int32_t *values, uint32_t byte)
{
    const uint32_t selector = 0x0040 + 0x0011 * byte;
    return egg_prmt(egg_prmt((uint32_t)values[0], (uint32_t)values[1], selector),
                    egg_prmt((uint32_t)values[2], (uint32_t)values[3], selector), 0x5410);
}

static __device__ __forceinline__ uint2 pack_run(const int32_t (&values)[RUN], uint32_t byte)
{
    return make_uint2(pack_byte(values, byte), pack_byte(values + 4, byte));
}

template <bool FORGETS, int M>
static __device__ __forceinline__ void read_inputs(const egg_gru_sequence_args &args, const gru_team &team,
                                                   const gru_half &half, uint32_t step, uint32_t column,
                                                   gru_inputs<M> &inputs)
{
    if (column >= args.n) return;
    EGG_UNROLL
    for (int i = 0; i < M; i++)
        EGG_UNROLL
        for (int h = 0; h < 2; h++) {
            const uint32_t row = step_row(args, team, i, h, step);
            inputs.in[i][h] = __ldg((const uint2 *)element(half.in, row, args.in_stride, column));
            inputs.forgets[i][h] = FORGETS && step + 1 < args.steps && __ldg(args.tokens + row + 1) == 0;
        }
}

/* in + bias of a run */
static __device__ __forceinline__ void add_bias(const egg_gru_sequence_args &args, const gru_half &half, uint32_t member,
                                                uint32_t column, uint2 in, int32_t (&values)[RUN])
{
    int32_t bias[RUN];
    egg_unpack_i8(in, values);
    egg_unpack_i8(__ldg((const uint2 *)element(half.bias, present(args, member), half.bias_stride, column)), bias);
    EGG_UNROLL
    for (int c = 0; c < RUN; c++) values[c] += bias[c];
}

/* F = f + 127 and the second operand, (F * state) >> 8, which is the upper byte of the 16 that the product fits. */
template <int M> static __device__ __forceinline__ void gate(const egg_gru_sequence_args &args, const gru_team &team,
                                                             uint32_t column, const gru_sums<M> &sums,
                                                             const gru_inputs<M> &inputs, int32_t (&F)[M][2][RUN])
{
    const gru_half half = gate_half(args);
    if (column >= args.n) return;
    EGG_UNROLL
    for (int i = 0; i < M; i++) {
        int32_t noise[2][RUN];
        expand<M>(args, team, half, i, column, noise);
        EGG_UNROLL
        for (int h = 0; h < 2; h++) {
            int32_t values[RUN], state[RUN];
            add_bias(args, half, team.first + thread_row(i, h), column, inputs.in[i][h], values);
            egg_unpack_i8(*run_at<M>(team.state, i, h, column), state);
            EGG_UNROLL
            for (int c = 0; c < RUN; c++) {
                F[i][h][c] = min(max(product<M>(args, sums, i, h, c, noise) + (values[c] + 127), 0), 254);
                values[c] = F[i][h][c] * state[c];
            }
            *run_at<M>(team.gated, i, h, column) = pack_run(values, 1);
        }
    }
}

/*
 * The next state, state + ((F * (candidate - state)) >> 8): the second byte of 256 * state + F * (candidate - state).
 * Y gets it, and the state unless the next step forgets it.
 */
template <int M> static __device__ __forceinline__ void blend(const egg_gru_sequence_args &args, const gru_team &team,
                                                              uint32_t step, uint32_t column, const gru_sums<M> &sums,
                                                              const gru_inputs<M> &inputs,
                                                              const int32_t (&F)[M][2][RUN])
{
    const gru_half half = blend_half(args);
    if (column >= args.n) return;
    EGG_UNROLL
    for (int i = 0; i < M; i++) {
        int32_t noise[2][RUN];
        expand<M>(args, team, half, i, column, noise);
        EGG_UNROLL
        for (int h = 0; h < 2; h++) {
            const uint32_t member = team.first + thread_row(i, h);
            int32_t values[RUN], state[RUN];
            uint2 *const place = run_at<M>(team.state, i, h, column);
            add_bias(args, half, member, column, inputs.in[i][h], values);
            egg_unpack_i8(*place, state);
            EGG_UNROLL
            for (int c = 0; c < RUN; c++) {
                const int32_t candidate = egg_clip_i8(product<M>(args, sums, i, h, c, noise) + values[c]);
                values[c] = 256 * state[c] + F[i][h][c] * (candidate - state[c]);
            }
            const uint2 next = pack_run(values, 1);
            *place = inputs.forgets[i][h] ? make_uint2(0, 0) : next;
            if (member < args.members)
                *(uint2 *)element(args.Y, step_row(args, team, i, h, step), args.y_stride, column) = next;
        }
    }
}

/* ------------------------------------------------------------------------------------- with the weights in the block */

/* 'operand' times a resident U, into the sums of the team's warps. */
template <int M> static __device__ __forceinline__ void multiply(const egg_gru_sequence_args &args, const int8_t *operand,
                                                                 const int8_t *U, uint32_t slots, gru_sums<M> &sums)
{
    const uint32_t out = team_thread() / EGG_WARP * WARP_OUTS;
    if (out >= args.n) return;
    const uint32_t x_offset = egg_x_offset(0), w_offset = egg_w_offset(out), depth = depth_of(args.n);
    sums = {};
    for (uint32_t k = 0; k < depth; k++, operand += 16 * M * EGG_TILE_DEPTH, U += slots * EGG_TILE_DEPTH)
        egg_tile_product(sums.of, operand, x_offset, U, w_offset);
}

/* Outputs that a resident matrix has slots for. */
static __host__ __device__ __forceinline__ uint32_t slots_of(uint32_t n)
{
    return egg_divide_up(n, (uint32_t)WARP_OUTS) * WARP_OUTS;
}

template <int M> static size_t resident_bytes(const egg_gru_sequence_args *args)
{
    const size_t depth = depth_of(args->n), tile = 16 * M * EGG_TILE_DEPTH;
    return depth * (2 * slots_of(args->n) * EGG_TILE_DEPTH + TEAMS * 2 * tile) +
           (size_t)TEAMS * 16 * M * args->rank * sizeof(int32_t);
}

/* A step has four phases, between which all threads meet: a product, its gate, a product, its blend. */
template <int M> static __global__ void __launch_bounds__(TEAMS *TEAM, 1) sequence_resident(egg_gru_sequence_args args)
{
    EGG_SHARED(int8_t, shared);
    const uint32_t n = args.n, depth = depth_of(n), slots = slots_of(n), index = threadIdx.x / TEAM;
    const uint32_t matrix = depth * slots * EGG_TILE_DEPTH, operand = depth * 16 * M * EGG_TILE_DEPTH;
    int8_t *const Uf = shared, *const Uh = Uf + matrix, *const operands = Uh + matrix;
    const gru_team team = {(blockIdx.x * TEAMS + index) * 16 * M, operands + 2 * index * operand,
                           operands + (2 * index + 1) * operand,
                           (int32_t *)(operands + 2 * TEAMS * operand) + index * 16 * M * args.rank};
    for (uint32_t k = 0; k < depth; k++) {
        load_weights((const int8_t *)args.Uf, n, 0, n, k, Uf + k * slots * EGG_TILE_DEPTH, TEAMS * TEAM);
        load_weights((const int8_t *)args.Uh, n, 0, n, k, Uh + k * slots * EGG_TILE_DEPTH, TEAMS * TEAM);
    }
    egg_cp_async_commit();
    load_state<M>(args, team);
    egg_cp_async_wait<0>();

    const uint32_t column = thread_column();
    gru_sums<M> sums;
    gru_inputs<M> inputs;
    int32_t F[M][2][RUN];
    EGG_NO_UNROLL
    for (uint32_t phase = 0; phase < 4 * args.steps + TEAMS - 1; phase++) {
        __syncthreads();
        const uint32_t own = phase - index, step = own / 4;   /* before the second team's first phase: huge */
        if (step >= args.steps) continue;
        switch (own % 4) {
        case 0:
            read_inputs<false>(args, team, gate_half(args), step, column, inputs);
            shrink<M>(args, team, gate_half(args), team.state);
            multiply<M>(args, team.state, Uf, slots, sums);
            break;
        case 1: gate<M>(args, team, column, sums, inputs, F); break;
        case 2:
            read_inputs<true>(args, team, blend_half(args), step, column, inputs);
            shrink<M>(args, team, blend_half(args), team.gated);
            multiply<M>(args, team.gated, Uh, slots, sums);
            break;
        default: blend<M>(args, team, step, column, sums, inputs, F);
        }
    }
    __syncthreads();
    store_state<M>(args, team);
}

/* --------------------------------------------------------------------------------- with weights that pass through it */

template <int M> static size_t streamed_bytes(const egg_gru_sequence_args *args)
{
    return (size_t)STAGES * STAGE_BYTES + (size_t)2 * depth_of(args->n) * 16 * M * EGG_TILE_DEPTH +
           (size_t)16 * M * args->rank * sizeof(int32_t);
}

/* Between gate and blend F lies where the step's Y will: each thread writes, reads and overwrites its own. */
template <int M> static __device__ __forceinline__ void keep_gate(const egg_gru_sequence_args &args, const gru_team &team,
                                                                  uint32_t step, uint32_t column,
                                                                  const int32_t (&F)[M][2][RUN])
{
    EGG_UNROLL
    for (int i = 0; i < M; i++)
        EGG_UNROLL
        for (int h = 0; h < 2; h++) {
            const uint32_t member = team.first + thread_row(i, h);
            if (column < args.n && member < args.members)
                *(uint2 *)element(args.Y, step_row(args, team, i, h, step), args.y_stride, column) =
                    pack_run(F[i][h], 0);
        }
}

template <int M> static __device__ __forceinline__ void recall_gate(const egg_gru_sequence_args &args,
                                                                    const gru_team &team, uint32_t step, uint32_t column,
                                                                    int32_t (&F)[M][2][RUN])
{
    EGG_UNROLL
    for (int i = 0; i < M; i++)
        EGG_UNROLL
        for (int h = 0; h < 2; h++) {
            const uint32_t member = team.first + thread_row(i, h);
            uint2 words = make_uint2(0, 0);
            if (column < args.n && member < args.members)
                words = *(const uint2 *)element(args.Y, step_row(args, team, i, h, step), args.y_stride, column);
            EGG_UNROLL
            for (int c = 0; c < RUN; c++) F[i][h][c] = (int32_t)((c < 4 ? words.x : words.y) >> 8 * (c % 4) & 255);
        }
}

/*
 * The ring of weight tiles runs on without end: depth first, then passes over the outputs, then the two matrices. What
 * a step needs last is followed by what the next needs first.
 */
struct gru_ring {
    int8_t *stages;
    uint32_t stage, next_stage;              /* in use, to be filled */
    uint32_t k, first;                       /* of what is to be loaded next: tile of the depth, output */
    uint32_t products;                       /* left to be loaded, two a step; of gates where even */
};

static __device__ __forceinline__ void load_next(const egg_gru_sequence_args &args, gru_ring &ring)
{
    if (ring.products) {
        const int8_t *U = (const int8_t *)(ring.products % 2 ? args.Uh : args.Uf);
        load_weights(U, args.n, ring.first, PASS, ring.k, ring.stages + ring.next_stage * STAGE_BYTES, TEAM);
        if (++ring.k == depth_of(args.n)) ring.k = 0, ring.first += PASS;
        if (ring.first >= args.n) ring.first = 0, ring.products--;
    }
    egg_cp_async_commit();
    ring.next_stage = (ring.next_stage + 1) % STAGES;
}

/* One pass of a product: the team's next PASS outputs. */
template <int M> static __device__ __forceinline__ void multiply_pass(const egg_gru_sequence_args &args,
                                                                      const int8_t *operand, gru_ring &ring,
                                                                      gru_sums<M> &sums)
{
    const uint32_t x_offset = egg_x_offset(0), w_offset = egg_w_offset(team_thread() / EGG_WARP * WARP_OUTS);
    sums = {};
    for (uint32_t k = 0; k < depth_of(args.n); k++, operand += 16 * M * EGG_TILE_DEPTH) {
        egg_cp_async_wait<STAGES - 2>();
        __syncthreads();   /* the stage is there for all, and the one before is free */
        load_next(args, ring);
        egg_tile_product(sums.of, operand, x_offset, ring.stages + ring.stage * STAGE_BYTES, w_offset);
        ring.stage = (ring.stage + 1) % STAGES;
    }
}

template <int M> static __global__ void __launch_bounds__(TEAM, 1) sequence_streamed(egg_gru_sequence_args args)
{
    EGG_SHARED(int8_t, shared);
    const uint32_t operand = depth_of(args.n) * 16 * M * EGG_TILE_DEPTH;
    int8_t *const operands = shared + STAGES * STAGE_BYTES;
    const gru_team team = {blockIdx.x * 16 * M, operands, operands + operand, (int32_t *)(operands + 2 * operand)};
    gru_ring ring = {shared, 0, 0, 0, 0, 2 * args.steps};
    for (int i = 0; i < STAGES - 1; i++) load_next(args, ring);
    load_state<M>(args, team);

    gru_sums<M> sums;
    gru_inputs<M> inputs;
    int32_t F[M][2][RUN];
    EGG_NO_UNROLL
    for (uint32_t step = 0; step < args.steps; step++) {
        __syncthreads();   /* the state is complete */
        shrink<M>(args, team, gate_half(args), team.state);
        for (uint32_t first = 0; first < args.n; first += PASS) {
            const uint32_t column = first + thread_column();
            read_inputs<false>(args, team, gate_half(args), step, column, inputs);
            multiply_pass<M>(args, team.state, ring, sums);
            gate<M>(args, team, column, sums, inputs, F);
            keep_gate<M>(args, team, step, column, F);
        }
        __syncthreads();   /* the gated state is */
        shrink<M>(args, team, blend_half(args), team.gated);
        for (uint32_t first = 0; first < args.n; first += PASS) {
            const uint32_t column = first + thread_column();
            read_inputs<true>(args, team, blend_half(args), step, column, inputs);
            recall_gate<M>(args, team, step, column, F);
            multiply_pass<M>(args, team.gated, ring, sums);
            blend<M>(args, team, step, column, sums, inputs, F);
        }
    }
    __syncthreads();
    store_state<M>(args, team);
}

/* ------------------------------------------------------------------------------------------------------- on the host */

template <int M> static bool try_resident(const egg_gru_sequence_args *args)
{
    const size_t bytes = resident_bytes<M>(args);
    const uint32_t blocks = egg_divide_up(args->members, (uint32_t)TEAMS * 16 * M);
    if (args->n > PASS || bytes > egg_cuda_shared_bytes(1)) return false;
    if (M > 1 && blocks < egg_cuda_processors()) return false;
    EGG_LAUNCH(sequence_resident<M>, blocks, TEAMS * TEAM, bytes, *args);
    return true;
}

template <int M> static bool try_streamed(const egg_gru_sequence_args *args)
{
    const size_t bytes = streamed_bytes<M>(args);
    const uint32_t blocks = egg_divide_up(args->members, 16u * M);
    if (M > 1 && (bytes > egg_cuda_shared_bytes(1) || blocks < egg_cuda_processors())) return false;
    EGG_LAUNCH(sequence_streamed<M>, blocks, TEAM, bytes, *args);
    return true;
}

/* As many members a block as fit, but rather fewer than a processor without a block. */
static void gru_sequence_i8(const egg_gru_sequence_args *args)
{
    if (!args->members || !args->steps) return;
    if (try_resident<2>(args) || try_resident<1>(args)) return;
    if (try_streamed<4>(args) || try_streamed<2>(args)) return;
    try_streamed<1>(args);
}

extern "C" void egg_cuda_gru_i8(egg_kernels *kernels)
{
    kernels->gru_sequence_i8 = gru_sequence_i8;
}
