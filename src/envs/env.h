/* SPDX-License-Identifier: MIT */
/*
 * The environments there are. Each is one file that fills an egg_env (eggroll.h): a plain struct as state, no
 * allocation, no globals. Its equations are those of the Python original that it is named after, and a recorded
 * trajectory of that original is its test. What is random within an episode comes from an egg_words stream that
 * egg_env_words() opens at reset and the state keeps.
 */
#ifndef EGG_ENVS_ENV_H
#define EGG_ENVS_ENV_H

#include "base/status.h"
#include "random/noise.h"

/* Where built-in environments are listed: in env.c, in the order of `eggroll envs`. */
typedef struct egg_env_entry {
    const egg_env *env;
    const char *missing;   /* NULL: available; else why this build or machine cannot run it */
} egg_env_entry;

size_t egg_env_count(void);
egg_env_entry egg_env_at(size_t index);

/*
 * The built-in environment of this name (upper and lower case are the same; "-v1" and "MiniGrid-" may be left out).
 * Unknown: the nearest names are in the error. Listed but unavailable: EGG_ERR_UNSUPPORTED with the reason.
 */
egg_status egg_env_find(const egg_env **env, const char *name, egg_error *error);

/* The stream of random words of an episode. */
egg_words egg_env_words(uint64_t seed);

/* A number in [0, 1) with 24 random bits, in [low, high), and an integer in [0, n) without bias. */
float egg_env_uniform(egg_words *words);
float egg_env_between(egg_words *words, float low, float high);
uint32_t egg_env_below(egg_words *words, uint32_t n);

#endif
