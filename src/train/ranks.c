/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "train/ranks.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/ternary.h"
#include "comm/launch.h"
#include "eggroll.h"
#include "train/machine.h"

enum {
    MAX_VALUES = 8,
    WEIGH_EPOCHS = 16,         /* between two looks at the speeds */
    HOST_BYTES = 64
};

static const float smoothing = 0.25f;    /* share of a new measurement in the speed */
static const double worth_moving = 0.95; /* of the time of the slowest: slices stay unless they get better than this */

egg_status egg_ranks_open(egg_ranks *ranks, egg_error *error)
{
    *ranks = (egg_ranks){.shard = {.part = 0, .parts = 1}};
    egg_status status = egg_comm_open(&ranks->comm, error);
    if (status != EGG_OK) return status;
    ranks->rank = ranks->comm->rank;
    ranks->size = ranks->comm->size;
    return EGG_OK;
}

void egg_ranks_close(egg_ranks *ranks)
{
    egg_comm_close(ranks->comm);
    egg_free(ranks->bounds);
    egg_free(ranks->next);
    egg_free(ranks->speeds);
    egg_free(ranks->bytes);
    egg_free(ranks->signs);
    egg_free(ranks->rows);
    *ranks = (egg_ranks){0};
}

bool egg_ranks_remain(void)
{
    return egg_comm_remains();
}

/* ------------------------------------------------------------------------------------------------------- agreement */

typedef struct rank_report {
    int32_t status;
    char host[HOST_BYTES];
    char text[256];
} rank_report;

static void name_host(char host[HOST_BYTES])
{
    if (gethostname(host, HOST_BYTES - 1) != 0) snprintf(host, HOST_BYTES, "an unknown host");
    host[HOST_BYTES - 1] = '\0';
}

/* Gathers 'each' bytes of every rank. */
static egg_status gather_each(egg_ranks *ranks, void *all, size_t each, egg_error *error)
{
    egg_status status;
    size_t *bytes = egg_alloc_array(ranks->size, sizeof *bytes);
    if (!bytes) {
        ranks->comm->broken = true;   /* the others go on */
        return egg_fail(error, EGG_ERR_NOMEM, "no memory to talk to %u ranks", ranks->size);
    }
    for (uint32_t r = 0; r < ranks->size; r++) bytes[r] = each;
    status = egg_comm_allgather(ranks->comm, all, bytes, error);
    egg_free(bytes);
    return status;
}

/* Some rank has failed: its failure becomes everybody's. */
static egg_status fail_together(egg_ranks *ranks, egg_status own, egg_error *error)
{
    rank_report *reports = egg_alloc_array(ranks->size, sizeof *reports);
    if (!reports) {
        ranks->comm->broken = true;
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for the reports of %u ranks", ranks->size);
    }
    rank_report *mine = &reports[ranks->rank];
    mine->status = own;
    name_host(mine->host);
    if (own != EGG_OK && error) snprintf(mine->text, sizeof mine->text, "%.*s", (int)sizeof mine->text - 1,
                                         error->text);
    egg_status status = gather_each(ranks, reports, sizeof *reports, error);
    if (status == EGG_OK) {
        uint32_t first = 0;
        while (first + 1 < ranks->size && reports[first].status == EGG_OK) first++;
        status = (egg_status)reports[first].status;
        if (first == ranks->rank) {
            /* 'error' is there already */
        } else if (first == 0) {
            egg_fail(error, status, "%s", reports[0].text);
        } else {
            egg_fail(error, status, "rank %u on %s: %s", first, reports[first].host, reports[first].text);
        }
    }
    egg_free(reports);
    return status;
}

egg_status egg_ranks_agree(egg_ranks *ranks, egg_status own, int64_t *values, uint32_t count, egg_error *error)
{
    int64_t sums[1 + MAX_VALUES] = {own != EGG_OK};
    if (ranks->size == 1 || ranks->comm->broken) return own;
    for (uint32_t i = 0; i < count; i++) sums[1 + i] = values[i];
    egg_status status = egg_comm_sum(ranks->comm, sums, 1 + count, own == EGG_OK ? error : NULL);
    if (status != EGG_OK) return own == EGG_OK ? status : own;
    if (sums[0]) return fail_together(ranks, own, error);
    for (uint32_t i = 0; i < count; i++) values[i] = sums[1 + i];
    return EGG_OK;
}

egg_status egg_ranks_agree_real(egg_ranks *ranks, egg_status own, double *real, int64_t *values, uint32_t count,
                                 egg_error *error)
{
    int64_t all[MAX_VALUES] = {0};   /* first the bits of the number of rank 0, to which the others add nothing */
    if (ranks->size == 1) return own;
    if (ranks->rank == 0) memcpy(&all[0], real, sizeof all[0]);
    for (uint32_t i = 0; i < count; i++) all[1 + i] = values[i];
    egg_status status = egg_ranks_agree(ranks, own, all, 1 + count, error);
    if (status != EGG_OK) return status;
    memcpy(real, &all[0], sizeof *real);
    for (uint32_t i = 0; i < count; i++) values[i] = all[1 + i];
    return EGG_OK;
}

egg_status egg_ranks_share(egg_ranks *ranks, void *data, size_t bytes, egg_error *error)
{
    return egg_comm_broadcast(ranks->comm, data, bytes, error);
}

/* '*text' (bytes) of rank 0, which on other ranks is allocated here. */
static egg_status share_text(egg_ranks *ranks, char **text, uint64_t *bytes, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(egg_ranks_share(ranks, bytes, sizeof *bytes, error));
    if (ranks->rank) {
        *text = egg_alloc((size_t)*bytes + 1);
        if (!*text) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the options");
    }
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(egg_ranks_share(ranks, *text, (size_t)*bytes, error));
out:
    return status;
}

static egg_status read_options(const char *json, uint64_t bytes, const egg_options *given, egg_options **options,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    *options = egg_options_new(egg_options_command(given));
    if (!*options) return egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
    EGG_TRY(egg_options_parse_json(*options, json, (size_t)bytes, "the options of rank 0", error));
    egg_options_resolve_integer(*options, "threads", egg_options_values(given)->threads);
out:
    return status;
}

egg_status egg_ranks_share_options(egg_ranks *ranks, const egg_options *given, egg_options **options, egg_error *error)
{
    egg_status status = EGG_OK;
    char *json = NULL;
    uint64_t bytes = 0;
    if (ranks->size == 1) return EGG_OK;
    if (ranks->rank == 0) {
        status = egg_options_write_json(*options, NULL, 0, &json, error);
        bytes = json ? strlen(json) : 0;
    }
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(share_text(ranks, &json, &bytes, error));
    if (ranks->rank) status = read_options(json, bytes, given, options, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
out:
    egg_free(json);
    return status;
}

/* Paths one behind the other, each with its final 0. */
static char *join_paths(char *const *paths, size_t count, uint64_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < count; i++) *bytes += strlen(paths[i]) + 1;
    char *text = egg_alloc((size_t)*bytes), *at = text;
    for (size_t i = 0; text && i < count; at += strlen(paths[i++]) + 1) memcpy(at, paths[i], strlen(paths[i]) + 1);
    return text;
}

static egg_status split_paths(const char *text, uint64_t bytes, char ***paths, size_t *count, egg_error *error)
{
    size_t n = 0;
    for (uint64_t i = 0; i < bytes; i++) n += text[i] == '\0';
    *count = 0;
    *paths = egg_alloc_array(n, sizeof **paths);
    for (const char *at = text; *paths && *count < n; at += strlen(at) + 1)
        if (!((*paths)[(*count)++] = egg_strdup(at))) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a path");
    return *paths ? EGG_OK : egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu paths", n);
}

egg_status egg_ranks_share_paths(egg_ranks *ranks, char ***paths, size_t *count, egg_error *error)
{
    egg_status status = EGG_OK;
    char *text = NULL;
    uint64_t bytes = 0;
    if (ranks->size == 1) return EGG_OK;
    if (ranks->rank == 0) {
        text = join_paths(*paths, *count, &bytes);
        if (!text) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu paths", *count);
    }
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    EGG_TRY(share_text(ranks, &text, &bytes, error));
    if (ranks->rank) status = split_paths(text, bytes, paths, count, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
out:
    egg_free(text);
    return status;
}

egg_status egg_ranks_share_params(egg_ranks *ranks, egg_param *params, uint32_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_params_fetch(params, count);
    for (uint32_t i = 0; i < count; i++) {
        size_t n = egg_param_elements(&params[i]);
        if (params[i].frozen) continue;
        EGG_TRY(egg_ranks_share(ranks, params[i].data, n * egg_dtype_bytes(params[i].dtype), error));
        if (params[i].fraction) EGG_TRY(egg_ranks_share(ranks, params[i].fraction, n * sizeof(int16_t), error));
    }
    EGG_TRY(egg_ranks_share_moments(ranks, params, count, error));
out:
    return status;
}

typedef struct rank_hash {
    egg_hash hash;
    char host[HOST_BYTES];
} rank_hash;

static bool is_equal(egg_hash a, egg_hash b)
{
    return a.high == b.high && a.low == b.low;
}

/* The hash that more than half of the ranks have, if any has (Boyer and Moore's vote). */
static egg_hash majority(const rank_hash *hashes, uint32_t size)
{
    egg_hash leader = hashes[0].hash;
    uint32_t lead = 0;
    for (uint32_t r = 0; r < size; r++) {
        if (lead == 0) leader = hashes[r].hash;
        if (is_equal(hashes[r].hash, leader)) lead++;
        else lead--;
    }
    return leader;
}

egg_status egg_ranks_compare(egg_ranks *ranks, egg_hash hash, const char *what, egg_error *error)
{
    egg_status status = EGG_OK;
    if (ranks->size == 1) return EGG_OK;
    rank_hash *hashes = egg_alloc_array(ranks->size, sizeof *hashes);
    if (!hashes) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the hashes of %u ranks", ranks->size);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    hashes[ranks->rank].hash = hash;
    name_host(hashes[ranks->rank].host);
    EGG_TRY(gather_each(ranks, hashes, sizeof *hashes, error));
    egg_hash right = majority(hashes, ranks->size);
    for (uint32_t r = 0; r < ranks->size; r++) {
        if (is_equal(hashes[r].hash, right)) continue;
        status = egg_fail(error, EGG_ERR_COMM,
                          "rank %u on %s: %s differ from those of the other ranks, rank %u on %s among them",
                          r, hashes[r].host, what, r ? 0 : 1, hashes[r ? 0 : 1].host);
        break;
    }
out:
    egg_free(hashes);
    return status;
}

egg_status egg_ranks_compare_weights(egg_ranks *ranks, const egg_param *params, uint32_t count, uint64_t epoch,
                                     egg_error *error)
{
    egg_hash so_far[2] = {{0}};
    char what[64];
    if (ranks->size == 1) return EGG_OK;
    for (uint32_t i = 0; i < count; i++) {
        egg_param_fetch_weights(&params[i]);
        so_far[1] = egg_hash_bytes(params[i].data, egg_param_elements(&params[i]) * egg_dtype_bytes(params[i].dtype));
        so_far[0] = egg_hash_bytes(so_far, sizeof so_far);
    }
    snprintf(what, sizeof what, "the weights after epoch %llu", (unsigned long long)epoch);
    egg_status status = egg_ranks_compare(ranks, so_far[0], what, error);
    if (status == EGG_ERR_COMM) ranks->differ = true;
    return status;
}

/* The levels that all ranks have, since float results depend on the table. */
static egg_status common_levels(egg_ranks *ranks, egg_kernels *kernels, egg_error *error)
{
    uint32_t levels = 0;
    egg_status status = egg_machine_levels(&levels, error);
    uint32_t *all = egg_alloc_array(ranks->size, sizeof *all);
    if (!all && status == EGG_OK) status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %u ranks", ranks->size);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    all[ranks->rank] = levels;
    EGG_TRY(ranks->size > 1 ? gather_each(ranks, all, sizeof *all, error) : EGG_OK);
    for (uint32_t r = 0; r < ranks->size; r++) levels &= all[r];
    egg_kernels_init(kernels, levels);
out:
    egg_free(all);
    return status;
}

egg_status egg_ranks_machine(egg_ranks *ranks, const char *device, egg_kernels *kernels, egg_error *error)
{
    egg_status status = egg_machine_open(kernels, device, egg_launch_find().local_rank, error);
    EGG_TRY(egg_ranks_agree(ranks, status, NULL, 0, error));
    if (!kernels->device) EGG_TRY(common_levels(ranks, kernels, error));
out:
    return status;
}

egg_status egg_ranks_may_save(const egg_ranks *ranks, egg_error *error)
{
    if (ranks->differ) return egg_fail(error, EGG_ERR_COMM,
                                       "not saved: the ranks differ, and the last save is the last good one");
    if (ranks->comm->broken) return egg_fail(error, EGG_ERR_COMM, "not saved: a rank is lost");
    return EGG_OK;
}

/* ----------------------------------------------------------------------------------------------------------- slices */

egg_status egg_ranks_divide(egg_ranks *ranks, uint32_t pairs, egg_error *error)
{
    ranks->pairs = pairs;
    ranks->bounds = egg_alloc_array(ranks->size + 1, sizeof *ranks->bounds);
    ranks->next = egg_alloc_array(ranks->size + 1, sizeof *ranks->next);
    ranks->speeds = egg_alloc_array(ranks->size, sizeof *ranks->speeds);
    ranks->bytes = egg_alloc_array(ranks->size, sizeof *ranks->bytes);
    ranks->signs = egg_alloc(ranks->size == 1 ? 0 : egg_ternary_bytes(pairs) + ranks->size);
    if (!ranks->bounds || !ranks->next || !ranks->speeds || !ranks->bytes || !ranks->signs)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for the slices of %u ranks", ranks->size);
    egg_ranks_weigh(ranks->speeds, ranks->size, pairs, ranks->bounds);
    return EGG_OK;
}

egg_slice egg_ranks_slice(const egg_ranks *ranks)
{
    const uint64_t *own = ranks->bounds + ranks->rank;
    return (egg_slice){.first_pair = (uint32_t)own[0], .pairs = (uint32_t)(own[1] - own[0])};
}

void egg_ranks_weigh(const float *speeds, uint32_t size, uint32_t pairs, uint64_t *bounds)
{
    double known = 0, so_far = 0;
    uint32_t count = 0;
    for (uint32_t r = 0; r < size; r++) {
        if (!(speeds[r] > 0)) continue;
        known += (double)speeds[r];
        count++;
    }
    const double mean = count ? known / count : 1, total = known + (size - count) * mean;
    bounds[0] = 0;
    for (uint32_t r = 0; r < size; r++) {
        so_far += speeds[r] > 0 ? (double)speeds[r] : mean;
        bounds[r + 1] = (uint64_t)(pairs * (so_far / total) + 0.5);
    }
    bounds[size] = pairs;
}

/* Seconds that the slowest rank takes. */
static double slowest(const egg_ranks *ranks, const uint64_t *bounds)
{
    double most = 0;
    for (uint32_t r = 0; r < ranks->size; r++) {
        double seconds = ranks->speeds[r] > 0 ? (double)(bounds[r + 1] - bounds[r]) / (double)ranks->speeds[r] : 0;
        if (seconds > most) most = seconds;
    }
    return most;
}

egg_status egg_ranks_balance(egg_ranks *ranks, double seconds, void *held, size_t bytes_each, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t own = egg_ranks_slice(ranks).pairs;
    if (ranks->size == 1) return EGG_OK;
    if (own && seconds > 0) {
        float now = (float)(own / seconds);
        ranks->speed = ranks->speed > 0 ? ranks->speed + smoothing * (now - ranks->speed) : now;
    }
    if (++ranks->measured < WEIGH_EPOCHS) return EGG_OK;
    ranks->measured = 0;
    ranks->speeds[ranks->rank] = ranks->speed;
    for (uint32_t r = 0; r < ranks->size; r++) ranks->bytes[r] = sizeof *ranks->speeds;
    EGG_TRY(egg_comm_allgather(ranks->comm, ranks->speeds, ranks->bytes, error));
    egg_ranks_weigh(ranks->speeds, ranks->size, ranks->pairs, ranks->next);
    /* Rank 0 decides: others might be machines of another kind. */
    int64_t moves = ranks->rank == 0 && slowest(ranks, ranks->next) < worth_moving * slowest(ranks, ranks->bounds);
    EGG_TRY(egg_ranks_agree(ranks, EGG_OK, &moves, 1, error));
    if (!moves) goto out;
    EGG_TRY(egg_ranks_share(ranks, ranks->next, (ranks->size + 1) * sizeof *ranks->next, error));
    if (held) EGG_TRY(egg_comm_move(ranks->comm, held, bytes_each, ranks->bounds, ranks->next, error));
    uint64_t *old = ranks->bounds;
    ranks->bounds = ranks->next;
    ranks->next = old;
out:
    return status;
}

egg_status egg_ranks_gather_every(egg_ranks *ranks, uint32_t stride, void *data, size_t bytes_each, egg_error *error)
{
    for (uint32_t r = 0; r < ranks->size; r++) {
        uint64_t first = (ranks->bounds[r] + stride - 1) / stride, end = (ranks->bounds[r + 1] + stride - 1) / stride;
        ranks->bytes[r] = (size_t)(end - first) * bytes_each;
    }
    return egg_comm_allgather(ranks->comm, data, ranks->bytes, error);
}

static uint32_t share_begin(uint32_t count, uint32_t part, uint32_t parts)
{
    return (uint32_t)((uint64_t)count * part / parts);
}

uint32_t egg_ranks_share_of(const egg_ranks *ranks, uint32_t count, uint32_t *first)
{
    *first = share_begin(count, ranks->rank, ranks->size);
    return share_begin(count, ranks->rank + 1, ranks->size) - *first;
}

egg_status egg_ranks_gather_shares(egg_ranks *ranks, uint32_t count, void *data, size_t bytes_each, egg_error *error)
{
    for (uint32_t r = 0; r < ranks->size; r++)
        ranks->bytes[r] = bytes_each * (share_begin(count, r + 1, ranks->size) - share_begin(count, r, ranks->size));
    return egg_comm_allgather(ranks->comm, data, ranks->bytes, error);
}

egg_status egg_ranks_gather(egg_ranks *ranks, void *data, size_t bytes_each, egg_error *error)
{
    uint64_t before = ranks->comm->received;
    egg_status status = egg_ranks_gather_every(ranks, 1, data, bytes_each, error);
    ranks->fitness_bytes = ranks->comm->received - before;
    return status;
}

/* Numbers (pairs) of which only signs travel: one of the two is not NULL. */
typedef struct sign_array {
    int32_t *difference;
    float *weight;             /* 0 or +-unit */
    float unit;
} sign_array;

static int8_t sign_at(const sign_array *array, uint64_t pair)
{
    if (array->weight) return (int8_t)((array->weight[pair] > 0) - (array->weight[pair] < 0));
    return (int8_t)((array->difference[pair] > 0) - (array->difference[pair] < 0));
}

static void put_sign(const sign_array *array, uint64_t pair, int8_t sign)
{
    if (array->weight) array->weight[pair] = (float)sign * array->unit;
    else array->difference[pair] = sign;
}

/* Packs or unpacks slice by slice: every rank's begins at a byte of its own. */
static egg_status unpack_signs(const egg_ranks *ranks, const sign_array *array, egg_error *error)
{
    const uint8_t *from = ranks->signs;
    for (uint32_t r = 0; r < ranks->size; from += ranks->bytes[r++]) {
        for (uint64_t p = ranks->bounds[r]; p < ranks->bounds[r + 1]; p += 5) {
            int8_t signs[5];
            size_t n = ranks->bounds[r + 1] - p < 5 ? (size_t)(ranks->bounds[r + 1] - p) : 5;
            if (!egg_ternary_unpack(from + (p - ranks->bounds[r]) / 5, n, signs))
                return egg_fail(error, EGG_ERR_COMM, "rank %u sent fitness that is no signs", r);
            for (size_t i = 0; i < n; i++) put_sign(array, p + i, signs[i]);
        }
    }
    return EGG_OK;
}

static void pack_signs(const egg_ranks *ranks, const sign_array *array, uint8_t *to)
{
    uint64_t first = ranks->bounds[ranks->rank], end = ranks->bounds[ranks->rank + 1];
    for (uint64_t p = first; p < end; p += 5) {
        int8_t signs[5];
        size_t n = end - p < 5 ? (size_t)(end - p) : 5;
        for (size_t i = 0; i < n; i++) signs[i] = sign_at(array, p + i);
        egg_ternary_pack(signs, n, to + (p - first) / 5);
    }
}

static egg_status gather_signs(egg_ranks *ranks, const sign_array *array, egg_error *error)
{
    uint64_t before = ranks->comm->received;
    size_t place = 0;
    for (uint32_t r = 0; r < ranks->size; r++) {
        ranks->bytes[r] = egg_ternary_bytes((size_t)(ranks->bounds[r + 1] - ranks->bounds[r]));
        if (r < ranks->rank) place += ranks->bytes[r];
    }
    pack_signs(ranks, array, ranks->signs + place);
    egg_status status = egg_comm_allgather(ranks->comm, ranks->signs, ranks->bytes, error);
    ranks->fitness_bytes = ranks->comm->received - before;
    return status == EGG_OK ? unpack_signs(ranks, array, error) : status;
}

egg_status egg_ranks_gather_differences(egg_ranks *ranks, egg_rule rule, int32_t *difference, egg_error *error)
{
    if (ranks->size == 1) return EGG_OK;
    if (rule != EGG_RULE_VOTE) return egg_ranks_gather(ranks, difference, sizeof *difference, error);
    return gather_signs(ranks, &(sign_array){.difference = difference}, error);
}

egg_status egg_ranks_gather_weights(egg_ranks *ranks, float unit, float *weight, egg_error *error)
{
    if (ranks->size == 1) return EGG_OK;
    if (unit == 0) return egg_ranks_gather(ranks, weight, sizeof *weight, error);
    return gather_signs(ranks, &(sign_array){.weight = weight, .unit = unit}, error);
}

/* All pairs are rank 0's. */
static const uint64_t *whole_of_first(egg_ranks *ranks)
{
    ranks->next[0] = 0;
    for (uint32_t r = 0; r < ranks->size; r++) ranks->next[r + 1] = ranks->pairs;
    return ranks->next;
}

egg_status egg_ranks_collect(egg_ranks *ranks, void *data, size_t bytes_each, egg_error *error)
{
    return egg_comm_move(ranks->comm, data, bytes_each, ranks->bounds, whole_of_first(ranks), error);
}

egg_status egg_ranks_scatter(egg_ranks *ranks, void *data, size_t bytes_each, egg_error *error)
{
    return egg_comm_move(ranks->comm, data, bytes_each, whole_of_first(ranks), ranks->bounds, error);
}

uint64_t egg_ranks_traffic(egg_ranks *ranks)
{
    uint64_t bytes = ranks->comm->received - ranks->counted;
    ranks->counted = ranks->comm->received;
    return bytes;
}
