/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "train/seed_patch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/safetensors.h"
#include "train/finetune_settings.h"
#include "train/machine.h"
#include "train/model_file.h"
#include "train/rwkv7_file.h"

#define ARCHITECTURE "seed patch"

/* ------------------------------------------------------------------------------------------------------- the record */

enum { HEADER_BYTES = 16 };

/* 8 bytes that name it, pairs as little-endian uint32, 4 zeros; then float32 (epochs, pairs). */
static const char record_name[8] = {'E', 'G', 'G', 'W', 'G', 'H', 'T', '1'};

static void make_header(uint8_t header[HEADER_BYTES], uint32_t pairs)
{
    memset(header, 0, HEADER_BYTES);
    memcpy(header, record_name, sizeof record_name);
    for (int i = 0; i < 4; i++) header[8 + i] = (uint8_t)(pairs >> 8 * i);
}

static off_t record_bytes(uint32_t pairs, uint64_t epochs)
{
    return (off_t)(HEADER_BYTES + epochs * pairs * sizeof(float));
}

static bool write_all(int file, const void *data, size_t bytes, off_t offset)
{
    const char *at = data;
    while (bytes) {
        ssize_t n = pwrite(file, at, bytes, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Whether the file begins as it should and is long enough. */
static egg_status check_record(int file, const char *path, uint32_t pairs, uint64_t epochs, egg_error *error)
{
    uint8_t header[HEADER_BYTES], found[HEADER_BYTES];
    make_header(header, pairs);
    if (pread(file, found, sizeof found, 0) != sizeof found || memcmp(header, found, sizeof found) != 0)
        return egg_fail(error, EGG_ERR_FORMAT, "%s: no record of the weights of %u pairs", path, pairs);
    if (lseek(file, 0, SEEK_END) < record_bytes(pairs, epochs))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: the record ends before epoch %" PRIu64, path, epochs);
    return EGG_OK;
}

egg_status egg_weight_record_open(egg_weight_record *record, const char *path, uint32_t pairs, uint64_t epochs,
                                  egg_error *error)
{
    uint8_t header[HEADER_BYTES];
    egg_status status = EGG_OK;
    *record = (egg_weight_record){.pairs = pairs, .epochs = epochs};
    record->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (epochs ? 0 : O_TRUNC), 0666);
    if (record->file < 0) return egg_fail_errno(error, "%s: cannot open the record of weights", path);
    if (epochs) {
        EGG_TRY(check_record(record->file, path, pairs, epochs, error));
        if (ftruncate(record->file, record_bytes(pairs, epochs)) != 0)
            status = egg_fail_errno(error, "%s: cannot go on with the record of weights", path);
    } else {
        make_header(header, pairs);
        if (!write_all(record->file, header, sizeof header, 0))
            status = egg_fail_errno(error, "%s: cannot write the record of weights", path);
    }
out:
    if (status != EGG_OK) egg_weight_record_close(record);
    return status;
}

void egg_weight_record_close(egg_weight_record *record)
{
    if (record->file >= 0) close(record->file);
    record->file = -1;
}

void egg_weight_record_add(egg_weight_record *record, const float *weight)
{
    if (record->file < 0) return;
    off_t at = record_bytes(record->pairs, record->epochs++);
    if (!write_all(record->file, weight, record->pairs * sizeof *weight, at) && !record->failure) record->failure = errno;
}

egg_status egg_weight_record_flush(egg_weight_record *record, const char *path, egg_error *error)
{
    if (record->file < 0) return EGG_OK;
    errno = record->failure;
    if (record->failure || fdatasync(record->file) != 0) return egg_fail_errno(error, "%s: cannot write", path);
    return EGG_OK;
}

/* -------------------------------------------------------------------------------------------------------- the patch */

char *egg_seed_patch_law(egg_options *options)
{
    static const char *const names[] = {
        "seed",  "population", "rank",      "sigma",   "sigma-decay", "noise-reuse",  "rate",      "rate-decay", "thaw",
        "freeze", "optimizer", "beta1",     "beta2",   "epsilon",     "weight-decay", "clip-norm",
    };
    size_t bytes = 1;
    for (size_t i = 0; i < EGG_COUNT(names); i++) bytes += strlen(names[i]) + strlen(egg_options_get(options, names[i])) + 2;
    char *law = egg_alloc(bytes), *at = law;
    for (size_t i = 0; law && i < EGG_COUNT(names); i++)
        at += sprintf(at, "%s=%s\n", names[i], egg_options_get(options, names[i]));
    return law;
}

egg_status egg_seed_patch_write(const egg_seed_patch *patch, const char *record_path, uint32_t pairs, uint64_t epochs,
                                const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_mapping record = {0};
    egg_safetensors_writer *writer;
    char base[33], tuned[33];
    const uint64_t shape[2] = {epochs, pairs};
    EGG_TRY(egg_mapping_open(&record, record_path, error));
    if (record.bytes < (size_t)record_bytes(pairs, epochs)) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: the record ends before epoch %" PRIu64, record_path, epochs);
        goto out;
    }
    EGG_TRY(egg_safetensors_writer_open(&writer, path, error));
    egg_hash_text(patch->base, base);
    egg_hash_text(patch->tuned, tuned);
    egg_safetensors_writer_metadata(writer, "format", "eggroll");
    egg_safetensors_writer_metadata(writer, "architecture", ARCHITECTURE);
    egg_safetensors_writer_metadata(writer, "law", patch->law);
    egg_safetensors_writer_metadata(writer, "kernels", patch->kernels);
    egg_safetensors_writer_metadata(writer, "base", base);
    egg_safetensors_writer_metadata(writer, "tuned", tuned);
    egg_safetensors_writer_tensor(writer, "weights", EGG_TENSOR_F32, 2, shape, record.data + HEADER_BYTES);
    status = egg_safetensors_writer_commit(writer, error);
out:
    egg_mapping_close(&record);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ apply */

typedef struct patching {
    const char *path;            /* of the patch */
    egg_safetensors *file;
    egg_options *options;
    const egg_settings *settings;
    egg_kernels kernels;
    egg_pool *pool;
    egg_rwkv7 *model;
    egg_evolution_shape shape;
    egg_evolution *evolution;
} patching;

static egg_status read_text(const patching *p, const char *key, const char **text, egg_error *error)
{
    *text = egg_safetensors_metadata(p->file, key);
    if (*text) return EGG_OK;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: metadata '%s' is missing; not a seed patch", p->path, key);
}

/* "name=value" a line. */
static egg_status read_law(patching *p, const char *law, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_error reason;
    char *copy = egg_strdup(law), *next = copy;
    p->options = egg_options_new("finetune");
    if (!copy || !p->options) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its options", p->path);
        goto out;
    }
    for (char *line; (line = strsep(&next, "\n"));) {
        char *value = strchr(line, '=');
        if (!*line) continue;
        if (value) *value++ = '\0';
        if (!value || egg_options_set(p->options, line, value, &reason) != EGG_OK) {
            status = egg_fail(error, EGG_ERR_FORMAT, "%s: its options: %s", p->path, value ? reason.text : "a line without '='");
            goto out;
        }
    }
    p->settings = egg_options_values(p->options);
out:
    egg_free(copy);
    return status;
}

static egg_status read_patch(patching *p, egg_error *error)
{
    egg_status status = EGG_OK;
    const char *architecture, *law;
    EGG_TRY(egg_safetensors_open(&p->file, p->path, error));
    EGG_TRY(read_text(p, "architecture", &architecture, error));
    if (strcmp(architecture, ARCHITECTURE) != 0) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: expected a " ARCHITECTURE ", found '%s'", p->path, architecture);
        goto out;
    }
    EGG_TRY(read_text(p, "law", &law, error));
    EGG_TRY(read_law(p, law, error));
out:
    return status;
}

static egg_status open_model(patching *p, const char *base, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_shards *shards = NULL;
    EGG_TRY(egg_machine_kernels(&p->kernels, error));
    EGG_TRY(egg_pool_open(&p->pool, 0, error));
    EGG_TRY(egg_shards_open(&shards, base, error));
    EGG_TRY(egg_rwkv7_file_read(&p->model, shards, &p->kernels, EGG_RWKV7_TRAINING, error));
    EGG_TRY(egg_finetune_freeze(p->settings, p->model, error));
    p->shape = egg_finetune_evolution(p->settings, egg_pool_threads(p->pool));
    EGG_TRY(egg_evolution_open(&p->evolution, &p->shape, p->model->params, p->model->param_count, error));
out:
    egg_shards_close(shards);
    return status;
}

static egg_status check_hash(const patching *p, const char *key, const char *what, egg_error *error)
{
    const char *expected, *level;
    egg_hash hash;
    char found[33];
    egg_status status = EGG_OK;
    EGG_TRY(read_text(p, key, &expected, error));
    EGG_TRY(read_text(p, "kernels", &level, error));
    EGG_TRY(egg_params_hash(p->model->params, p->model->param_count, &hash, error));
    egg_hash_text(hash, found);
    if (strcmp(expected, found) == 0) goto out;
    bool other = strcmp(level, p->kernels.level) != 0;
    status = egg_fail(error, EGG_ERR_FORMAT, "%s: %s has the hash %s, expected %s%s%s%s", p->path, what, found, expected,
                      other ? "; made with kernels " : "", other ? level : "", other ? ", which round otherwise" : "");
out:
    return status;
}

static egg_status replay(patching *p, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_tensor *tensor = egg_safetensors_find(p->file, "weights");
    uint32_t pairs;
    float *weight = egg_evolution_weights(p->evolution, &pairs);
    uint64_t shape[2] = {tensor && tensor->dims ? tensor->shape[0] : 0, pairs};
    EGG_TRY(egg_safetensors_expect(p->file, "weights", EGG_TENSOR_F32, 2, shape, &tensor, error));
    for (uint64_t epoch = 0; epoch < shape[0]; epoch++) {
        memcpy(weight, (const char *)tensor->data + epoch * pairs * sizeof *weight, pairs * sizeof *weight);
        egg_evolution_apply(p->evolution, &p->kernels, p->pool, epoch, egg_evolution_rate(&p->shape, epoch));
    }
out:
    return status;
}

egg_status egg_patch_apply(const char *base, const char *patch, const char *out_path, egg_error *error)
{
    egg_status status = EGG_OK;
    patching p = {.path = patch};
    EGG_TRY(read_patch(&p, error));
    EGG_TRY(open_model(&p, base, error));
    EGG_TRY(check_hash(&p, "base", base, error));
    EGG_TRY(replay(&p, error));
    EGG_TRY(check_hash(&p, "tuned", "the rebuilt model", error));
    EGG_TRY(egg_rwkv7_file_write(p.model, out_path, EGG_TENSOR_F32, error));
out:
    egg_evolution_close(p.evolution);
    egg_rwkv7_close(p.model);
    egg_pool_close(p.pool);
    egg_options_free(p.options);
    egg_safetensors_close(p.file);
    return status;
}
