/* SPDX-License-Identifier: MIT */
/* A folder for one test program's files, and a disk that is full on request. */
#ifndef EGG_TESTS_SCRATCH_H
#define EGG_TESTS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

/* Group set-up and tear-down: the folder appears under $TMPDIR or /tmp and goes away with all that is in it. */
int scratch_open(void **state);
int scratch_close(void **state);

const char *scratch_folder(void);
const char *scratch_path(const char *name);   /* "<folder>/<name>", valid for 15 more calls */
size_t scratch_count(void);                   /* entries in the folder */

void scratch_write(const char *name, const void *data, size_t bytes);
uint8_t *scratch_read(const char *name, size_t *bytes);   /* with a NUL behind them; free() it */

/* No file may grow beyond 'bytes': what lies beyond fails with EFBIG, as ENOSPC would. */
void scratch_limit_files(size_t bytes);
void scratch_unlimit_files(void);

#endif
