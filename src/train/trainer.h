/* SPDX-License-Identifier: MIT */
/* A run of pretraining: trainer_open.c opens it, trainer_folder.c keeps it on disk, trainer.c runs it. */
#ifndef EGG_TRAIN_TRAINER_H
#define EGG_TRAIN_TRAINER_H

#include "es/update.h"
#include "tasks/pretrain.h"
#include "tasks/score.h"
#include "train/checkpoint.h"
#include "train/journal.h"
#include "train/metrics.h"
#include "train/ranks.h"
#include "train/run_text.h"
#include "train/schedule.h"
#include "train/watch.h"

typedef struct egg_text_list {
    char **paths;
    size_t count;
} egg_text_list;

struct egg_trainer {
    egg_options *options;
    const egg_settings *settings;    /* of 'options' */
    egg_text_list data;
    egg_run_text text;
    egg_corpus_stats corpus_stats;

    egg_ranks ranks;
    egg_kernels kernels;
    egg_pool *pool;
    egg_model *model;
    egg_pretrain *task;
    egg_update *update;
    egg_scorer *scorer;
    int32_t *difference;             /* (pairs) of the members' losses */
    int8_t *F;                       /* (pairs) */

    double own_seconds;              /* that this rank's slice took to evaluate */
    egg_schedule schedule;
    egg_progress progress;
    egg_score_result score;          /* of the last validation */
    uint64_t validations;            /* due so far by progress */
    egg_watch watch;

    bool keeps;                      /* rank 0 has a folder */
    char *folder;                    /* NULL: nothing is kept on disk, at least not by this rank */
    char *law;                       /* the options that determine the run's course, for the checkpoint */
    egg_metrics *metrics;
    egg_journal *journal;            /* NULL: none is kept */
    egg_journal_info journal_info;
    double save_due;                 /* progress.seconds at which to save again */
};

/*
 * By the rank that has a folder: makes it, or reads the checkpoint and what the journal holds behind it, and opens what
 * is written from then on. 'opened': the clock at which opening began.
 */
egg_status egg_trainer_open_folder(egg_trainer *trainer, bool resumed, double opened, egg_error *error);

/* Writes checkpoint and model, after all that must not be behind them. */
egg_status egg_trainer_write(egg_trainer *trainer, egg_error *error);

#endif
