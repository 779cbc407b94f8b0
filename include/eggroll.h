/* SPDX-License-Identifier: MIT */
/*
 * eggroll: trains neural networks without back-propagation, by evolution strategies with low-rank perturbations
 * (EGGROLL, arXiv:2511.16652).
 *
 * The whole of a training run:
 *
 *     egg_options *options = egg_options_new("pretrain");
 *     egg_options_set(options, "minutes", "1", &error);
 *     egg_trainer_open(&trainer, options, data, 1, &error);
 *     while (!egg_trainer_finished(trainer)) egg_trainer_epoch(trainer, &stats, &error);
 *     egg_trainer_save(trainer, &error);
 *     egg_trainer_close(trainer);
 *
 * Conventions. Functions that can fail return an egg_status and describe the failure in 'error', which may be NULL.
 * Handles come from *_open or *_new and go with *_close or *_free, which accept NULL. Strings are UTF-8. Nothing here
 * prints, exits or installs a signal handler. One handle must not be used by two threads at once; different handles
 * may.
 */
#ifndef EGGROLL_H
#define EGGROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EGG_API __attribute__((visibility("default")))
#else
#define EGG_API
#endif

/* The build reads these. */
#define EGG_VERSION_MAJOR 0
#define EGG_VERSION_MINOR 1
#define EGG_VERSION_PATCH 0

/* ------------------------------------------------------------------------------------------------------ failures */

typedef enum egg_status {
    EGG_OK = 0,
    EGG_ERR_ARGUMENT = -1,      /* the caller asked for something that cannot be: a usage error */
    EGG_ERR_NOMEM = -2,
    EGG_ERR_IO = -3,
    EGG_ERR_FORMAT = -4,        /* a file is not what it should be */
    EGG_ERR_UNSUPPORTED = -5,   /* valid, but this build or machine cannot do it */
    EGG_ERR_DEVICE = -6,
    EGG_ERR_COMM = -7
} egg_status;

typedef struct egg_error {
    egg_status status;
    char text[512];             /* one sentence: which file, field or option, what was expected, what was found */
    size_t offset;              /* byte or line the text speaks of, where there is one */
} egg_error;

EGG_API const char *egg_status_name(egg_status status);

/* ------------------------------------------------------------------------------------------------------- options */

/*
 * The settings of one command ("pretrain", "rl", "eval", "generate", "bench"), or of a "strategy" of your own (see
 * egg_ask), each with a range and a default. Names are those of the command line without the leading dashes, for
 * example "seq-len".
 */
typedef struct egg_options egg_options;

typedef enum egg_option_type {
    EGG_OPTION_BOOL,            /* "true" or "false" */
    EGG_OPTION_INTEGER,         /* with an optional suffix k, M or G (powers of 1000) or Ki, Mi, Gi (powers of 1024) */
    EGG_OPTION_NUMBER,
    EGG_OPTION_CHOICE,          /* one of the words in 'choices' */
    EGG_OPTION_TEXT
} egg_option_type;

typedef struct egg_option_info {
    const char *name;
    egg_option_type type;
    const char *default_text;   /* as a user would write it; "" for none */
    double low, high;           /* inclusive; for integers and numbers */
    const char *choices;        /* "a|b|c" for a choice, else NULL */
    const char *argument;       /* what help shows after the name: "N", "PATH", ...; NULL for booleans */
    const char *group;          /* heading in the help text */
    const char *help;
} egg_option_info;

EGG_API egg_options *egg_options_new(const char *command);   /* NULL: unknown command or no memory */
EGG_API void egg_options_free(egg_options *options);

/* An unknown name is answered with the nearest known one; a value out of range with the range. */
EGG_API egg_status egg_options_set(egg_options *options, const char *name, const char *value, egg_error *error);

/* Reads a JSON object {"name": value, ...}; errors carry the line. Unknown keys are refused, "data" is left alone. */
EGG_API egg_status egg_options_load(egg_options *options, const char *path, egg_error *error);

/* The value as text, valid until the next call on 'options'; NULL for an unknown name. */
EGG_API const char *egg_options_get(egg_options *options, const char *name);
EGG_API bool egg_options_is_set(const egg_options *options, const char *name);   /* set or loaded, not defaulted */

EGG_API size_t egg_options_count(const egg_options *options);
EGG_API egg_option_info egg_options_describe(const egg_options *options, size_t index);

/* ------------------------------------------------------------------------------------------------------ training */

typedef struct egg_trainer egg_trainer;

typedef struct egg_epoch_stats {
    uint64_t epoch;                /* epochs done, this one included */
    uint64_t member_tokens;        /* done so far: population x tokens a member read, over all epochs */
    uint64_t text_bytes;           /* bytes of text read so far, each shared segment counted once */
    double progress;               /* share of the budget that is used, 0...1 */
    double seconds;                /* of training so far, resumed runs added up */
    double train_bits_per_byte;    /* mean over all members of this epoch's segments, perturbed weights */
    double tied_pairs;             /* share of antithetic pairs with equal fitness */
    double weights_moved;          /* share of the int8 weights that this epoch changed */
    double weights_saturated;      /* share of the int8 weights at +-127, as of the last validation */
    double activations_saturated;  /* share of the residual stream at +-127, as of the last validation */
    double rate;                   /* learning rate ('fractional') or alpha ('vote') of this epoch */
    double evaluate_seconds, update_seconds, validate_seconds;   /* of this epoch */
    double valid_bits_per_byte;    /* of the last validation; NaN before the first */
    bool stopped;                  /* someone wanted an end: egg_trainer_finished() is true */
    bool validated;                /* a validation followed this epoch */
    bool saved;                    /* a save followed this epoch */
} egg_epoch_stats;

/*
 * egg_trainer_open() starts a new run on the text in 'data' (files, directories, .jsonl, .gz, .zst, "-" for standard
 * input), or, where option "resume" names a run folder, goes on with that one; then 'data' may be empty and is taken
 * from the run's own configuration. A run without option "out" keeps nothing on disk.
 */
EGG_API egg_status egg_trainer_open(egg_trainer **trainer, const egg_options *options, const char *const *data,
                                    size_t data_count, egg_error *error);
EGG_API void egg_trainer_close(egg_trainer *trainer);

/*
 * One epoch: evaluates every member of the population, updates the parameters in place, validates and saves where the
 * options say so, fills 'stats' if it is not NULL. If saving fails the epoch stands and the previous save is intact.
 */
EGG_API egg_status egg_trainer_epoch(egg_trainer *trainer, egg_epoch_stats *stats, egg_error *error);
EGG_API bool egg_trainer_finished(const egg_trainer *trainer);   /* the budget (epochs, tokens or minutes) is used */

/*
 * 'stop' is asked at the end of every epoch; where it is true, on any rank, the run is finished, on all. NULL: nobody
 * is.
 */
typedef bool egg_stop_fn(void *context);
EGG_API void egg_trainer_stop_when(egg_trainer *trainer, egg_stop_fn *stop, void *context);
EGG_API egg_status egg_trainer_save(egg_trainer *trainer, egg_error *error);

/* Scores the unperturbed weights on the validation text; 'bits_per_byte' may be NULL. */
EGG_API egg_status egg_trainer_validate(egg_trainer *trainer, double *bits_per_byte, egg_error *error);

/* Facts about the text of a run, for judging its score. Entropies are of the validation bytes themselves. */
typedef struct egg_corpus_stats {
    uint64_t train_bytes, valid_bytes, documents;
    double unigram_bits, bigram_bits;       /* bits per byte of the validation bytes */
} egg_corpus_stats;

EGG_API egg_corpus_stats egg_trainer_corpus(const egg_trainer *trainer);

/* The resolved value of an option of this run, as text; NULL for an unknown name. Valid until the next call. */
EGG_API const char *egg_trainer_option(egg_trainer *trainer, const char *name);

/* What a resumed run found in its journal. */
typedef struct egg_journal_info {
    uint64_t replayed_epochs;      /* behind the checkpoint, taken from the journal instead of being evaluated again */
    uint64_t torn_bytes;           /* of a last record cut short by a crash, which was dropped */
} egg_journal_info;

EGG_API egg_journal_info egg_trainer_journal(const egg_trainer *trainer);

/* What a run would hold in memory, item by item; computed without opening it. */
typedef struct egg_plan_item {
    const char *name;
    uint64_t bytes;
    bool on_device;                /* in the memory of option "device", not in the process's */
} egg_plan_item;

typedef struct egg_plan {
    egg_plan_item items[16];
    uint32_t count;
    uint64_t total_bytes;          /* peak resident memory of the process */
    uint64_t available_bytes;      /* that the machine has to give */
    uint64_t device_bytes, device_available_bytes;   /* the same of the device; 0 without one */
    uint64_t parameters;
    uint64_t epochs;               /* of the budget; 0 where the clock bounds the run */
} egg_plan;

/* EGG_ERR_NOMEM, with the plan filled in, where the run cannot fit. */
EGG_API egg_status egg_trainer_plan(egg_plan *plan, const egg_options *options, const char *const *data,
                                    size_t data_count, egg_error *error);

/* --------------------------------------------------------------------------------------------------------- models */

typedef struct egg_model egg_model;

/*
 * 'path': a .safetensors file, a run folder, or an index of several files, model.safetensors.index.json, or its folder.
 * A model of ours or a published RWKV-7, which the names of its tensors tell.
 */
EGG_API egg_status egg_model_open(egg_model **model, const char *path, egg_error *error);

/*
 * With options of "eval" or "generate": 'device' says what the model then works on, 'weights' how those of an RWKV-7 are
 * held in memory. Of a GPU, which a process has one of, all that use it must name the same.
 */
EGG_API egg_status egg_model_open_with(egg_model **model, const char *path, const egg_options *options,
                                       egg_error *error);
EGG_API void egg_model_close(egg_model *model);

typedef struct egg_score {
    double bits_per_byte;
    uint64_t bytes;                /* scored: all but the first of each document */
    uint64_t documents;
    double seconds;
} egg_score;

/*
 * Scores every document of 'data' from a zero state; the first byte of each (of RWKV-7: the first token) is read but
 * not scored. Options: "eval".
 */
EGG_API egg_status egg_model_score(egg_model *model, const egg_options *options, const char *const *data,
                                   size_t data_count, egg_score *score, egg_error *error);

/* Receives text as it is generated; 'stream' counts from 0. Return false to stop. */
typedef bool egg_text_fn(void *context, uint32_t stream, const char *text, size_t bytes);

/*
 * Continues option "prompt" for option "bytes" bytes in each of "streams" streams; an RWKV-7 may end a text earlier, at
 * one of option "stop" or with the token that ends documents. Options: "generate".
 */
EGG_API egg_status egg_model_generate(egg_model *model, const egg_options *options, egg_text_fn *write, void *context,
                                      egg_error *error);

/*
 * A JSON text that describes the model or run at 'path': architecture, parameters, history, hashes. egg_text_free() it.
 */
EGG_API egg_status egg_describe(const char *path, char **json, egg_error *error);
EGG_API void egg_text_free(char *text);

/* ---------------------------------------------------------------------------------------------------- environments */

enum { EGG_ENV_VERSION = 1 };

/*
 * An environment of reinforcement learning. Those that are built in have this form, and so has one that a user brings
 * as a shared library, which exports one function:
 *
 *     const egg_env *egg_env_plugin(void);
 *
 * An episode lives in 'state', state_bytes of zeroed memory aligned to 64 bytes that the library allocates. Many
 * episodes run at once in different states and threads, so nothing may be shared but constants. 'observation' holds
 * 'observations' floats, 'action' one float for discrete environments, a whole number from 0 to actions - 1, else
 * 'actions' floats, which are within [action_low, action_high].
 */
typedef struct egg_env {
    uint32_t version;            /* EGG_ENV_VERSION */
    const char *name, *summary;  /* "CartPole-v1"; one line */
    uint32_t observations;
    uint32_t actions;            /* discrete: how many there are; else how many numbers one has */
    bool discrete;
    float action_low, action_high;
    uint32_t mask_at;            /* discrete: 0, or 1 + the index in the observation of 'actions' numbers, 1 for an action
                                    that is legal now and 0 for one that is not; policies then keep to legal ones */
    uint32_t max_steps;          /* at least 1; the library ends an episode after that many */
    size_t state_bytes;

    /* Prepares a zeroed state for any number of episodes, or NULL. May allocate what 'fini' frees. */
    egg_status (*init)(void *state, egg_error *error);
    void (*fini)(void *state);

    /* Begins an episode: everything random in it follows from 'seed'. */
    void (*reset)(void *state, uint64_t seed, float *observation);

    /* One step; returns whether the episode ended here (termination, not the bound on steps). */
    bool (*step)(void *state, const float *action, float *observation, float *reward);

    /* Draws the state as lines of UTF-8 text, at most 'bytes' with the final 0; returns its length. May be NULL. */
    size_t (*render)(const void *state, char *text, size_t bytes);
} egg_env;

/* A JSON text: all built-in environments, their spaces, and why one is not available. egg_text_free() it. */
EGG_API egg_status egg_envs_describe(char **json, egg_error *error);

/* ------------------------------------------------------------------------------------------- reinforcement learning */

typedef struct egg_rl egg_rl;

typedef struct egg_rl_stats {
    uint64_t epoch;                /* epochs done, this one included */
    uint64_t env_steps, episodes;  /* of all members, so far */
    double progress;               /* share of the budget that is used, 0...1 */
    double seconds;                /* of training so far, resumed runs added up */
    double return_mean, return_best, return_worst, return_deviation;   /* of the members of this epoch */
    double tied_pairs;             /* share of pairs whose members did equally well */
    uint64_t cut, invalid;         /* episodes of this epoch that the bound on steps ended, that were not finite */
    double sigma, rate;            /* of this epoch */
    double gradient_norm;          /* before clipping */
    double evaluate_seconds, update_seconds, eval_seconds;   /* of this epoch */
    double eval_return, eval_deviation;   /* of the unperturbed policy, last evaluation; NaN before the first */
    bool stopped;                  /* someone wanted an end: egg_rl_finished() is true */
    bool evaluated;                /* an evaluation of the unperturbed policy followed this epoch */
    bool saved;                    /* a save followed this epoch */
} egg_rl_stats;

/*
 * A new run on option "env", or, where option "resume" names a run folder, the one in there. Options: "rl". A run
 * without option "out" keeps nothing on disk. The rest is as with egg_trainer_*.
 */
EGG_API egg_status egg_rl_open(egg_rl **rl, const egg_options *options, egg_error *error);
EGG_API void egg_rl_close(egg_rl *rl);
EGG_API egg_status egg_rl_epoch(egg_rl *rl, egg_rl_stats *stats, egg_error *error);
EGG_API bool egg_rl_finished(const egg_rl *rl);
EGG_API void egg_rl_stop_when(egg_rl *rl, egg_stop_fn *stop, void *context);
EGG_API egg_status egg_rl_save(egg_rl *rl, egg_error *error);
EGG_API uint64_t egg_rl_parameters(const egg_rl *rl);
EGG_API egg_journal_info egg_rl_journal(const egg_rl *rl);
EGG_API egg_status egg_rl_plan(egg_plan *plan, const egg_options *options, egg_error *error);   /* as egg_trainer_plan */
EGG_API const char *egg_rl_option(egg_rl *rl, const char *name);   /* as egg_trainer_option */

/* Whether the file or run folder at 'path' holds a policy; false too where it cannot be read. */
EGG_API bool egg_policy_is(const char *path);

typedef struct egg_policy egg_policy;

/* 'path': a .safetensors file or a run folder. Opens the policy's environment too. */
EGG_API egg_status egg_policy_open(egg_policy **policy, const char *path, egg_error *error);

/* With options of "eval", whose 'device' says what the policy then works on. */
EGG_API egg_status egg_policy_open_with(egg_policy **policy, const char *path, const egg_options *options,
                                        egg_error *error);
EGG_API void egg_policy_close(egg_policy *policy);

typedef struct egg_returns {
    double mean, deviation, best, worst;
    uint64_t episodes, env_steps;
    double seconds;
} egg_returns;

/* Plays episodes on fresh seeds. Options: "eval" (episodes, seed, threads). */
EGG_API egg_status egg_policy_evaluate(egg_policy *policy, const egg_options *options, egg_returns *returns,
                                       egg_error *error);

/* A frame of an episode: the state drawn as text, NULL where the environment cannot. Return false to stop. */
typedef bool egg_frame_fn(void *context, const char *text, uint32_t steps, double total, bool ended);

/* Plays one episode and shows every state. */
EGG_API egg_status egg_policy_play(egg_policy *policy, uint64_t seed, egg_frame_fn *show, void *context,
                                   egg_error *error);

/*
 * Writes the policy as one header for C99 and C++ that depends on nothing but math.h: its weights, as literals that
 * read back as the same numbers, and a function that normalizes an observation and takes the likeliest action,
 *
 *     int NAME_act(const float *observation)                      discrete actions
 *     void NAME_act(const float *observation, float *action)      else: the mean, within the environment's bounds
 */
EGG_API egg_status egg_policy_export(const egg_policy *policy, const char *name, const char *path, egg_error *error);

/* --------------------------------------------------------------------------------------------------- ask and tell */

/*
 * Evolution of parameters whose fitness you evaluate, however you like. Fitness is maximized.
 *
 *     egg_options *options = egg_options_new("strategy");     population, rank, sigma, rate, optimizer, ...
 *     egg_strategy_open(&strategy, options, params, count, &error);
 *     for (...) {
 *         for (uint32_t m = 0; m < population; m++) {
 *             for (uint32_t i = 0; i < count; i++) egg_ask(strategy, m, i, W[i], &error);
 *             fitness[m] = ...;
 *         }
 *         egg_tell(strategy, fitness, population, &stats, &error);
 *     }
 *     egg_strategy_read(strategy, 0, W[0], &error);            the mean of the search: the result
 *
 * Asking draws noise from its address and changes nothing, so that several threads may ask one strategy at a time (but
 * not while one tells, sets or loads), any member may be asked any number of times, and one whose noise is not needed
 * not at all. The same options and fitness give the same bits, whatever "threads" is.
 */
typedef struct egg_strategy egg_strategy;

typedef enum egg_strategy_kind {
    EGG_STRATEGY_MATRIX,           /* low-rank perturbations; full-rank ones with option "algorithm" at "openes" */
    EGG_STRATEGY_VECTOR,           /* every number has normal noise of its own */
    EGG_STRATEGY_FROZEN            /* kept, saved and handed out, but neither perturbed nor moved */
} egg_strategy_kind;

typedef struct egg_strategy_param {
    const char *name;              /* 1 to 47 bytes, unlike those of the others */
    egg_strategy_kind kind;
    uint32_t rows, columns;        /* of a vector: 1 and its length */
    const float *initial;          /* (rows, columns), row behind row; is copied. NULL: zeros */
} egg_strategy_param;

/* Options: "strategy". Parameters are known by their place in 'params' (count) from here on. */
EGG_API egg_status egg_strategy_open(egg_strategy **strategy, const egg_options *options,
                                     const egg_strategy_param *params, size_t count, egg_error *error);
EGG_API void egg_strategy_close(egg_strategy *strategy);

/*
 * W (rows, columns), row behind row: parameter 'param' as member 'member' of the population sees it in this epoch,
 *
 *     W + s sigma / sqrt(rank) A B^T          s: +1 for even members, -1 for odd ones, which share A and B as a pair
 *
 * With option "pairs" at "independent" every member has A and B of its own and s is +1; with "shaping" at "baseline"
 * the first pair of each group is not perturbed.
 */
EGG_API egg_status egg_ask(const egg_strategy *strategy, uint32_t member, uint32_t param, float *W, egg_error *error);

typedef struct egg_strategy_noise {
    float scale;                   /* with its sign: s sigma / sqrt(rank); 0: the member is not perturbed here */
    uint32_t rank;                 /* 0: the noise is dense, and all of it is in A */
} egg_strategy_noise;

/*
 * The same in factors, which are cheaper to draw, to keep and to apply, y = W x + scale A (B^T x):
 *
 *     rank > 0     A (rank, rows), B (rank, columns), component behind component:
 *                  W[o][i] + scale * (A[0][o] B[0][i] + ... + A[rank - 1][o] B[rank - 1][i])
 *     rank == 0    A (rows, columns):  W[o][i] + scale * A[o][i];  of vectors, and of matrices with "openes"
 *
 * Of a frozen parameter nothing is written and scale is 0.
 */
EGG_API egg_status egg_ask_factors(const egg_strategy *strategy, uint32_t member, uint32_t param, float *A, float *B,
                                   egg_strategy_noise *noise, egg_error *error);

typedef struct egg_strategy_stats {
    uint64_t epoch;                /* epochs done, this one included */
    double mean, best, worst, deviation;   /* of the fitness */
    uint32_t invalid;              /* members whose fitness was not finite */
    double tied_pairs;             /* share of pairs whose members did equally well */
    double sigma, rate;            /* of this epoch */
    double gradient_norm;          /* before clipping */
} egg_strategy_stats;

/*
 * fitness (members) of all members of the population, in their order; higher is better. Moves the parameters, which
 * ends the epoch; 'stats' may be NULL. A fitness that is not finite counts as the worst one that is; where none is,
 * that is EGG_ERR_ARGUMENT and nothing changes.
 */
EGG_API egg_status egg_tell(egg_strategy *strategy, const float *fitness, size_t members, egg_strategy_stats *stats,
                            egg_error *error);

EGG_API uint64_t egg_strategy_epoch(const egg_strategy *strategy);   /* epochs done */

/* W (rows, columns): the unperturbed parameter. */
EGG_API egg_status egg_strategy_read(const egg_strategy *strategy, uint32_t param, float *W, egg_error *error);

/*
 * Sigma and rate from the epoch on that is asked next; their decays, if any, count from it. To be called between
 * egg_tell and the first egg_ask of an epoch, for members must be told as they were asked.
 */
EGG_API egg_status egg_strategy_set_sigma(egg_strategy *strategy, double sigma, egg_error *error);
EGG_API egg_status egg_strategy_set_rate(egg_strategy *strategy, double rate, egg_error *error);

/*
 * The whole state as a safetensors file: parameters under their names, without padding, and what the optimizer keeps as
 * NAME.moment1 and NAME.moment2. Loading it into a strategy opened with the same options ("threads" aside) and
 * parameters (initial values aside) goes on with the same bits; anything else is refused, and then nothing changes.
 */
EGG_API egg_status egg_strategy_save(const egg_strategy *strategy, const char *path, egg_error *error);
EGG_API egg_status egg_strategy_load(egg_strategy *strategy, const char *path, egg_error *error);

/* ----------------------------------------------------------------------------------------------------- the journal */

typedef struct egg_replayed {
    uint64_t epoch;                /* of the model that was rebuilt */
    uint64_t hashes;               /* recorded hashes of the state that were met on the way, all equal */
    uint64_t torn_bytes;           /* of a last record cut short by a crash, which was dropped */
    double seconds, run_seconds;   /* of replaying, and of the run until that epoch */
    char model_hash[33];           /* as egg_describe() gives it */
} egg_replayed;

/*
 * Rebuilds the model of an epoch from the journal of a run: 'path' is its folder or the journal itself. Needs neither
 * data nor a forward pass: initial weights come from the seed, updates from the recorded weights of the pairs. Checks
 * every recorded hash on the way; EGG_ERR_FORMAT says where the journal is damaged or the states differ. Options:
 * "replay". Writes a model file where option "out" names one.
 */
EGG_API egg_status egg_replay(const char *path, const egg_options *options, egg_replayed *replayed, egg_error *error);

/* Replays all of the run in the folder 'path' and compares with its checkpoint and its model. Options: "verify". */
EGG_API egg_status egg_verify(const char *path, const egg_options *options, egg_replayed *replayed, egg_error *error);

/* ----------------------------------------------------------------------------------- fine-tuning of language models */

enum { EGG_REWARD_VERSION = 1 };

/* What a language model wrote, and on what. Bytes of any kind, which need not be UTF-8; no text ends in a NUL. */
typedef struct egg_answer {
    const char *prompt, *completion;
    size_t prompt_bytes, completion_bytes;
    const char *row;               /* (row_bytes) the line of the data, a JSON object; NULL without one */
    size_t row_bytes;
} egg_answer;

/*
 * Rewards from a shared library of the user's (--reward-lib), which exports one function:
 *
 *     const egg_reward_library *egg_reward_plugin(void);
 *
 * 'reward' gives a finite number, higher is better, or fails with a text. It is called by one thread at a time, in an
 * order that no number of threads changes.
 */
typedef struct egg_reward_library {
    uint32_t version;              /* EGG_REWARD_VERSION */
    const char *name;
    egg_status (*reward)(const egg_answer *answer, double *reward, egg_error *error);
} egg_reward_library;

typedef struct egg_finetune egg_finetune;

typedef struct egg_finetune_stats {
    uint64_t epoch;                /* epochs done, this one included */
    double progress;               /* share of the budget that is used, 0...1 */
    double seconds;                /* of training so far, resumed runs added up */
    double reward_mean, reward_deviation;     /* of all answers of this epoch; of sft: nats a text, logarithm of likelihood */
    double reward_best, reward_worst;         /* mean reward of a member */
    double equal_questions;        /* share of the questions that got the same reward from every member */
    uint64_t silent_epochs;        /* so many in a row, up to this one, in which no pair of members differed */
    double tied_pairs;             /* share of pairs whose members did equally well */
    uint64_t answers, cut_answers; /* of this epoch; those that the bound on tokens ended */
    double answer_tokens;          /* mean length */
    double prompt_rate, answer_rate;          /* tokens a second, all threads; of sft: tokens read */
    double sigma, rate, gradient_norm;        /* of this epoch */
    double evaluate_seconds, reward_seconds, update_seconds, validate_seconds;   /* of this epoch */
    double valid;                  /* last validation: mean reward, of sft bits per byte; NaN before the first */
    double base_valid;             /* of the model that the run began with */
    double best_valid;             /* of the best that was kept */
    uint64_t best_epoch;
    bool stopped;                  /* someone wanted an end: egg_finetune_finished() is true */
    bool validated;                /* a validation followed this epoch */
    bool saved;                    /* a save followed this epoch */
} egg_finetune_stats;

/*
 * A new run on the model of option "base" with the task of option "task", or, where option "resume" names a run folder,
 * the one in there. Options: "finetune". A run without option "out" keeps nothing on disk. The rest is as with
 * egg_trainer_*.
 */
EGG_API egg_status egg_finetune_open(egg_finetune **finetune, const egg_options *options, egg_error *error);
EGG_API void egg_finetune_close(egg_finetune *finetune);
EGG_API egg_status egg_finetune_epoch(egg_finetune *finetune, egg_finetune_stats *stats, egg_error *error);
EGG_API bool egg_finetune_finished(const egg_finetune *finetune);
EGG_API void egg_finetune_stop_when(egg_finetune *finetune, egg_stop_fn *stop, void *context);
EGG_API egg_status egg_finetune_save(egg_finetune *finetune, egg_error *error);

/* Scores the unperturbed model on the held-out questions, as the option "eval-epochs" has it done. */
EGG_API egg_status egg_finetune_validate(egg_finetune *finetune, double *valid, egg_error *error);

typedef struct egg_finetune_facts {
    uint64_t parameters, evolved;             /* of the model; of these evolution may change so many */
    uint64_t train_questions, valid_questions;
    bool lower_is_better;          /* validations are bits per byte */
} egg_finetune_facts;

EGG_API egg_finetune_facts egg_finetune_about(const egg_finetune *finetune);
EGG_API const char *egg_finetune_option(egg_finetune *finetune, const char *name);   /* as egg_trainer_option */

/* What such a run would hold in memory; as egg_trainer_plan. */
EGG_API egg_status egg_finetune_plan(egg_plan *plan, const egg_options *options, egg_error *error);

EGG_API egg_journal_info egg_finetune_journal(const egg_finetune *finetune);

/*
 * Rebuilds the tuned model of a run from the model it began with and the run's journal, a patch of some kilobytes: the
 * seed and one weight a pair and epoch. Both are checked by hashes. Writes it to 'out', in the published form.
 */
EGG_API egg_status egg_patch_apply(const char *base, const char *journal, const char *out, egg_replayed *replayed,
                                   egg_error *error);

/* ------------------------------------------------------------------------------------------------------ benchmarks */

typedef struct egg_bench_row {
    const char *size;              /* what was measured: "6x256", "4096x256x256", ... */
    const char *name, *unit;
    double value;                  /* the median */
    double median, best;           /* of repetitions in which all contenders took turns */
} egg_bench_row;

typedef void egg_bench_fn(void *context, const egg_bench_row *row);   /* the strings live until it returns */

/*
 * Suites: "kernels", "population", "update", "noise", "scaling", "envs", "finetune", "decode", "linear". Options:
 * "bench".
 */
EGG_API egg_status egg_bench(const char *suite, const egg_options *options, egg_bench_fn *row, void *context,
                             egg_error *error);

/* ---------------------------------------------------------------------------------------------------------- ranks */

/*
 * Processes that an MPI launcher (mpirun, srun) started together train one model: each opens the same trainer, egg_rl or
 * egg_finetune and calls the same functions on it. Only rank 0 reads and writes the run's folder; one such handle at a time, and one
 * a process unless the caller initializes MPI.
 *
 * Which of them this process is, and how many there are, as the launcher tells; 0 and 1 for a process alone.
 */
EGG_API uint32_t egg_rank(void);
EGG_API uint32_t egg_rank_count(void);

/*
 * After a run failed with EGG_ERR_COMM, and was closed, because ranks were lost: whether those that are left, rank 0 among
 * them, can go on by opening the run again with 'resume'. Only with an MPI that has ULFM (Open MPI 5, mpirun --with-ft
 * ulfm); the run then repeats what came behind its last save, and ends with the bits that it would have had.
 */
EGG_API bool egg_ranks_remain(void);

/* What a run would cost on 'ranks' ranks, an epoch and rank; docs/distributed.md has the model. */
typedef struct egg_simulated {
    uint32_t ranks;
    double members;                    /* an epoch */
    double evaluate_seconds, shape_seconds, update_seconds, exchange_seconds, other_seconds, epoch_seconds;
    double efficiency;                 /* work of an epoch on one rank / (ranks x epoch_seconds) */
    double bytes_received;
    bool rows;                         /* the update is shared out by rows */
} egg_simulated;

typedef void egg_simulated_fn(void *context, const egg_simulated *row);

/*
 * Predicts, from what a run on one rank measured of itself, epochs on 1, 2, 4, ... ranks, up to option "ranks".
 * Options: "simulate". EGG_ERR_FORMAT where the run has too few epochs or was on several ranks.
 */
EGG_API egg_status egg_simulate(const char *run, const egg_options *options, egg_simulated_fn *row, void *context,
                                egg_error *error);

/* ------------------------------------------------------------------------------------------------------ the build */

EGG_API const char *egg_version(void);             /* "0.1.0" */

/* A JSON text: version, compiler, kernel levels of this machine and which is in use, optional parts. */
EGG_API egg_status egg_build_info(char **json, egg_error *error);

#ifdef __cplusplus
}
#endif

#endif
