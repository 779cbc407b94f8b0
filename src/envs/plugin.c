/* SPDX-License-Identifier: MIT */
#include "envs/plugin.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SYMBOL "egg_env_plugin"

typedef const egg_env *plugin_fn(void);

/* Far above any real environment: what is beyond is a struct that was filled wrongly. */
enum { MOST_VALUES = 1 << 20, MOST_STATE_BYTES = 1 << 30 };

static bool is_path(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 3 && strcmp(name + length - 3, ".so") == 0);
}

static egg_status check(const egg_env *env, const char *path, egg_error *error)
{
    const char *wrong = NULL;
    if (!env) return egg_fail(error, EGG_ERR_FORMAT, "%s: %s() returned NULL, expected an environment", path, SYMBOL);
    if (env->version != EGG_ENV_VERSION)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: an environment of version %u, expected %u; build it again with this eggroll.h",
                        path, env->version, EGG_ENV_VERSION);
    if (!env->name || !*env->name) wrong = "name: expected a text, found none";
    else if (!env->summary) wrong = "summary: expected a text, found NULL";
    else if (env->observations < 1 || env->observations > MOST_VALUES) wrong = "observations: expected 1 to 1048576";
    else if (env->actions < 1 || env->actions > MOST_VALUES) wrong = "actions: expected 1 to 1048576";
    else if (!env->discrete && !(env->action_low < env->action_high && isfinite(env->action_high - env->action_low)))
        wrong = "action_low, action_high: expected finite numbers, the first below the second";
    else if (env->mask_at && (!env->discrete || env->mask_at > env->observations ||
                              env->actions > env->observations - env->mask_at + 1))
        wrong = "mask_at: expected 0, or 1 + the index of 'actions' numbers within the observation of a discrete "
                "environment";
    else if (env->max_steps < 1) wrong = "max_steps: expected at least 1, so that every episode ends; found 0";
    else if (env->state_bytes > MOST_STATE_BYTES) wrong = "state_bytes: expected at most 1 GiB";
    else if (!env->reset) wrong = "reset: expected a function, found NULL";
    else if (!env->step) wrong = "step: expected a function, found NULL";
    if (wrong) return egg_fail(error, EGG_ERR_FORMAT, "%s: %s", path, wrong);
    return EGG_OK;
}

static egg_status open_plugin(egg_env_handle *handle, const char *path, egg_error *error)
{
    char local[4096];   /* a name without a folder would be searched for among the system's libraries */
    int length = snprintf(local, sizeof local, "%s%s", strchr(path, '/') ? "" : "./", path);
    if (length < 0 || (size_t)length >= sizeof local)
        return egg_fail(error, EGG_ERR_ARGUMENT, "%.100s...: a path of more than 4095 bytes", path);
    handle->library = dlopen(local, RTLD_NOW | RTLD_LOCAL);
    if (!handle->library) return egg_fail(error, EGG_ERR_IO, "%s: cannot load the plug-in: %s", path, dlerror());
    plugin_fn *plugin;
    *(void **)&plugin = dlsym(handle->library, SYMBOL);   /* POSIX's way from a pointer to a function */
    if (!plugin) return egg_fail(error, EGG_ERR_FORMAT, "%s: not a plug-in: it exports no function %s()", path, SYMBOL);
    handle->env = plugin();
    return check(handle->env, path, error);
}

egg_status egg_env_open(egg_env_handle *handle, const char *name, egg_error *error)
{
    *handle = (egg_env_handle){0};
    if (!is_path(name)) return egg_env_find(&handle->env, name, error);
    egg_status status = open_plugin(handle, name, error);
    if (status != EGG_OK) egg_env_close(handle);
    return status;
}

void egg_env_close(egg_env_handle *handle)
{
    if (handle->library) dlclose(handle->library);
    *handle = (egg_env_handle){0};
}
