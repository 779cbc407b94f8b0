/* SPDX-License-Identifier: MIT */
#include "train/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "eggroll.h"
#include "train/machine.h"
#include "train/model_file.h"
#include "train/run.h"

static const egg_replay_ops *const kinds[] = {&egg_replay_pretrain, &egg_replay_rl, &egg_replay_finetune};

/* A file of the run that must hold what replaying gives after its epoch. */
typedef struct replay_goal {
    char path[EGG_PATH_BYTES];
    uint64_t epoch;
    egg_hash hash;
    bool whole;                      /* all of the state, as in a checkpoint; else the model */
} replay_goal;

typedef struct replayer {
    char path[EGG_PATH_BYTES];       /* of the journal */
    egg_mapping file;
    egg_ledger_reader reader;
    egg_kernels kernels;
    char level[32];                  /* that the run used; "" before the first record */
    egg_options *options;
    const egg_replay_ops *ops;
    egg_replay_source source;
    egg_ledger_record run;
    egg_replay_state *state;         /* of the kind, which has more behind it */
    uint64_t epoch, hashes;
    double run_seconds;
    replay_goal goals[2];
    uint32_t goal_count;
} replayer;

/* ------------------------------------------------------------------------------------------------------------- open */

/*
 * The kernels that the records to come were computed with: of float models another level may give other bits. Updates of
 * a device have those of every level but the reference, so the strongest one of this processor stands in for it.
 */
static egg_status follow_kernels(replayer *replay, const egg_ledger_record *run, egg_error *error)
{
    uint32_t levels;
    if (!egg_journal_fact(run, "kernels", replay->level, sizeof replay->level))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: record %" PRIu64 " names no kernel level", replay->path,
                        run->number);
    if (!replay->ops->is_float) return EGG_OK;
    if (!egg_cpu_levels_up_to(replay->level, &levels)) return egg_machine_kernels(&replay->kernels, error);
    egg_kernels_init(&replay->kernels, levels);
    return EGG_OK;
}

static egg_status choose_kind(replayer *replay, egg_error *error)
{
    char command[32] = "";
    egg_journal_fact(&replay->run, "command", command, sizeof command);
    for (size_t i = 0; i < EGG_COUNT(kinds); i++)
        if (strcmp(kinds[i]->command, command) == 0) replay->ops = kinds[i];
    replay->options = replay->ops ? egg_options_new(command) : NULL;
    if (!replay->ops)
        return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s: a run of '%s', which this build cannot replay", replay->path,
                        command);
    return replay->options ? EGG_OK : egg_fail(error, EGG_ERR_NOMEM, "no memory for options");
}

static egg_status expect_record(replayer *replay, uint32_t kind, egg_ledger_record *record, egg_error *error)
{
    bool found;
    egg_status status = egg_ledger_next(&replay->reader, record, &found, error);
    if (status == EGG_OK && (!found || record->kind != kind))
        status = egg_fail(error, EGG_ERR_FORMAT,
                          "%s: does not begin with what the run was; its record %" PRIu64 " is %s",
                          replay->path, replay->reader.number - found, found ? "of another kind" : "missing");
    return status;
}

static void close_state(const replayer *replay, egg_replay_state *state)
{
    if (state) replay->ops->close(state);
    egg_free(state);
}

static egg_status new_state(const replayer *replay, egg_replay_state **state, egg_error *error)
{
    *state = egg_alloc(replay->ops->state_bytes);
    return *state ? EGG_OK : egg_fail(error, EGG_ERR_NOMEM, "no memory to replay a run");
}

/* Reads what the run was and makes the state that it began with; of fine-tuning from the model 'base', if not NULL. */
static egg_status open_replay(replayer *replay, const char *path, const char *base, uint32_t threads, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_ledger_record build, options;
    EGG_TRY(egg_path_is_directory(path) ? egg_run_path(path, EGG_RUN_JOURNAL, replay->path, error)
                                        : egg_path_join(replay->path, sizeof replay->path, "", path, error));
    EGG_TRY(egg_machine_kernels(&replay->kernels, error));
    EGG_TRY(egg_mapping_open(&replay->file, replay->path, error));
    EGG_TRY(egg_ledger_begin(&replay->reader, replay->file.data, replay->file.bytes, replay->path, error));
    EGG_TRY(expect_record(replay, EGG_JOURNAL_RUN, &replay->run, error));
    EGG_TRY(expect_record(replay, EGG_JOURNAL_BUILD, &build, error));
    EGG_TRY(expect_record(replay, EGG_JOURNAL_OPTIONS, &options, error));
    EGG_TRY(choose_kind(replay, error));
    EGG_TRY(follow_kernels(replay, &replay->run, error));
    EGG_TRY(egg_options_parse_json(replay->options, (const char *)options.data, options.bytes, replay->path, error));
    if (base) EGG_TRY(egg_options_set(replay->options, "base", base, error));
    EGG_TRY(replay->ops->check(replay->options, error));
    replay->source = (egg_replay_source){.name = replay->path, .run = &replay->run, .options = replay->options,
                                         .kernels = &replay->kernels};
    EGG_TRY(egg_pool_open(&replay->source.pool, threads, error));
    EGG_TRY(new_state(replay, &replay->state, error));
    EGG_TRY(replay->ops->open(replay->state, &replay->source, error));
out:
    return status;
}

static void close_replay(replayer *replay)
{
    close_state(replay, replay->state);
    egg_pool_close(replay->source.pool);
    egg_options_free(replay->options);
    egg_mapping_close(&replay->file);
}

/* -------------------------------------------------------------------------------------------------------------- run */

/* Of all that a run goes on from ('whole'), or of what its model file holds. */
static egg_status hash_state(const replayer *replay, const egg_replay_state *state, bool whole, egg_hash *hash,
                             egg_error *error)
{
    egg_status status = EGG_OK;
    void (*add_rest)(const void *, egg_hasher *) = whole ? replay->ops->hash_state : replay->ops->hash_model;
    egg_hash weights;
    egg_hasher *hasher = NULL;
    if (whole) weights = egg_params_state(state->params, state->param_count);
    else EGG_TRY(egg_params_hash(state->params, state->param_count, &weights, error));
    EGG_TRY(egg_hasher_open(&hasher, error));
    egg_hasher_add(hasher, &weights, sizeof weights);
    if (add_rest) add_rest(state, hasher);
    *hash = egg_hasher_value(hasher);
out:
    egg_hasher_close(hasher);
    return status;
}

static egg_status differs(const replayer *replay, const char *what, egg_error *error)
{
    bool other = replay->ops->is_float && strcmp(replay->level, replay->kernels.level) != 0;
    return egg_fail(error, EGG_ERR_FORMAT, "%s: after epoch %" PRIu64 " replaying gives another state than %s%s%s%s%s",
                    replay->path, replay->epoch, what, other ? "; the run used kernels of level " : "",
                    other ? replay->level : "", other ? ", here they are " : "", other ? replay->kernels.level : "");
}

static egg_status check_hash(replayer *replay, const egg_ledger_record *record, egg_error *error)
{
    char text[33], recorded[33] = "";
    egg_hash_text(egg_params_state(replay->state->params, replay->state->param_count), text);
    for (size_t i = 0; record->bytes == 16 && i < 16; i++)   /* two little-endian numbers */
        snprintf(recorded + 2 * i, 3, "%02x", record->data[i < 8 ? 7 - i : 23 - i]);
    if (strcmp(text, recorded) != 0) return differs(replay, "the run had", error);
    replay->hashes++;
    return EGG_OK;
}

static egg_status check_goals(replayer *replay, egg_error *error)
{
    for (uint32_t i = 0; i < replay->goal_count; i++) {
        const replay_goal *goal = &replay->goals[i];
        egg_hash hash;
        if (goal->epoch != replay->epoch) continue;
        egg_status status = hash_state(replay, replay->state, goal->whole, &hash, error);
        if (status != EGG_OK) return status;
        if (hash.high != goal->hash.high || hash.low != goal->hash.low) return differs(replay, goal->path, error);
    }
    return EGG_OK;
}

static egg_status apply_epoch(replayer *replay, const egg_ledger_record *record, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_journal_epoch epoch;
    EGG_TRY(egg_journal_epoch_read(&epoch, record, replay->path, error));
    if (epoch.epoch != replay->epoch + 1) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: record %" PRIu64 " is of epoch %" PRIu64 ", expected %" PRIu64,
                          replay->path, record->number, epoch.epoch, replay->epoch + 1);
        goto out;
    }
    EGG_TRY(replay->ops->apply(replay->state, &replay->source, &epoch, error));
    replay->epoch = epoch.epoch;
    replay->run_seconds = epoch.seconds;
    EGG_TRY(check_goals(replay, error));
out:
    return status;
}

static egg_status apply_record(replayer *replay, const egg_ledger_record *record, egg_error *error)
{
    switch (record->kind) {
    case EGG_JOURNAL_RUN: return follow_kernels(replay, record, error);
    case EGG_JOURNAL_EPOCH: return apply_epoch(replay, record, error);
    case EGG_JOURNAL_STATE: return record->epoch == replay->epoch ? check_hash(replay, record, error) : EGG_OK;
    case EGG_JOURNAL_GAP:
        return egg_fail(error, EGG_ERR_FORMAT,
                        "%s: epochs %" PRIu64 " to %" PRIu64 " were not recorded; nothing behind them can be rebuilt",
                        replay->path, replay->epoch + 1, record->epoch);
    }
    return EGG_OK;
}

/* Until epoch 'last' and the hash recorded behind it, or the end of the journal. */
static egg_status run_replay(replayer *replay, uint64_t last, egg_error *error)
{
    egg_status status = EGG_OK;
    EGG_TRY(check_goals(replay, error));
    for (;;) {
        egg_ledger_record record;
        bool found;
        EGG_TRY(egg_ledger_next(&replay->reader, &record, &found, error));
        if (!found) break;
        if (replay->epoch >= last && (record.kind == EGG_JOURNAL_EPOCH || record.kind == EGG_JOURNAL_GAP)) break;
        EGG_TRY(apply_record(replay, &record, error));
    }
out:
    return status;
}

static egg_status describe_replay(replayer *replay, double begun, egg_replayed *replayed, egg_error *error)
{
    egg_hash hash;
    egg_status status = egg_params_hash(replay->state->params, replay->state->param_count, &hash, error);
    *replayed = (egg_replayed){.epoch = replay->epoch, .hashes = replay->hashes,
                               .torn_bytes = egg_ledger_torn(&replay->reader), .seconds = egg_clock_seconds() - begun,
                               .run_seconds = replay->run_seconds};
    if (status == EGG_OK) egg_hash_text(hash, replayed->model_hash);
    return status;
}

egg_status egg_replay(const char *path, const egg_options *options, egg_replayed *replayed, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_settings *settings = egg_options_values(options);
    bool chosen = egg_options_is_set(options, "epoch");
    double begun = egg_clock_seconds();
    replayer *run = egg_alloc(sizeof *run);
    *replayed = (egg_replayed){0};
    if (!run) return egg_fail(error, EGG_ERR_NOMEM, "no memory to replay a run");
    EGG_TRY(open_replay(run, path, NULL, (uint32_t)settings->threads, error));
    EGG_TRY(run_replay(run, chosen ? settings->epoch : UINT64_MAX, error));
    if (chosen && run->epoch < settings->epoch) {
        status = egg_fail(error, EGG_ERR_ARGUMENT, "--epoch: %s ends with epoch %" PRIu64 ", found %" PRIu64, run->path,
                          run->epoch, settings->epoch);
        goto out;
    }
    EGG_TRY(describe_replay(run, begun, replayed, error));
    if (chosen) replayed->torn_bytes = 0;   /* the end was not looked at */
    if (*settings->out) EGG_TRY(run->ops->save(run->state, settings->out, error));
out:
    close_replay(run);
    egg_free(run);
    return status;
}

egg_status egg_patch_apply(const char *base, const char *journal, const char *out_path, egg_replayed *replayed,
                           egg_error *error)
{
    egg_status status = EGG_OK;
    double begun = egg_clock_seconds();
    replayer *run = egg_alloc(sizeof *run);
    *replayed = (egg_replayed){0};
    if (!run) return egg_fail(error, EGG_ERR_NOMEM, "no memory to replay a run");
    EGG_TRY(open_replay(run, journal, base, 0, error));
    EGG_TRY(run_replay(run, UINT64_MAX, error));
    EGG_TRY(describe_replay(run, begun, replayed, error));
    EGG_TRY(run->ops->save(run->state, out_path, error));
out:
    close_replay(run);
    egg_free(run);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- verify */

static egg_status add_checkpoint(replayer *replay, const char *folder, egg_error *error)
{
    egg_status status = EGG_OK;
    replay_goal *goal = &replay->goals[replay->goal_count++];
    egg_replay_state *saved = NULL;
    goal->whole = true;
    EGG_TRY(egg_run_path(folder, EGG_RUN_CHECKPOINT, goal->path, error));
    EGG_TRY(new_state(replay, &saved, error));
    EGG_TRY(replay->ops->open(saved, &replay->source, error));
    EGG_TRY(replay->ops->load(saved, goal->path, &goal->epoch, error));
    EGG_TRY(hash_state(replay, saved, true, &goal->hash, error));
out:
    close_state(replay, saved);
    return status;
}

static egg_status add_model(replayer *replay, const char *folder, egg_error *error)
{
    egg_status status = EGG_OK;
    replay_goal *goal = &replay->goals[replay->goal_count++];
    egg_safetensors *file = NULL;
    egg_replay_state *saved = NULL;
    EGG_TRY(egg_run_path(folder, EGG_RUN_MODEL, goal->path, error));
    EGG_TRY(egg_safetensors_open(&file, goal->path, error));
    const char *epoch = egg_safetensors_metadata(file, "epoch");
    if (!epoch) {
        status = egg_fail(error, EGG_ERR_FORMAT, "%s: metadata 'epoch' is missing; not a model of a run", goal->path);
        goto out;
    }
    goal->epoch = strtoull(epoch, NULL, 10);
    EGG_TRY(new_state(replay, &saved, error));
    EGG_TRY(replay->ops->open_file(saved, file, goal->path, error));
    EGG_TRY(hash_state(replay, saved, false, &goal->hash, error));
out:
    close_state(replay, saved);
    egg_safetensors_close(file);
    return status;
}

static egg_status check_reached(const replayer *replay, egg_error *error)
{
    for (uint32_t i = 0; i < replay->goal_count; i++)
        if (replay->goals[i].epoch > replay->epoch)
            return egg_fail(error, EGG_ERR_FORMAT,
                            "%s: ends with epoch %" PRIu64 ", before %s, which is of epoch %" PRIu64,
                            replay->path, replay->epoch, replay->goals[i].path, replay->goals[i].epoch);
    return EGG_OK;
}

egg_status egg_verify(const char *path, const egg_options *options, egg_replayed *replayed, egg_error *error)
{
    egg_status status = EGG_OK;
    double begun = egg_clock_seconds();
    *replayed = (egg_replayed){0};
    if (!egg_path_is_directory(path))
        return egg_fail(error, EGG_ERR_ARGUMENT, "%s: is not the folder of a run", path);
    replayer *run = egg_alloc(sizeof *run);
    if (!run) return egg_fail(error, EGG_ERR_NOMEM, "no memory to replay a run");
    EGG_TRY(open_replay(run, path, NULL, (uint32_t)egg_options_values(options)->threads, error));
    EGG_TRY(add_checkpoint(run, path, error));
    EGG_TRY(add_model(run, path, error));
    EGG_TRY(run_replay(run, UINT64_MAX, error));
    EGG_TRY(check_reached(run, error));
    EGG_TRY(describe_replay(run, begun, replayed, error));
out:
    close_replay(run);
    egg_free(run);
    return status;
}
