/* SPDX-License-Identifier: MIT */
/* Environments by name or from a shared library of the user's (eggroll.h says what it exports). */
#ifndef EGG_ENVS_PLUGIN_H
#define EGG_ENVS_PLUGIN_H

#include "envs/env.h"

typedef struct egg_env_handle {
    const egg_env *env;
    void *library;     /* of a plug-in, else NULL */
} egg_env_handle;

/*
 * A 'name' with a slash, or that ends in .so, is the path of a plug-in; any other that of a built-in environment.
 * Errors say which field of a plug-in is wrong.
 */
egg_status egg_env_open(egg_env_handle *handle, const char *name, egg_error *error);
void egg_env_close(egg_env_handle *handle);

#endif
