/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: refused with a text, or taken, and then its tensors share out the data exactly. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "data/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

/* Reads it all, under the eyes of the sanitizer; returns its bytes. */
static uint64_t check_tensor(const egg_safetensors *file, const egg_tensor *tensor)
{
    uint64_t bytes = egg_tensor_type_bytes(tensor->type);
    const egg_tensor *same;
    for (uint32_t i = 0; i < tensor->dims; i++) bytes *= tensor->shape[i];
    check(bytes == tensor->bytes);
    check(egg_safetensors_find(file, tensor->name) == tensor);
    check(egg_safetensors_expect(file, tensor->name, tensor->type, tensor->dims, tensor->shape, &same, NULL) == EGG_OK);
    volatile uint8_t last = 0;
    for (uint64_t i = 0; i < bytes; i++) last = ((const uint8_t *)tensor->data)[i];
    (void)last;
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    egg_safetensors *file;
    egg_error error = {0};
    egg_status status = egg_safetensors_parse(&file, data, size, "input", &error);
    check(status == EGG_OK ? file != NULL : !file && status == EGG_ERR_FORMAT && error.text[0]);
    if (!file) return 0;
    const uint8_t *end = data + size;
    for (size_t i = egg_safetensors_count(file); i-- > 0;) {   /* the last one ends with the file */
        const egg_tensor *tensor = egg_safetensors_at(file, i);
        end -= check_tensor(file, tensor);
        check(tensor->data == end);
    }
    const char *key;
    for (size_t i = 0; (key = egg_safetensors_metadata_key(file, i)); i++)
        check(egg_safetensors_metadata(file, key) != NULL);
    egg_safetensors_close(file);
    return 0;
}
