/* SPDX-License-Identifier: MIT */
/*
 * The safetensors format: an 8-byte little-endian length, a JSON header of that length which gives every tensor's type,
 * shape and place, then the tensors' bytes. Files are mapped; nothing in them is trusted.
 */
#ifndef EGG_DATA_SAFETENSORS_H
#define EGG_DATA_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum egg_tensor_type {
    EGG_TENSOR_BOOL,
    EGG_TENSOR_U8,
    EGG_TENSOR_I8,
    EGG_TENSOR_I16,
    EGG_TENSOR_U16,
    EGG_TENSOR_F16,
    EGG_TENSOR_BF16,
    EGG_TENSOR_I32,
    EGG_TENSOR_U32,
    EGG_TENSOR_F32,
    EGG_TENSOR_I64,
    EGG_TENSOR_U64,
    EGG_TENSOR_F64
} egg_tensor_type;

const char *egg_tensor_type_name(egg_tensor_type type);   /* as in the header: "I8", ... */
size_t egg_tensor_type_bytes(egg_tensor_type type);

enum { EGG_TENSOR_MAX_DIMS = 8 };

typedef struct egg_tensor {
    const char *name;
    egg_tensor_type type;
    uint32_t dims;
    uint64_t shape[EGG_TENSOR_MAX_DIMS];   /* (dims) outermost first */
    const void *data;                      /* (bytes) in the mapping, aligned to nothing: copy it out */
    uint64_t bytes;
} egg_tensor;

/* -------------------------------------------------------------------------------------------------------- reading */

typedef struct egg_safetensors egg_safetensors;

/* Errors name the file, the tensor, what was expected and what was found. */
egg_status egg_safetensors_open(egg_safetensors **file, const char *path, egg_error *error);

/* The same over bytes in memory, which must outlive the handle; 'name' is for error messages. */
egg_status egg_safetensors_parse(egg_safetensors **file, const void *data, size_t bytes, const char *name,
                                 egg_error *error);
void egg_safetensors_close(egg_safetensors *file);

size_t egg_safetensors_count(const egg_safetensors *file);
const egg_tensor *egg_safetensors_at(const egg_safetensors *file, size_t index);   /* in the order of their data */
const egg_tensor *egg_safetensors_find(const egg_safetensors *file, const char *name);   /* NULL if absent */
const char *egg_safetensors_metadata(const egg_safetensors *file, const char *key);      /* NULL if absent */
const char *egg_safetensors_metadata_key(const egg_safetensors *file, size_t index);     /* NULL behind the last one */

/* Finds a tensor and checks its type and shape (dims); EGG_ERR_FORMAT says which of the three is wrong, and how. */
egg_status egg_safetensors_expect(const egg_safetensors *file, const char *name, egg_tensor_type type, uint32_t dims,
                                  const uint64_t *shape, const egg_tensor **tensor, egg_error *error);

/* Whether egg_tensor_read_f32 can read it: F32, BF16 or F16. */
bool egg_tensor_is_float(const egg_tensor *tensor);

/* out[0..n) = elements first..first+n of such a tensor; every value of the three types is a float32 exactly. */
void egg_tensor_read_f32(const egg_tensor *tensor, uint64_t first, size_t n, float *out);

/* The shape as text, "[4, 64]", for error texts; cut where it does not fit. */
void egg_tensor_shape_text(char *text, size_t size, uint32_t dims, const uint64_t *shape);

/* -------------------------------------------------------------------------------------------------------- writing */

/*
 * Declares metadata and tensors, then writes them all in commit: atomically, everything in the order declared, the data
 * from a multiple of 64, the same bytes for the same declarations. Tensor data is not copied; it must live until the
 * commit. Setting a metadata key again replaces its value; a tensor's name may be used once. Errors are sticky: commit
 * reports the first and then writes nothing.
 */
typedef struct egg_safetensors_writer egg_safetensors_writer;

egg_status egg_safetensors_writer_open(egg_safetensors_writer **writer, const char *path, egg_error *error);
void egg_safetensors_writer_metadata(egg_safetensors_writer *writer, const char *key, const char *value);
void egg_safetensors_writer_tensor(egg_safetensors_writer *writer, const char *name, egg_tensor_type type,
                                   uint32_t dims, const uint64_t *shape, const void *data);
egg_status egg_safetensors_writer_commit(egg_safetensors_writer *writer, egg_error *error);   /* frees it either way */
void egg_safetensors_writer_abort(egg_safetensors_writer *writer);   /* frees it, writes nothing; NULL is fine */

#endif
