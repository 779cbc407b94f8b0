/* SPDX-License-Identifier: MIT */
/* What Gymnasium's v5 environments make of a simulation: initial noise, observations, rewards, ends of episodes. */
#include "envs/mujoco/robots.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "envs/env.h"
#include "envs/mujoco/world.h"

enum { FRAMES = 5, MAX_COORDINATES = 24, PATH_BYTES = 4096 };

typedef struct robot_rules {
    egg_world_shape shape;
    float noise;             /* of the positions, uniform within +-noise */
    bool normal_velocities;  /* of deviation 'noise', else uniform as well */
    void (*observe)(const mjModel *m, const mjData *d, float *out);
    double (*position)(const mjModel *m, const mjData *d);   /* whose change is progress */
    bool (*judge)(const mjModel *m, const mjData *d, double velocity, float *reward);   /* whether the episode ends */
} robot_rules;

typedef struct robot_state {
    egg_world world;
    const robot_rules *rules;
} robot_state;

/* -------------------------------------------------------------------------------------------------------- helpers */

static float *put(float *out, const mjtNum *values, int first, int end)
{
    for (int i = first; i < end; i++) *out++ = (float)values[i];
    return out;
}

static double clip(double x, double bound)
{
    return x < -bound ? -bound : x > bound ? bound : x;
}

static double square_sum(const mjtNum *values, int n, double bound)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double x = clip(values[i], bound);
        sum += x * x;
    }
    return sum;
}

static double first_coordinate(const mjModel *m, const mjData *d)
{
    (void)m;
    return d->qpos[0];
}

/* ------------------------------------------------------------------------------------------------------------- ant */

/* (27 coordinates without x and y, 6 numbers of contact force for each body but the world) */
static void ant_observe(const mjModel *m, const mjData *d, float *out)
{
    out = put(out, d->qpos, 2, (int)m->nq);
    out = put(out, d->qvel, 0, (int)m->nv);
    for (int i = 6; i < 6 * (int)m->nbody; i++) *out++ = (float)clip(d->cfrc_ext[i], 1);
}

static double torso_x(const mjModel *m, const mjData *d)
{
    (void)m;
    return d->xpos[3];   /* of body 1 */
}

static bool ant_judge(const mjModel *m, const mjData *d, double velocity, float *reward)
{
    bool healthy = d->qpos[2] >= 0.2 && d->qpos[2] <= 1.0;   /* that all is finite egg_world_step() saw to */
    double control = square_sum(d->ctrl, (int)m->nu, INFINITY);
    double contact = square_sum(d->cfrc_ext, 6 * (int)m->nbody, 1);
    *reward = (float)(velocity + healthy - 0.5 * control - 5e-4 * contact);
    return !healthy;
}

/* -------------------------------------------------------------------------------------------------------- humanoid */

/* (45 coordinates; inertia 10, velocity 6 for each body but the world; 17 torques; contact force 6 for each body) */
static void humanoid_observe(const mjModel *m, const mjData *d, float *out)
{
    out = put(out, d->qpos, 2, (int)m->nq);
    out = put(out, d->qvel, 0, (int)m->nv);
    out = put(out, d->cinert, 10, 10 * (int)m->nbody);
    out = put(out, d->cvel, 6, 6 * (int)m->nbody);
    out = put(out, d->qfrc_actuator, 6, (int)m->nv);
    put(out, d->cfrc_ext, 6, 6 * (int)m->nbody);
}

static double mass_center_x(const mjModel *m, const mjData *d)
{
    double moment = 0, mass = 0;
    for (int i = 0; i < (int)m->nbody; i++) {
        moment += m->body_mass[i] * d->xipos[3 * i];
        mass += m->body_mass[i];
    }
    return moment / mass;
}

static bool humanoid_judge(const mjModel *m, const mjData *d, double velocity, float *reward)
{
    bool healthy = d->qpos[2] > 1.0 && d->qpos[2] < 2.0;
    double control = square_sum(d->ctrl, (int)m->nu, INFINITY);
    double contact = 5e-7 * square_sum(d->cfrc_ext, 6 * (int)m->nbody, INFINITY);
    if (contact > 10) contact = 10;
    *reward = (float)(1.25 * velocity + 5.0 * healthy - 0.1 * control - contact);
    return !healthy;
}

/* ---------------------------------------------------------------------------------------------------- half cheetah */

static void half_cheetah_observe(const mjModel *m, const mjData *d, float *out)
{
    out = put(out, d->qpos, 1, (int)m->nq);
    put(out, d->qvel, 0, (int)m->nv);
}

static bool half_cheetah_judge(const mjModel *m, const mjData *d, double velocity, float *reward)
{
    *reward = (float)(velocity - 0.1 * square_sum(d->ctrl, (int)m->nu, INFINITY));
    return false;
}

/* ---------------------------------------------------------------------------------------- inverted double pendulum */

/* (position of the cart, sines and cosines of both angles, 3 velocities, the force of the rail's end on the cart) */
static void inverted_double_pendulum_observe(const mjModel *m, const mjData *d, float *out)
{
    (void)m;
    *out++ = (float)d->qpos[0];
    for (int i = 1; i < 3; i++) *out++ = (float)sin(d->qpos[i]);
    for (int i = 1; i < 3; i++) *out++ = (float)cos(d->qpos[i]);
    for (int i = 0; i < 3; i++) *out++ = (float)clip(d->qvel[i], 10);
    *out = (float)clip(d->qfrc_constraint[0], 10);
}

static bool inverted_double_pendulum_judge(const mjModel *m, const mjData *d, double velocity, float *reward)
{
    (void)m, (void)velocity;
    double x = d->site_xpos[0], height = d->site_xpos[2];   /* of the tip */
    bool fallen = height <= 1;
    double distance = 0.01 * x * x + (height - 2) * (height - 2);
    double speed = 1e-3 * d->qvel[1] * d->qvel[1] + 5e-3 * d->qvel[2] * d->qvel[2];
    *reward = (float)(10.0 * !fallen - distance - speed);
    return fallen;
}

/* Seen from the side: the cart, the joint between the poles, the tip. */
static size_t inverted_double_pendulum_render(const void *state, char *text, size_t bytes)
{
    enum { WIDTH = 59, HEIGHT = 12, POINTS = 24 };
    const double row = 0.11, column = row / 2;   /* meters; a character is half as wide as it is high */
    const mjData *d = ((const robot_state *)state)->world.data;
    const mjtNum *ends[] = {d->xpos + 3, d->xpos + 9, d->site_xpos};
    char canvas[HEIGHT + 1][WIDTH + 1];
    for (int y = 0; y <= HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) canvas[y][x] = y == HEIGHT ? '-' : ' ';
        canvas[y][WIDTH] = 0;
    }
    for (int i = 0; i <= 2 * POINTS; i++) {
        const mjtNum *from = ends[i / POINTS], *to = ends[i < 2 * POINTS ? i / POINTS + 1 : 2];
        double part = i % POINTS / (double)POINTS;
        double x = WIDTH / 2 + (from[0] + part * (to[0] - from[0])) / column;
        double y = HEIGHT - 1 - (from[2] + part * (to[2] - from[2])) / row;
        if (!(x > -0.5 && x < WIDTH - 0.5 && y > -0.5 && y < HEIGHT - 0.5)) continue;
        char *place = &canvas[lround(y)][lround(x)];
        if (i % POINTS == 0) *place = i ? 'o' : '#';
        else if (*place == ' ') *place = '|';
    }
    size_t used = 0;
    for (int y = 0; y <= HEIGHT && used < bytes; y++)
        used += (size_t)snprintf(text + used, bytes - used, "%s\n", canvas[y]);
    return used < bytes ? used : bytes ? bytes - 1 : 0;
}

/* ---------------------------------------------------------------------------------------------------- any of them */

static const robot_rules ant_rules = {{15, 14, 8, 14, 0}, 0.1f, true, ant_observe, torso_x, ant_judge};
static const robot_rules humanoid_rules = {{24, 23, 17, 14, 0}, 0.01f, false, humanoid_observe, mass_center_x,
                                           humanoid_judge};
static const robot_rules half_cheetah_rules = {{9, 9, 6, 8, 0}, 0.1f, true, half_cheetah_observe, first_coordinate,
                                               half_cheetah_judge};
static const robot_rules inverted_double_pendulum_rules = {
    {3, 3, 1, 4, 1}, 0.1f, true, inverted_double_pendulum_observe, first_coordinate, inverted_double_pendulum_judge};

/* Where the models are: in the folder that EGGROLL_MUJOCO_ASSETS names, else where the build found them. */
static const char *models_folder(void)
{
    const char *chosen = getenv("EGGROLL_MUJOCO_ASSETS");
    return chosen && *chosen ? chosen : EGG_MUJOCO_MODELS;
}

static egg_status init(robot_state *s, const robot_rules *rules, uint32_t kind, const char *file, egg_error *error)
{
    char path[PATH_BYTES];
    s->rules = rules;
    egg_status status = egg_path_join(path, sizeof path, models_folder(), file, error);
    return status == EGG_OK ? egg_world_open(&s->world, kind, path, rules->shape, error) : status;
}

static void fini(void *state)
{
    egg_world_close(&((robot_state *)state)->world);
}

static void observe(const robot_state *s, float *observation)
{
    s->rules->observe(s->world.model, s->world.data, observation);
}

void egg_robot_begin(void *state, const double *positions, const double *velocities, float *observation)
{
    robot_state *s = state;
    if (!egg_world_place(&s->world, positions, velocities)) egg_world_place(&s->world, NULL, NULL);
    observe(s, observation);
}

static double normal(egg_words *words)
{
    float pair[2];
    uint32_t first = egg_words_next(words);
    egg_normal_f32(first, egg_words_next(words), pair);
    return pair[0];
}

static void reset(void *state, uint64_t seed, float *observation)
{
    const robot_state *s = state;
    const robot_rules *rules = s->rules;
    const mjtNum *rest = s->world.model->qpos0;
    double positions[MAX_COORDINATES], velocities[MAX_COORDINATES];
    egg_words words = egg_env_words(seed);
    for (int i = 0; i < rules->shape.positions; i++)
        positions[i] = rest[i] + egg_env_between(&words, -rules->noise, rules->noise);
    for (int i = 0; i < rules->shape.velocities; i++)
        velocities[i] = rules->normal_velocities ? rules->noise * normal(&words)
                                                 : egg_env_between(&words, -rules->noise, rules->noise);
    egg_robot_begin(state, positions, velocities, observation);
}

/* A step in which the simulation breaks down is worth nothing and ends the episode; it is finite, as if at rest. */
static bool step(void *state, const float *action, float *observation, float *reward)
{
    robot_state *s = state;
    const mjModel *m = s->world.model;
    const mjData *d = s->world.data;
    double before = s->rules->position(m, d);
    bool ended = true;
    *reward = 0;
    if (egg_world_step(&s->world, action, FRAMES)) {
        double velocity = (s->rules->position(m, d) - before) / (FRAMES * m->opt.timestep);
        ended = s->rules->judge(m, d, velocity, reward);
    } else {
        egg_world_place(&s->world, NULL, NULL);
    }
    observe(s, observation);
    return ended;
}

/* -------------------------------------------------------------------------------------------------------- the table */

enum {
#define EGG_ROBOT_KIND(id, ...) KIND_##id,
    EGG_ROBOTS(EGG_ROBOT_KIND)
    KINDS
};
_Static_assert((int)KINDS == (int)EGG_WORLD_KINDS, "one kind of world a robot");

#define ant_render NULL
#define humanoid_render NULL
#define half_cheetah_render NULL
#define EGG_ROBOT_DEFINE(id, name_, file, observations_, actions_, bound, summary_)                                    \
    static egg_status id##_init(void *state, egg_error *error)                                                         \
    {                                                                                                                  \
        return init(state, &id##_rules, KIND_##id, file, error);                                                       \
    }                                                                                                                  \
    const egg_env egg_env_##id = {                                                                                     \
        .version = EGG_ENV_VERSION,                                                                                    \
        .name = name_,                                                                                                 \
        .summary = summary_,                                                                                           \
        .observations = observations_,                                                                                 \
        .actions = actions_,                                                                                           \
        .action_low = -(bound),                                                                                        \
        .action_high = bound,                                                                                          \
        .max_steps = 1000,                                                                                             \
        .state_bytes = sizeof(robot_state),                                                                            \
        .init = id##_init,                                                                                             \
        .fini = fini,                                                                                                  \
        .reset = reset,                                                                                                \
        .step = step,                                                                                                  \
        .render = id##_render,                                                                                         \
    };
EGG_ROBOTS(EGG_ROBOT_DEFINE)

#define EGG_ROBOT_FILE(id, name, file, ...)                                                                            \
    {&egg_env_##id, file, EGG_MUJOCO_MODELS "/" file ": model file not found; run scripts/get-mujoco",                 \
     file ": model file not found in the folder that EGGROLL_MUJOCO_ASSETS names"},
static const struct {
    const egg_env *env;
    const char *file, *missing, *missing_from_chosen;
} files[] = {EGG_ROBOTS(EGG_ROBOT_FILE)};

const char *egg_robot_missing(const egg_env *env)
{
    if (mj_version() != mjVERSION_HEADER)
        return "the MuJoCo library is of another version than this was built for: build again";
    const char *folder = models_folder();
    for (size_t i = 0; i < EGG_COUNT(files); i++) {
        char path[PATH_BYTES];
        if (files[i].env != env) continue;
        if (egg_path_join(path, sizeof path, folder, files[i].file, NULL) == EGG_OK && egg_path_exists(path))
            return NULL;
        return strcmp(folder, EGG_MUJOCO_MODELS) ? files[i].missing_from_chosen : files[i].missing;
    }
    return NULL;
}

const char *egg_robot_engine(void)
{
    return mj_versionString();
}
