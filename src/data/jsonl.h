/* SPDX-License-Identifier: MIT */
/* Text out of JSON lines: one object a line, of which one field holds a document. Bytes come in pieces of any size. */
#ifndef EGG_DATA_JSONL_H
#define EGG_DATA_JSONL_H

#include <stddef.h>

#include "base/status.h"

typedef struct egg_jsonl egg_jsonl;

/* Receives the text of one line: UTF-8 without NUL, perhaps empty, gone after the call. A failure ends the reading. */
typedef egg_status egg_jsonl_fn(void *context, const char *text, size_t bytes, egg_error *error);

/*
 * 'name' (of the file, for error texts), 'field' and 'context' must outlive the reader. A line may have up to
 * 'max_line' bytes; memory grows with the longest line only.
 */
egg_status egg_jsonl_open(egg_jsonl **reader, const char *name, const char *field, size_t max_line, egg_jsonl_fn *write,
                          void *context, egg_error *error);

/*
 * Calls 'write' for each line that 'data' completes. Blank lines are skipped, lines may end in CR LF, and the file may
 * begin with a byte order mark. EGG_ERR_FORMAT where a line is no JSON object, is too long, or has no string in the
 * field; the text names file, line and what was found, 'offset' is the line. After a failure only close is left.
 */
egg_status egg_jsonl_push(egg_jsonl *reader, const void *data, size_t bytes, egg_error *error);

/* At the end of the file, whose last line may lack its newline. */
egg_status egg_jsonl_finish(egg_jsonl *reader, egg_error *error);
void egg_jsonl_close(egg_jsonl *reader);   /* NULL is fine */

#endif
