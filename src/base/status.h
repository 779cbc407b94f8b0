/* SPDX-License-Identifier: MIT */
/* How functions fail: a status to branch on, a text for the person who reads it. */
#ifndef EGG_BASE_STATUS_H
#define EGG_BASE_STATUS_H

#include "base/compiler.h"
#include "eggroll.h"

/* Fills 'error' (which may be NULL) and returns 'status'. */
egg_status egg_fail(egg_error *error, egg_status status, const char *format, ...) EGG_PRINTF(3, 4);

/* The same for a failed system call: appends ": <what errno says>"; status EGG_ERR_IO, or EGG_ERR_NOMEM for ENOMEM. */
egg_status egg_fail_errno(egg_error *error, const char *format, ...) EGG_PRINTF(2, 3);

/* For functions with 'egg_status status' and one 'out:' label that frees everything. */
#define EGG_TRY(call)                                                                                                  \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != EGG_OK) goto out;                                                                                \
    } while (0)

#endif
