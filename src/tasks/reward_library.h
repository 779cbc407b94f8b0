/* SPDX-License-Identifier: MIT */
/* Rewards from a shared library of the user's; eggroll.h says what it exports. */
#ifndef EGG_TASKS_REWARD_LIBRARY_H
#define EGG_TASKS_REWARD_LIBRARY_H

#include "tasks/reward_process.h"

typedef struct egg_reward_handle {
    const egg_reward_library *library;
    void *handle;
} egg_reward_handle;

egg_status egg_reward_library_open(egg_reward_handle *handle, const char *path, egg_error *error);
void egg_reward_library_close(egg_reward_handle *handle);

/* rewards[i] = the reward of requests[i]; a failure, or a reward that is not finite, ends it. */
egg_status egg_reward_library_run(const egg_reward_handle *handle, const egg_reward_request *requests, size_t count,
                                  double *rewards, egg_error *error);

#endif
