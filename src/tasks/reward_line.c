/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tasks/reward_process.h"

enum { ESCAPED_BYTES = 6, AROUND_BYTES = 96, FOUND_BYTES = 80 };

/* -------------------------------------------------------------------------------------------------------- requests */

/* Bytes of the UTF-8 character that text[0..bytes) begins with, 0 where it begins with none. */
static size_t character_bytes(const uint8_t *text, size_t bytes)
{
    uint8_t lead = text[0];
    size_t n = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3
               : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (n > bytes) return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] > 0x9f)) return 0;   /* too long, a surrogate */
    if ((lead == 0xf0 && text[1] < 0x90) || (lead == 0xf4 && text[1] > 0x8f)) return 0;   /* too long, too large */
    return n;
}

/* Appends a JSON string; 'out' has room for ESCAPED_BYTES a byte and the quotes. */
static char *write_string(char *out, const char *text, size_t bytes)
{
    *out++ = '"';
    for (size_t i = 0, n; i < bytes; i += n) {
        uint8_t c = (uint8_t)text[i];
        size_t whole = n = character_bytes((const uint8_t *)text + i, bytes - i);
        if (!whole) {
            n = 1;
            out += sprintf(out, "\\ufffd");
        } else if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20) {
            out += sprintf(out, "\\u%04x", c);
        } else {
            memcpy(out, text + i, n);
            out += n;
        }
    }
    *out++ = '"';
    return out;
}

char *egg_reward_request_text(const egg_reward_request *request, uint64_t id, size_t *bytes)
{
    size_t text_bytes = request->prompt_bytes + request->completion_bytes;
    if (text_bytes > SIZE_MAX / 16 || request->row_bytes > SIZE_MAX / 2) return NULL;
    char *text = egg_alloc(AROUND_BYTES + ESCAPED_BYTES * text_bytes + request->row_bytes), *out = text;
    if (!text) return NULL;
    out += sprintf(out, "{\"id\": %" PRIu64 ", \"prompt\": ", id);
    out = write_string(out, request->prompt, request->prompt_bytes);
    out += sprintf(out, ", \"completion\": ");
    out = write_string(out, request->completion, request->completion_bytes);
    out += sprintf(out, ", \"row\": ");
    if (request->row) {
        memcpy(out, request->row, request->row_bytes);
        out += request->row_bytes;
    } else {
        out += sprintf(out, "null");
    }
    out += sprintf(out, "}\n");
    *bytes = (size_t)(out - text);
    return text;
}

/* --------------------------------------------------------------------------------------------------------- replies */

/* The line for an error text: printable, cut. */
static const char *shown(const char *line, size_t bytes, char text[FOUND_BYTES])
{
    size_t n = bytes < FOUND_BYTES - 4 ? bytes : FOUND_BYTES - 4;
    for (size_t i = 0; i < n; i++) text[i] = line[i] >= 0x20 && line[i] < 0x7f ? line[i] : '?';
    strcpy(text + n, n < bytes ? "..." : "");
    return text;
}

egg_status egg_reward_reply_parse(const char *line, size_t bytes, uint64_t id, double *reward, egg_error *error)
{
    char text[FOUND_BYTES];
    json_error_t reason;
    egg_status status = EGG_OK;
    json_t *reply = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &reason);
    const json_t *found_id = json_object_get(reply, "id"), *found = json_object_get(reply, "reward");
    if (!json_is_object(reply))
        status = egg_fail(error, EGG_ERR_FORMAT, "replied '%s', expected {\"id\": %" PRIu64 ", \"reward\": NUMBER}",
                          shown(line, bytes, text), id);
    else if (!json_is_integer(found_id) || json_integer_value(found_id) != (json_int_t)id)
        status =
            egg_fail(error, EGG_ERR_FORMAT, "replied '%s', expected the id %" PRIu64, shown(line, bytes, text), id);
    else if (!json_is_number(found) || !isfinite(json_number_value(found)))
        status = egg_fail(error, EGG_ERR_FORMAT, "replied '%s', expected a finite number as reward",
                          shown(line, bytes, text));
    else
        *reward = json_number_value(found);
    json_decref(reply);
    return status;
}
