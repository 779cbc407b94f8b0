/* SPDX-License-Identifier: MIT */
/*
 * A reward for `eggroll finetune MODEL --task jsonl --data prompts.jsonl --reward-lib ./reward.so`: the share of the
 * completion's bytes that are vowels, which nobody could differentiate. Build it with
 *
 *     cc -shared -fPIC -O2 reward.c -o reward.so
 */
#include <string.h>

#include <eggroll.h>

static egg_status reward(const egg_answer *answer, double *value, egg_error *error)
{
    size_t vowels = 0;
    (void)error;
    for (size_t i = 0; i < answer->completion_bytes; i++) {
        char c = answer->completion[i];
        vowels += c && strchr("aeiouAEIOU", c) != NULL;
    }
    *value = answer->completion_bytes ? (double)vowels / (double)answer->completion_bytes : 0;
    return EGG_OK;
}

EGG_API const egg_reward_library *egg_reward_plugin(void);   /* the one name that the library looks for */

const egg_reward_library *egg_reward_plugin(void)
{
    static const egg_reward_library library = {.version = EGG_REWARD_VERSION, .name = "vowels", .reward = reward};
    return &library;
}
