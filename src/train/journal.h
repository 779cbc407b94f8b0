/* SPDX-License-Identifier: MIT */
/*
 * The journal of a run: a ledger of what it was and of what its population told it, epoch by epoch. With the seed that
 * is all that its weights depend on, so any epoch can be rebuilt from it without data and without a forward pass.
 *
 * The record of an epoch is written once the epoch is done, before a save that includes it. docs/journal.md describes
 * the records and what they prove.
 */
#ifndef EGG_TRAIN_JOURNAL_H
#define EGG_TRAIN_JOURNAL_H

#include "data/ledger.h"
#include "es/param.h"
#include "train/options.h"

/* Kinds of records. */
enum {
    EGG_JOURNAL_RUN = 1,       /* "name=value" lines: command, kernels, and facts of the kind of run */
    EGG_JOURNAL_BUILD = 2,     /* JSON: the build and machine that wrote what follows */
    EGG_JOURNAL_OPTIONS = 3,   /* JSON: the resolved options */
    EGG_JOURNAL_EPOCH = 4,     /* an egg_journal_epoch */
    EGG_JOURNAL_STATE = 5,     /* 16 bytes: egg_params_state() behind the epoch */
    EGG_JOURNAL_GAP = 6        /* 8 bytes: the first of the epochs, up to the record's, that were not recorded */
};

/* ---------------------------------------------------------------------------------------------------------- epochs */

typedef enum egg_journal_form { EGG_JOURNAL_TERNARY, EGG_JOURNAL_I8, EGG_JOURNAL_F32 } egg_journal_form;

/* What an epoch did to the parameters, and how far the run was after it. */
typedef struct egg_journal_epoch {
    uint64_t epoch;            /* done with it: the first is 1 */
    uint64_t position;         /* work so far: member tokens, steps of the environment */
    double seconds;            /* of the run so far */
    double score;              /* of the last validation or evaluation */
    double rate;               /* that the update used: rate, or alpha */
    uint32_t pairs;
    egg_journal_form form;     /* of the weights as recorded; to be left to egg_journal_add */
    float unit;                /* ternary: what a digit stands for */
    const void *weights;       /* (pairs) int8 or float32 to write; as packed in the record when read */
    bool partial;              /* the parameters are not all here: no state is recorded; not in the record */
    const void *extra;         /* (extra_bytes) what else this kind of run needs to go on */
    size_t extra_bytes;
} egg_journal_epoch;

/* Bytes of such a record, at most. */
size_t egg_journal_epoch_bytes(egg_dtype dtype, uint32_t pairs, size_t extra_bytes);

/* Writes a record to 'out'; returns its bytes. Weights that are 0 or +-unit are packed five a byte. */
size_t egg_journal_epoch_write(const egg_journal_epoch *epoch, egg_dtype dtype, uint8_t *out);

/* 'weights' and 'extra' point into the record. Errors name the file of the reader. */
egg_status egg_journal_epoch_read(egg_journal_epoch *epoch, const egg_ledger_record *record, const char *name,
                                  egg_error *error);

/* The weights of a record that was read, (pairs) of the type; refuses another number of them. */
egg_status egg_journal_weights(const egg_journal_epoch *epoch, egg_dtype dtype, void *weights, uint32_t pairs,
                               const char *name, egg_error *error);

/* ---------------------------------------------------------------------------------------------------------- writing */

/* The run that a journal is of. The parameters must outlive the journal; the rest is needed until it is open. */
typedef struct egg_journal_run {
    const char *folder;
    const egg_options *options;
    const char *const *data;       /* (data_count) paths, or NULL */
    size_t data_count;
    const char *kernels;           /* level in use */
    const char *facts;             /* lines "name=value" that rebuilding needs besides the options */
    const egg_param *params;       /* (param_count) */
    uint32_t param_count;
    egg_dtype dtype;
    uint32_t pairs;
    size_t extra_bytes;            /* of an epoch */
} egg_journal_run;

typedef struct egg_journal egg_journal;

/* A new journal, of a run that has not done an epoch. */
egg_status egg_journal_begin(egg_journal **journal, const egg_journal_run *run, egg_error *error);

/* What a run that goes on finds in its journal behind its checkpoint. */
typedef struct egg_journal_tail {
    uint64_t epoch;                /* of the checkpoint, which the parameters hold; becomes the last one applied */
    bool usable;                   /* the records hold all that an epoch changed; else they are dropped */
    void *context;
    egg_status (*apply)(void *context, const egg_journal_epoch *epoch, const char *name, egg_error *error);
    uint64_t applied;              /* out: epochs that need not be evaluated again */
    uint64_t torn_bytes;           /* out: of a last record cut short, which is dropped */
} egg_journal_tail;

/*
 * Checks the journal up to the checkpoint, applies what lies behind it where that is usable, and drops what is not.
 * Where there is no journal one begins here. journal == NULL: reads only, for a rank that keeps none.
 */
egg_status egg_journal_resume(egg_journal **journal, const egg_journal_run *run, egg_journal_tail *tail,
                              egg_error *error);
void egg_journal_close(egg_journal *journal);

/*
 * Records an epoch, and the state behind it as long as hashing takes at most 1 / 200 of the time of the run. Allocates
 * nothing. A failure is kept and reported by the next save; the epochs in between become a gap. NULL journals do
 * nothing.
 */
void egg_journal_add(egg_journal *journal, const egg_journal_epoch *epoch);

/* Before a checkpoint of epoch 'epoch' is written: records its state and makes the journal outlive the machine. */
egg_status egg_journal_save(egg_journal *journal, uint64_t epoch, egg_error *error);

/* The value of a line "name=value" in a record EGG_JOURNAL_RUN; false: it is not there, or does not fit. */
bool egg_journal_fact(const egg_ledger_record *run, const char *name, char *value, size_t size);

#endif
