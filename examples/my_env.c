/* SPDX-License-Identifier: MIT */
/*
 * An environment of your own: a boat that drifts on a line and shall come to rest at a buoy. Build it by hand with
 *
 *     cc -O2 -shared -fPIC my_env.c -o my_env.so $(pkg-config --cflags eggroll) -lm
 *
 * and train on it with
 *
 *     eggroll rl ./my_env.so
 */
#include <eggroll.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct boat {
    float position, velocity, buoy;
} boat;

/* Numbers in [-1, 1) that follow from the seed alone (splitmix64). */
static float draw(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)(z >> 40) / (1 << 23) - 1;
}

static void observe(const boat *b, float *observation)
{
    observation[0] = b->buoy - b->position;
    observation[1] = b->velocity;
}

static void reset(void *state, uint64_t seed, float *observation)
{
    boat *b = state;
    *b = (boat){.position = draw(&seed), .velocity = 0.2f * draw(&seed), .buoy = draw(&seed)};
    observe(b, observation);
}

/* One number of action, the thrust. A step at the buoy is worth 1, elsewhere less but never 0: it pays to stay. */
static bool step(void *state, const float *action, float *observation, float *reward)
{
    boat *b = state;
    b->velocity += 0.1f * action[0];
    b->position += 0.1f * b->velocity;
    observe(b, observation);
    *reward = expf(-fabsf(observation[0]));
    return fabsf(b->position) > 4;   /* lost at sea: the episode ends */
}

static size_t render(const void *state, char *text, size_t bytes)
{
    const boat *b = state;
    char line[42];
    memset(line, '~', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    line[(int)(20 + 4.9f * fmaxf(-4, fminf(4, b->buoy)))] = '!';
    line[(int)(20 + 4.9f * fmaxf(-4, fminf(4, b->position)))] = 'A';
    int length = snprintf(text, bytes, "%s\n", line);
    return (size_t)length < bytes ? (size_t)length : bytes - 1;
}

EGG_API const egg_env *egg_env_plugin(void);   /* the one name that the library looks for */

const egg_env *egg_env_plugin(void)
{
    static const egg_env env = {
        .version = EGG_ENV_VERSION,
        .name = "Boat",
        .summary = "come to rest at a buoy",
        .observations = 2,
        .actions = 1,
        .action_low = -1,
        .action_high = 1,
        .max_steps = 100,
        .state_bytes = sizeof(boat),
        .reset = reset,
        .step = step,
        .render = render,
    };
    return &env;
}
