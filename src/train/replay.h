/* SPDX-License-Identifier: MIT */
/* Rebuilding a model from the journal of its run; what differs between the kinds of runs is a table of functions. */
#ifndef EGG_TRAIN_REPLAY_H
#define EGG_TRAIN_REPLAY_H

#include "base/threads.h"
#include "data/safetensors.h"
#include "train/journal.h"
#include "train/settings.h"

/* What a model is rebuilt from. */
typedef struct egg_replay_source {
    const char *name;                  /* of the journal, for errors */
    const egg_ledger_record *run;      /* its first record, an EGG_JOURNAL_RUN */
    const egg_options *options;        /* resolved */
    const egg_kernels *kernels;        /* may change from call to call; no weights are packed */
    egg_pool *pool;
} egg_replay_source;

/* What the state of every kind begins with. */
typedef struct egg_replay_state {
    egg_param *params;                 /* (param_count) */
    uint32_t param_count;
} egg_replay_state;

typedef struct egg_replay_ops {
    const char *command;               /* whose runs these are */
    bool is_float;                     /* another kernel level may give other bits */
    size_t state_bytes;
    egg_settings_resolve_fn *check;    /* refuses options that cannot go together; changes nothing in resolved ones */

    /*
     * Both fill a state of zeros and leave what they opened to 'close', also where they fail. It becomes that of a run
     * which has not done an epoch (weights from the seed, moments, statistics), or the model in a file and no more.
     */
    egg_status (*open)(void *state, const egg_replay_source *source, egg_error *error);
    egg_status (*open_file)(void *state, const egg_safetensors *file, const char *path, egg_error *error);
    void (*close)(void *state);

    egg_status (*apply)(void *state, const egg_replay_source *source, const egg_journal_epoch *epoch, egg_error *error);

    /* What a run goes on from, and what its model file holds, besides the parameters; NULL: nothing. */
    void (*hash_state)(const void *state, egg_hasher *hasher);
    void (*hash_model)(const void *state, egg_hasher *hasher);

    /* Replaces the state by that of a checkpoint. */
    egg_status (*load)(void *state, const char *path, uint64_t *epoch, egg_error *error);
    egg_status (*save)(void *state, const char *path, egg_error *error);
} egg_replay_ops;

extern const egg_replay_ops egg_replay_pretrain, egg_replay_rl, egg_replay_finetune;

#endif
