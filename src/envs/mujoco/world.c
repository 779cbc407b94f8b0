/* SPDX-License-Identifier: MIT */
#include "envs/mujoco/world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/*
 * The most memory for contacts and scratch in a world. MuJoCo would set 14 MiB aside for an ant or a humanoid, whose
 * wildest episodes touch 84 KiB of it. Contacts that do not fit are left out of the simulation.
 */
enum { ARENA_BYTES = 1 << 20 };

/* ---------------------------------------------------------------------------------------------------------- errors */

/* Where MuJoCo's error handler, which must not return, leaves to. Errors come on the thread whose call failed. */
typedef struct rescue {
    jmp_buf to;
    char text[256];
} rescue;

static _Thread_local rescue *current;

static void on_error(const char *text)
{
    if (!current) abort();   /* of somebody else in this process, for whom MuJoCo would have ended it as well */
    snprintf(current->text, sizeof current->text, "%s", text);
    longjmp(current->to, 1);
}

static void on_warning(const char *text)
{
    (void)text;   /* counted in mjData; by default also printed, and written to a file in the working directory */
}

/* Runs work(context). False where MuJoCo reported an error, whose text is then in 'failure'. */
static bool attempt(void (*work)(void *context), void *context, rescue *failure)
{
    rescue *outer = current;
    current = failure;
    bool done = false;
    if (setjmp(failure->to) == 0) {
        work(context);
        current = outer;
        done = true;
    } else {
        current = outer;
    }
    return done;
}

/* ---------------------------------------------------------------------------------------------------- shared models */

/*
 * What worlds share. It is the exception to "no globals": egg_env gives a state no other way to find its siblings, and
 * a model of its own would cost each half a MiB and 2 to 5 ms of parsing. It is empty whenever no world is open.
 */
static struct {
    pthread_mutex_t lock;
    struct {
        mjModel *model;
        size_t worlds;
    } kind[EGG_WORLD_KINDS];
    size_t worlds;
    void (*error_before)(const char *text), (*warning_before)(const char *text);
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void handlers_install(void)
{
    if (shared.worlds) return;
    shared.error_before = mju_user_error;
    shared.warning_before = mju_user_warning;
    mju_user_error = on_error;
    mju_user_warning = on_warning;
}

static void handlers_restore(void)
{
    if (shared.worlds) return;
    mju_user_error = shared.error_before;
    mju_user_warning = shared.warning_before;
}

typedef struct load_call {
    const char *path;
    mjModel *model;
    char text[256];
} load_call;

static void call_load(void *context)
{
    load_call *call = context;
    call->model = mj_loadXML(call->path, NULL, call->text, sizeof call->text);
}

static egg_status model_check(const mjModel *m, const char *path, egg_world_shape shape, egg_error *error)
{
    const struct {
        const char *what;
        int expected, found;
    } counts[] = {{"positions", shape.positions, (int)m->nq},   {"velocities", shape.velocities, (int)m->nv},
                  {"actuators", shape.controls, (int)m->nu},    {"bodies", shape.bodies, (int)m->nbody},
                  {"sites", shape.sites, (int)m->nsite}};
    for (size_t i = 0; i < EGG_COUNT(counts); i++)
        if (counts[i].expected != counts[i].found)
            return egg_fail(error, EGG_ERR_FORMAT, "%s: not the model of this environment: expected %d %s, found %d",
                            path, counts[i].expected, counts[i].what, counts[i].found);
    return EGG_OK;
}

static egg_status model_load(mjModel **model, const char *path, egg_world_shape shape, egg_error *error)
{
    load_call call = {.path = path};
    rescue failure;
    if (!egg_path_exists(path)) return egg_fail(error, EGG_ERR_IO, "%s: model file not found", path);
    if (!attempt(call_load, &call, &failure)) memcpy(call.text, failure.text, sizeof call.text);
    for (char *c = call.text; *c; c++)
        if (*c == '\n') *c = ' ';
    if (!call.model) return egg_fail(error, EGG_ERR_FORMAT, "%s: %s", path, call.text);
    egg_status status = model_check(call.model, path, shape, error);
    if (status != EGG_OK) {
        mj_deleteModel(call.model);
        return status;
    }
    if (call.model->narena > ARENA_BYTES) call.model->narena = ARENA_BYTES;
    *model = call.model;
    return EGG_OK;
}

/* ---------------------------------------------------------------------------------------------------------- worlds */

static void call_make(void *context)
{
    egg_world *world = context;
    world->data = mj_makeData(world->model);
}

/* With the lock held. */
static egg_status open_locked(egg_world *world, const char *path, egg_world_shape shape, egg_error *error)
{
    mjModel **model = &shared.kind[world->kind].model;
    rescue failure;
    if (!*model) {
        egg_status status = model_load(model, path, shape, error);
        if (status != EGG_OK) return status;
    }
    world->model = *model;
    if (!attempt(call_make, world, &failure) || !world->data) {
        if (!shared.kind[world->kind].worlds) mj_deleteModel(*model), *model = NULL;
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its simulation", path);
    }
    shared.kind[world->kind].worlds++;
    shared.worlds++;
    return EGG_OK;
}

egg_status egg_world_open(egg_world *world, uint32_t kind, const char *path, egg_world_shape shape, egg_error *error)
{
    *world = (egg_world){.kind = kind};
    pthread_mutex_lock(&shared.lock);
    handlers_install();
    egg_status status = open_locked(world, path, shape, error);
    handlers_restore();
    pthread_mutex_unlock(&shared.lock);
    if (status != EGG_OK) *world = (egg_world){0};
    return status;
}

void egg_world_close(egg_world *world)
{
    if (!world->data) return;
    pthread_mutex_lock(&shared.lock);
    mj_deleteData(world->data);
    shared.worlds--;
    if (--shared.kind[world->kind].worlds == 0) {
        mj_deleteModel(shared.kind[world->kind].model);
        shared.kind[world->kind].model = NULL;
    }
    handlers_restore();
    pthread_mutex_unlock(&shared.lock);
    *world = (egg_world){0};
}

/* ------------------------------------------------------------------------------------------------------ simulation */

typedef struct place_call {
    egg_world *world;
    const double *positions, *velocities;
} place_call;

static void call_place(void *context)
{
    place_call *call = context;
    const mjModel *m = call->world->model;
    mjData *d = call->world->data;
    mj_resetData(m, d);
    if (call->positions) memcpy(d->qpos, call->positions, (size_t)m->nq * sizeof *d->qpos);
    if (call->velocities) memcpy(d->qvel, call->velocities, (size_t)m->nv * sizeof *d->qvel);
    mj_forward(m, d);
}

bool egg_world_place(egg_world *world, const double *positions, const double *velocities)
{
    place_call call = {world, positions, velocities};
    rescue failure;
    return attempt(call_place, &call, &failure);
}

typedef struct step_call {
    egg_world *world;
    int frames;
    bool broken;
} step_call;

/* What mj_step finds at the beginning of the next one. */
static bool is_bad(const mjtNum *values, int n)
{
    for (int i = 0; i < n; i++)
        if (mju_isBad(values[i])) return true;
    return false;
}

static void call_step(void *context)
{
    step_call *call = context;
    const mjModel *m = call->world->model;
    mjData *d = call->world->data;
    for (int i = 0; i < call->frames; i++) {
        mj_step(m, d);
        call->broken = d->warning[mjWARN_BADQPOS].number || d->warning[mjWARN_BADQVEL].number ||
                       d->warning[mjWARN_BADQACC].number;
        if (call->broken) return;
    }
    call->broken = is_bad(d->qpos, (int)m->nq) || is_bad(d->qvel, (int)m->nv);
    if (call->broken) return;
    mj_rnePostConstraint(m, d);   /* contact forces, which mj_step leaves out unless a sensor needs them */
}

bool egg_world_step(egg_world *world, const float *controls, int frames)
{
    step_call call = {.world = world, .frames = frames};
    rescue failure;
    for (int i = 0; i < (int)world->model->nu; i++) world->data->ctrl[i] = controls[i];
    return attempt(call_step, &call, &failure) && !call.broken;
}
