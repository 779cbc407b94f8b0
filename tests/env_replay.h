/* SPDX-License-Identifier: MIT */
/*
 * Replays what an original environment did, as tests/gen/env_recording.py wrote it to fixtures/envs/NAME.txt, in ours.
 * For cmocka tests: what differs fails with file and line.
 */
#ifndef EGG_TESTS_ENV_REPLAY_H
#define EGG_TESTS_ENV_REPLAY_H

#include "envs/env.h"

enum { REPLAY_STATE_MAX = 256, REPLAY_OBSERVATION_MAX = 1024 };

typedef struct replay_env {
    const egg_env *env;
    size_t state_numbers;
    void (*set)(void *state, const double *numbers);
    void (*get)(const void *state, double *numbers);

    /* Where a step draws random numbers: gives the state the stream of 'seed'. NULL: nothing is random. */
    void (*reseed)(void *state, uint64_t seed);

    /* The i-th independent sample of what a histogram of the recording counts. */
    double (*draw)(const char *what, uint32_t i);

    /* How far a number of the state may be off after one step; 0: whole numbers and floats, equal in every bit. */
    double tolerance;

    /* Whether a float observed or rewarded may be the one next to the original's; else it is equal in every bit. */
    bool neighbors;
} replay_env;

/*
 * Takes each recorded step from the recorded state before it and compares state, observation, reward and termination. A
 * step that draws is repeated with one stream after another until one draws as the original did; the reward has to be
 * right with any.
 */
void replay_steps(const replay_env *replay);

/* Takes the first 'steps' steps of each episode without looking back; observations may be off by 'tolerance'. */
void replay_episodes(const replay_env *replay, uint32_t steps, double tolerance);

/*
 * Compares every histogram of the recording with as many samples of ours: the chi-square test of homogeneity, at a
 * level of 1e-4. Seeds are fixed, so that a test that passes passes always.
 */
void replay_histograms(const replay_env *replay);

#endif
