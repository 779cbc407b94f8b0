/* SPDX-License-Identifier: MIT */
#include "envs/env.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "envs/list.h"
#include "envs/mujoco/robots.h"

static const egg_env *const always[] = {EGG_ENVS_BUILT_IN};

#define EGG_ROBOT_LISTED(id, ...) &egg_env_##id,
static const egg_env *const robots[] = {EGG_ROBOTS(EGG_ROBOT_LISTED)};

size_t egg_env_count(void)
{
    return EGG_COUNT(always) + EGG_COUNT(robots);
}

egg_env_entry egg_env_at(size_t index)
{
    if (index < EGG_COUNT(always)) return (egg_env_entry){.env = always[index]};
    const egg_env *robot = robots[index - EGG_COUNT(always)];
    return (egg_env_entry){.env = robot, .missing = egg_robot_missing(robot)};
}

/* ----------------------------------------------------------------------------------------------------------- names */

/* Where 'name' differs from 'known', letters of either case being the same: 0 for not at all, or for "-vN" alone. */
static bool same_name(const char *name, const char *known)
{
    while (*name && tolower((unsigned char)*name) == tolower((unsigned char)*known)) name++, known++;
    return !*name && (!*known || (known[0] == '-' && known[1] == 'v' && !strchr(known + 1, '-')));
}

/* The same, or the same but for the name of the suite before it. */
static bool is_named(const egg_env *env, const char *name)
{
    static const char suite[] = "MiniGrid-";
    bool has_suite = !strncmp(env->name, suite, sizeof suite - 1);
    return same_name(name, env->name) || (has_suite && same_name(name, env->name + sizeof suite - 1));
}

/* How many letters of 'name', in order, are in 'known': enough to suggest by. */
static size_t letters_in_common(const char *name, const char *known)
{
    size_t common = 0;
    for (; *name && *known; known++)
        if (tolower((unsigned char)*name) == tolower((unsigned char)*known)) name++, common++;
    return common;
}

static egg_status fail_unknown(const char *name, egg_error *error)
{
    const char *best[3] = {NULL};
    size_t score[3] = {0};
    for (size_t i = 0; i < egg_env_count(); i++) {
        const char *known = egg_env_at(i).env->name;
        size_t s = 4 * letters_in_common(name, known);
        for (size_t k = 0; k < EGG_COUNT(best); k++) {
            if (s <= score[k]) continue;
            for (size_t m = EGG_COUNT(best) - 1; m > k; m--) best[m] = best[m - 1], score[m] = score[m - 1];
            best[k] = known;
            score[k] = s;
            break;
        }
    }
    return egg_fail(error, EGG_ERR_ARGUMENT,
                    "'%.60s': no environment of this name%s%s%s%s%s%s; `eggroll envs` lists all",
                    name, best[0] ? "; the nearest are " : "", best[0] ? best[0] : "", best[1] ? ", " : "",
                    best[1] ? best[1] : "", best[2] ? ", " : "", best[2] ? best[2] : "");
}

egg_status egg_env_find(const egg_env **env, const char *name, egg_error *error)
{
    *env = NULL;
    for (size_t i = 0; i < egg_env_count(); i++) {
        egg_env_entry entry = egg_env_at(i);
        if (!is_named(entry.env, name)) continue;
        if (entry.missing)
            return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s is not available: %s", entry.env->name, entry.missing);
        *env = entry.env;
        return EGG_OK;
    }
    return fail_unknown(name, error);
}

/* ---------------------------------------------------------------------------------------------------------- random */

egg_words egg_env_words(uint64_t seed)
{
    return (egg_words){.key = egg_key_make(seed, EGG_DOMAIN_EPISODE)};
}

float egg_env_uniform(egg_words *words)
{
    return (float)(egg_words_next(words) >> 8) * 0x1p-24f;
}

float egg_env_between(egg_words *words, float low, float high)
{
    return low + (high - low) * egg_env_uniform(words);
}

uint32_t egg_env_below(egg_words *words, uint32_t n)
{
    uint32_t whole = UINT32_MAX - UINT32_MAX % n;   /* words from here on would favor the small numbers */
    uint32_t word;
    do word = egg_words_next(words);
    while (word >= whole);
    return word % n;
}
