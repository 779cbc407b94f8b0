/* SPDX-License-Identifier: MIT */
#include "tasks/reward_library.h"

#include <dlfcn.h>
#include <math.h>

#define SYMBOL "egg_reward_plugin"

typedef const egg_reward_library *plugin_fn(void);

static egg_status open_library(egg_reward_handle *handle, const char *path, egg_error *error)
{
    handle->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle->handle) return egg_fail(error, EGG_ERR_IO, "--reward-lib: %s: cannot load it: %s", path, dlerror());
    plugin_fn *plugin;
    *(void **)&plugin = dlsym(handle->handle, SYMBOL);   /* POSIX's way from a pointer to a function */
    if (!plugin)
        return egg_fail(error, EGG_ERR_FORMAT, "--reward-lib: %s exports no function %s(), expected one that eggroll.h "
                        "declares", path, SYMBOL);
    const egg_reward_library *library = handle->library = plugin();
    if (!library) return egg_fail(error, EGG_ERR_FORMAT, "--reward-lib: %s: %s() returned NULL", path, SYMBOL);
    if (library->version != EGG_REWARD_VERSION)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "--reward-lib: %s: version %u, expected %u; build it again with this eggroll.h", path,
                        library->version, EGG_REWARD_VERSION);
    if (!library->name || !library->reward)
        return egg_fail(error, EGG_ERR_FORMAT, "--reward-lib: %s: %s is NULL", path, library->name ? "reward" : "name");
    return EGG_OK;
}

egg_status egg_reward_library_open(egg_reward_handle *handle, const char *path, egg_error *error)
{
    *handle = (egg_reward_handle){0};
    egg_status status = open_library(handle, path, error);
    if (status != EGG_OK) egg_reward_library_close(handle);
    return status;
}

void egg_reward_library_close(egg_reward_handle *handle)
{
    if (handle->handle) dlclose(handle->handle);
    *handle = (egg_reward_handle){0};
}

egg_status egg_reward_library_run(const egg_reward_handle *handle, const egg_reward_request *requests, size_t count,
                                  double *rewards, egg_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const egg_reward_request *request = &requests[i];
        egg_error reason = {0};
        const egg_answer answer = {.prompt = request->prompt, .prompt_bytes = request->prompt_bytes,
                                   .completion = request->completion, .completion_bytes = request->completion_bytes,
                                   .row = request->row, .row_bytes = request->row_bytes};
        egg_status status = handle->library->reward(&answer, &rewards[i], &reason);
        if (status != EGG_OK)
            return egg_fail(error, status, "--reward-lib: %s: %s", handle->library->name,
                            *reason.text ? reason.text : "failed without a reason");
        if (!isfinite(rewards[i]))
            return egg_fail(error, EGG_ERR_FORMAT, "--reward-lib: %s gave the reward %g, expected a finite number",
                            handle->library->name, rewards[i]);
    }
    return EGG_OK;
}
