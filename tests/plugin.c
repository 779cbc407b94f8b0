/* SPDX-License-Identifier: MIT */
/* A plug-in for test_plugin: good, or wrong as the variable EGG_TEST_PLUGIN says. With NO_SYMBOL it is none. */
#include <eggroll.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef NO_SYMBOL

typedef struct counter {
    uint64_t seed;
    int steps;
} counter;

static const char *wrong;

static bool is(const char *name)
{
    return wrong && strcmp(wrong, name) == 0;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    *(counter *)state = (counter){.seed = seed};
    observation[0] = observation[1] = 0;
}

/* Pays 1 for action 1, whatever is seen. */
static bool step(void *state, const float *action, float *observation, float *reward)
{
    counter *c = state;
    c->steps++;
    observation[0] = (float)c->steps / 16;
    observation[1] = 1;
    *reward = action[0];
    if (is("nan-reward") && c->seed % 4 == 0) *reward = NAN;
    if (is("nan-always")) *reward = NAN;
    if (is("nan-observation") && c->seed % 4 == 0) observation[1] = NAN;
    return !is("endless") && c->steps >= 16;
}

EGG_API const egg_env *egg_env_plugin(void);

const egg_env *egg_env_plugin(void)
{
    static egg_env env;
    wrong = getenv("EGG_TEST_PLUGIN");
    env = (egg_env){.version = EGG_ENV_VERSION, .name = "Counter", .summary = "", .observations = 2, .actions = 2,
                    .discrete = true, .max_steps = 50, .state_bytes = sizeof(counter), .reset = reset, .step = step};
    if (is("null")) return NULL;
    if (is("version")) env.version = 99;
    if (is("name")) env.name = NULL;
    if (is("empty-name")) env.name = "";
    if (is("summary")) env.summary = NULL;
    if (is("observations")) env.observations = 0;
    if (is("many-observations")) env.observations = 1u << 30;
    if (is("actions")) env.actions = 0;
    if (is("bounds")) env.discrete = false;   /* low and high are both 0 */
    if (is("infinite-bounds")) env.discrete = false, env.action_low = -INFINITY, env.action_high = INFINITY;
    if (is("max-steps")) env.max_steps = 0;
    if (is("state-bytes")) env.state_bytes = (size_t)1 << 40;
    if (is("reset")) env.reset = NULL;
    if (is("step")) env.step = NULL;
    return &env;
}

#else
int not_a_plugin;
#endif
