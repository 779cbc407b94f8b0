/* SPDX-License-Identifier: MIT */
#include "env_replay.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_BYTES = 1 << 16, HISTOGRAM_MAX = 256, STREAMS_MAX = 20000 };

/* ------------------------------------------------------------------------------------------------------- recordings */

typedef struct record {
    char kind;   /* 'R', 'S' or 'H' as in env_recording.py */
    float action[32];
    double reward;
    bool done;
    double before[REPLAY_STATE_MAX], state[REPLAY_STATE_MAX];
    double observation[REPLAY_OBSERVATION_MAX];
    char what[32];   /* of a histogram */
    double low, high;
    uint32_t bins, counts[HISTOGRAM_MAX];
} record;

typedef struct reader {
    FILE *file;
    char path[512];
    int line;
    char text[LINE_BYTES];
    record record;
} reader;

static reader *reader_open(const egg_env *env)
{
    reader *r = calloc(1, sizeof *r);
    assert_non_null(r);
    snprintf(r->path, sizeof r->path, EGG_TEST_SOURCE_DIR "/fixtures/envs/%s.txt", env->name);
    r->file = fopen(r->path, "r");
    if (!r->file) fail_msg("cannot open %s", r->path);
    return r;
}

static void reader_close(reader *r)
{
    fclose(r->file);
    free(r);
}

static void read_change(reader *r, const char *token, double *numbers, size_t max)
{
    char *rest;
    unsigned long index = strtoul(token, &rest, 10);
    if (*rest != '=' || index >= max) fail_msg("%s:%d: %s", r->path, r->line, token);
    numbers[index] = strtod(rest + 1, NULL);
}

static void read_step(reader *r)
{
    record *to = &r->record;
    char part = 0;
    uint32_t actions = 0;
    memcpy(to->before, to->state, sizeof to->before);
    for (const char *token; (token = strtok(NULL, " \n"));) {
        if (strchr("ardso", *token))
            part = *token;
        else if (part == 'a' && actions < EGG_COUNT(to->action))
            to->action[actions++] = strtof(token, NULL);
        else if (part == 'r')
            to->reward = strtod(token, NULL);
        else if (part == 'd')
            to->done = *token == '1';
        else if (part == 's')
            read_change(r, token, to->state, REPLAY_STATE_MAX);
        else
            read_change(r, token, to->observation, REPLAY_OBSERVATION_MAX);
    }
}

static void read_histogram(record *to)
{
    snprintf(to->what, sizeof to->what, "%s", strtok(NULL, " \n"));
    to->low = strtod(strtok(NULL, " \n"), NULL);
    to->high = strtod(strtok(NULL, " \n"), NULL);
    to->bins = 0;
    for (const char *token; (token = strtok(NULL, " \n")) && to->bins < HISTOGRAM_MAX;)
        to->counts[to->bins++] = (uint32_t)strtoul(token, NULL, 10);
}

/* The next record; NULL at the end. */
static const record *reader_next(reader *r)
{
    do {
        r->line++;
        if (!fgets(r->text, sizeof r->text, r->file)) return NULL;
        if (!strchr(r->text, '\n')) fail_msg("%s:%d: a line that is too long", r->path, r->line);
    } while (*r->text == '#');
    r->record.kind = *strtok(r->text, " \n");
    if (r->record.kind == 'R') {
        memset(r->record.state, 0, sizeof r->record.state);
        memset(r->record.observation, 0, sizeof r->record.observation);
    }
    if (r->record.kind == 'H')
        read_histogram(&r->record);
    else
        read_step(r);
    return &r->record;
}

/* ------------------------------------------------------------------------------------------------------ comparisons */

static void *new_state(const egg_env *env)
{
    void *state = aligned_alloc(64, (env->state_bytes + 63) / 64 * 64);
    assert_non_null(state);
    return memset(state, 0, env->state_bytes);
}

static bool same_float(const replay_env *replay, float ours, double original)
{
    float to = (float)original;
    if (ours == to) return true;
    return replay->neighbors && ours >= nextafterf(to, -INFINITY) && ours <= nextafterf(to, INFINITY);
}

/* The number of the state that differs, or -1. */
static int state_difference(const replay_env *replay, const void *state, const double *original)
{
    double ours[REPLAY_STATE_MAX];
    replay->get(state, ours);
    for (size_t i = 0; i < replay->state_numbers; i++) {
        bool same = replay->tolerance > 0 ? fabs(ours[i] - original[i]) <= replay->tolerance
                                          : (float)ours[i] == (float)original[i];
        if (!same) return (int)i;
    }
    return -1;
}

static void replay_step(const replay_env *replay, const reader *r, void *state)
{
    const record *original = &r->record;
    float observation[REPLAY_OBSERVATION_MAX], reward = NAN;
    bool done = false;
    int difference = 0;
    for (uint32_t seed = 0; difference >= 0 && seed < (replay->reseed ? STREAMS_MAX : 1); seed++) {
        replay->set(state, original->before);
        if (replay->reseed) replay->reseed(state, seed);
        done = replay->env->step(state, original->action, observation, &reward);
        if (!same_float(replay, reward, original->reward))
            fail_msg("%s:%d: reward %.9g, not %.9g", r->path, r->line, (double)reward, original->reward);
        difference = state_difference(replay, state, original->state);
    }
    if (difference >= 0) fail_msg("%s:%d: number %d of the state differs", r->path, r->line, difference);
    if (done != original->done) fail_msg("%s:%d: done is %d, not %d", r->path, r->line, done, original->done);
    for (uint32_t i = 0; i < replay->env->observations; i++)
        if (!same_float(replay, observation[i], original->observation[i]))
            fail_msg("%s:%d: observation %u is %.9g, not %.9g", r->path, r->line, i, (double)observation[i],
                     original->observation[i]);
}

void replay_steps(const replay_env *replay)
{
    assert_true(replay->env->observations <= REPLAY_OBSERVATION_MAX && replay->state_numbers <= REPLAY_STATE_MAX);
    void *state = new_state(replay->env);
    reader *r = reader_open(replay->env);
    int steps = 0, ends = 0;
    while (reader_next(r)) {
        if (r->record.kind != 'S') continue;
        replay_step(replay, r, state);
        steps++;
        ends += r->record.done;
    }
    assert_true(steps > 100);
    print_message("%s: %d steps as recorded, %d of them the last\n", replay->env->name, steps, ends);
    reader_close(r);
    free(state);
}

void replay_episodes(const replay_env *replay, uint32_t steps, double tolerance)
{
    void *state = new_state(replay->env);
    reader *r = reader_open(replay->env);
    uint32_t step = 0;
    double worst = 0;
    for (const record *original; (original = reader_next(r));) {
        float observation[REPLAY_OBSERVATION_MAX], reward;
        if (original->kind == 'R') {
            replay->set(state, original->state);
            step = 0;
        }
        if (original->kind != 'S' || step++ >= steps) continue;
        bool done = replay->env->step(state, original->action, observation, &reward);
        assert_int_equal(done, original->done);
        worst = fmax(worst, fabs((double)reward - original->reward));
        for (uint32_t i = 0; i < replay->env->observations; i++)
            worst = fmax(worst, fabs((double)observation[i] - original->observation[i]));
        if (!(worst <= tolerance)) fail_msg("%s:%d: off by %.3g", r->path, r->line, worst);
    }
    print_message("%s: at most %.3g off after %u steps\n", replay->env->name, worst, steps);
    reader_close(r);
    free(state);
}

/* ------------------------------------------------------------------------------------------------------ histograms */

/* What chi-square exceeds with a probability of 1e-4, by Wilson and Hilferty's cube. */
static double critical_value(uint32_t freedom)
{
    double f = 2.0 / (9.0 * freedom), z = 3.719;
    double cube = 1 - f + z * sqrt(f);
    return freedom * cube * cube * cube;
}

static void compare_histogram(const replay_env *replay, const reader *r)
{
    const record *original = &r->record;
    uint32_t ours[HISTOGRAM_MAX] = {0}, samples = 0, used = 0;
    double chi_square = 0;
    for (uint32_t i = 0; i < original->bins; i++) samples += original->counts[i];
    for (uint32_t i = 0; i < samples; i++) {
        double value = replay->draw(original->what, i);
        double place = floor((value - original->low) / (original->high - original->low) * original->bins);
        if (!(place >= 0 && place < original->bins)) fail_msg("%s:%d: %g is outside", r->path, r->line, value);
        ours[(uint32_t)place]++;
    }
    for (uint32_t i = 0; i < original->bins; i++) {
        double sum = (double)ours[i] + original->counts[i], difference = (double)ours[i] - original->counts[i];
        if (sum == 0) continue;
        chi_square += difference * difference / sum;
        used++;
    }
    assert_true(used >= 2);
    double limit = critical_value(used - 1);
    print_message("%s, %s: chi-square %.1f with %u degrees of freedom, at most %.1f\n", replay->env->name,
                  original->what, chi_square, used - 1, limit);
    assert_true(chi_square <= limit);
}

void replay_histograms(const replay_env *replay)
{
    reader *r = reader_open(replay->env);
    int compared = 0;
    while (reader_next(r)) {
        if (r->record.kind != 'H') continue;
        compare_histogram(replay, r);
        compared++;
    }
    assert_true(compared > 0);
    reader_close(r);
}
