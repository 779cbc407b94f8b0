/* SPDX-License-Identifier: MIT */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

egg_status egg_fail(egg_error *error, egg_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

egg_status egg_fail_errno(egg_error *error, const char *format, ...)
{
    int code = errno;
    egg_status status = code == ENOMEM ? EGG_ERR_NOMEM : EGG_ERR_IO;
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        int used = vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        error->status = status;
        if (used >= 0 && (size_t)used < sizeof error->text)
            snprintf(error->text + used, sizeof error->text - (size_t)used, ": %s", strerror(code));
    }
    return status;
}

const char *egg_status_name(egg_status status)
{
    switch (status) {
    case EGG_OK: return "ok";
    case EGG_ERR_ARGUMENT: return "bad argument";
    case EGG_ERR_NOMEM: return "out of memory";
    case EGG_ERR_IO: return "input or output failed";
    case EGG_ERR_FORMAT: return "malformed data";
    case EGG_ERR_UNSUPPORTED: return "not supported";
    case EGG_ERR_DEVICE: return "device failed";
    case EGG_ERR_COMM: return "communication failed";
    }
    return "unknown status";
}
