/* SPDX-License-Identifier: MIT */
/* Any bytes as a reply: refused with a text, or a finite reward; and as a prompt: the line is JSON that says the same.
 */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tasks/reward_process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    double reward;
    egg_error error = {0};
    egg_status status = egg_reward_reply_parse((const char *)data, size, 1, &reward, &error);
    check(status == EGG_OK ? isfinite(reward) : status == EGG_ERR_FORMAT && error.text[0]);

    size_t bytes;
    const egg_reward_request request = {
        .prompt = (const char *)data, .prompt_bytes = size, .completion = "", .row = "[1]", .row_bytes = 3};
    char *line = egg_reward_request_text(&request, UINT32_MAX, &bytes);
    check(line && bytes && line[bytes - 1] == '\n' && !memchr(line, '\n', bytes - 1));
    json_t *object = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL);
    const json_t *prompt = json_object_get(object, "prompt"), *whole = json_stringn((const char *)data, size);
    check(json_is_string(prompt));
    if (whole) check(json_equal((json_t *)(uintptr_t)prompt, (json_t *)(uintptr_t)whole));   /* it was UTF-8 */
    json_decref((json_t *)(uintptr_t)whole);
    json_decref(object);
    egg_free(line);
    return 0;
}
