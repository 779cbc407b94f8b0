/* SPDX-License-Identifier: MIT */
#include "tasks/course.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "tasks/likelihood.h"

enum {
    VALID_PIECE = 2048,  /* tokens of a held-out piece of text: long enough that its cold start weighs little */
    TEXT_BYTES = 1 << 20 /* of answers that are graded in one go */
};

struct egg_course {
    egg_course_shape shape;
    const egg_language *language;
    egg_questions sets[2];         /* the second is the held-out ones, where they are a set of their own */
    const egg_question *train, *valid;
    uint32_t train_count, valid_count;

    egg_answers *answers;          /* one of the two */
    egg_likelihood *likelihood;
    egg_grader *grader;
    egg_prompt *prompts;           /* (most) of the call in progress */
    egg_lesson *lessons;           /* (most) */
    const egg_question **picked;   /* (most) */
    float *S;                      /* (valid_count) of a validation */
    egg_graded *items;             /* (EGG_GRADER_MOST) */
    double *rewards;               /* (EGG_GRADER_MOST) */
    char *text;                    /* (text_bytes) */
    size_t text_bytes;
};

static bool is_sft(const egg_course *course)
{
    return course->shape.kind == EGG_COURSE_SFT;
}

static bool is_jsonl(const char *path)
{
    size_t length = strlen(path);
    return length > 6 && strcmp(path + length - 6, ".jsonl") == 0;
}

/* -------------------------------------------------------------------------------------------------------- questions */

static egg_question_rules rules_of(const egg_course *course)
{
    return (egg_question_rules){.tokenizer = course->language->tokenizer, .max_prompt = course->shape.max_prompt,
                                .max_tokens = course->shape.answers.max_tokens};
}

static egg_status read_file(const egg_course *course, egg_questions *questions, const char *path, egg_error *error)
{
    egg_question_rules rules = rules_of(course);
    switch (course->shape.kind) {
    case EGG_COURSE_SFT: return egg_questions_read_completions(questions, path, &rules, error);
    case EGG_COURSE_GSM8K: return egg_questions_read_gsm8k(questions, path, &rules, error);
    case EGG_COURSE_JSONL:
    case EGG_COURSE_COUNTDOWN: break;
    }
    return egg_questions_read_prompts(questions, path, &rules, error);
}

/* The held-out ones are the last of the file. */
static void split(egg_course *course, uint32_t held_out)
{
    uint32_t count = course->sets[0].count;
    course->train = course->sets[0].items;
    course->train_count = count - held_out;
    course->valid = course->train + course->train_count;
    course->valid_count = held_out;
}

static void use_sets(egg_course *course)
{
    course->train = course->sets[0].items;
    course->train_count = course->sets[0].count;
    course->valid = course->sets[1].items;
    course->valid_count = course->sets[1].count;
}

static egg_status read_files(egg_course *course, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_course_shape *shape = &course->shape;
    EGG_TRY(read_file(course, &course->sets[0], shape->data, error));
    if (*shape->valid) {
        EGG_TRY(read_file(course, &course->sets[1], shape->valid, error));
        use_sets(course);
    } else {
        split(course, (uint32_t)ceil(shape->valid_fraction * course->sets[0].count));
    }
out:
    return status;
}

/* Cuts bytes first ... end - 1 of a corpus. */
static egg_status cut_corpus(const egg_course *course, const egg_corpus *corpus, uint64_t first, uint64_t end,
                             uint32_t length, egg_questions *questions, egg_error *error)
{
    egg_question_rules rules = rules_of(course);
    size_t bytes = (size_t)(end - first);
    uint8_t *text = egg_alloc(bytes);
    if (!text) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu bytes of text", bytes);
    egg_corpus_read(corpus, first, bytes, text);
    egg_status status = egg_questions_cut(questions, text, bytes, length, &rules, error);
    egg_free(text);
    return status;
}

static egg_status read_texts(egg_course *course, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_course_shape *shape = &course->shape;
    egg_corpus *train = NULL, *valid = NULL;
    EGG_TRY(egg_corpus_open(&train, &shape->data, 1, NULL, NULL, error));
    if (*shape->valid) EGG_TRY(egg_corpus_open(&valid, &shape->valid, 1, NULL, NULL, error));
    uint64_t bytes = egg_corpus_bytes(train), end = bytes;
    if (!valid) end -= (uint64_t)(shape->valid_fraction * (double)bytes);
    EGG_TRY(cut_corpus(course, train, 0, end, shape->piece, &course->sets[0], error));
    uint64_t held_out = valid ? egg_corpus_bytes(valid) : bytes - end;
    uint32_t length = held_out / VALID_PIECE ? VALID_PIECE : shape->piece;
    EGG_TRY(cut_corpus(course, valid ? valid : train, valid ? 0 : end, valid ? held_out : bytes, length,
                       &course->sets[1], error));
    use_sets(course);
out:
    egg_corpus_close(train);
    egg_corpus_close(valid);
    return status;
}

static egg_status make_puzzles(egg_course *course, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_course_shape *shape = &course->shape;
    egg_question_rules rules = rules_of(course);
    uint32_t held_out = shape->valid_questions ? shape->valid_questions : shape->puzzles;
    EGG_TRY(egg_questions_make_countdown(&course->sets[0], &shape->form, EGG_COUNTDOWN_TRAINING, shape->grader.style,
                                         shape->seed, shape->puzzles, &rules, error));
    EGG_TRY(egg_questions_make_countdown(&course->sets[1], &shape->form, EGG_COUNTDOWN_VALIDATION, shape->grader.style,
                                         shape->seed, held_out, &rules, error));
    use_sets(course);
out:
    return status;
}

static egg_status open_questions(egg_course *course, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_course_shape *shape = &course->shape;
    if (shape->kind == EGG_COURSE_COUNTDOWN) EGG_TRY(make_puzzles(course, error));
    else if (shape->kind == EGG_COURSE_SFT && !is_jsonl(shape->data)) EGG_TRY(read_texts(course, error));
    else EGG_TRY(read_files(course, error));
    if (course->train_count == 0)
        return egg_fail(error, EGG_ERR_FORMAT, "--data: '%s' leaves no question to train on: %u in it, %u held out",
                        shape->data, course->sets[0].count, course->valid_count);
    if (course->valid_count == 0)
        return egg_fail(error, EGG_ERR_FORMAT,
                        "'%s' leaves no question to validate on; name others with --valid, or hold out "
                        "a larger share of the data with --valid-fraction",
                        *shape->valid ? shape->valid : shape->data);
    if (shape->valid_questions && course->valid_count > shape->valid_questions)
        course->valid_count = shape->valid_questions;
out:
    return status;
}

/* ------------------------------------------------------------------------------------------------------ open, close */

egg_status egg_course_open(egg_course **out, const egg_course_shape *shape, const egg_language *language,
                           egg_error *error)
{
    egg_status status = EGG_OK;
    egg_course *course = egg_alloc(sizeof *course);
    *out = NULL;
    if (!course) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a task");
    course->shape = *shape;
    course->language = language;
    EGG_TRY(open_questions(course, error));
    *out = course;
    course = NULL;
out:
    egg_course_close(course);
    return status;
}

static egg_answers_shape answers_of(const egg_course *course)
{
    egg_answers_shape answers = course->shape.answers;
    answers.questions = course->shape.questions;
    answers.most = course->valid_count;
    return answers;
}

static egg_likelihood_shape likelihood_of(const egg_course *course)
{
    const egg_answers_shape *answers = &course->shape.answers;
    return (egg_likelihood_shape){.pairs = answers->pairs, .lessons = course->shape.questions, .rank = answers->rank,
                                  .rows = answers->rows, .threads = answers->threads};
}

static uint32_t most_of(const egg_course *course)
{
    return course->shape.questions > course->valid_count ? course->shape.questions : course->valid_count;
}

static egg_status begin_answers(egg_course *course, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_answers_shape answers = answers_of(course);
    EGG_TRY(egg_answers_open(&course->answers, &answers, course->language, error));
    EGG_TRY(egg_grader_open(&course->grader, &course->shape.grader, error));
    course->text_bytes = TEXT_BYTES + egg_answers_room(course->answers);
    course->text = egg_alloc(course->text_bytes);
    course->items = egg_alloc_array(EGG_GRADER_MOST, sizeof *course->items);
    course->rewards = egg_alloc_array(EGG_GRADER_MOST, sizeof *course->rewards);
    if (!course->text || !course->items || !course->rewards)
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the texts of answers");
out:
    return status;
}

egg_status egg_course_begin(egg_course *course, egg_error *error)
{
    uint32_t most = most_of(course);
    egg_likelihood_shape likelihood = likelihood_of(course);
    course->prompts = egg_alloc_array(most, sizeof *course->prompts);
    course->lessons = egg_alloc_array(most, sizeof *course->lessons);
    course->picked = egg_alloc_array(most, sizeof *course->picked);
    course->S = egg_alloc_array(course->valid_count, sizeof *course->S);
    if (!course->prompts || !course->lessons || !course->picked || !course->S)
        return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u questions", most);
    if (is_sft(course)) return egg_likelihood_open(&course->likelihood, &likelihood, course->language, error);
    return begin_answers(course, error);
}

void egg_course_close(egg_course *course)
{
    if (!course) return;
    egg_answers_close(course->answers);
    egg_likelihood_close(course->likelihood);
    egg_grader_close(course->grader);
    for (size_t i = 0; i < 2; i++) egg_questions_close(&course->sets[i]);
    egg_free(course->prompts);
    egg_free(course->lessons);
    egg_free(course->picked);
    egg_free(course->S);
    egg_free(course->items);
    egg_free(course->rewards);
    egg_free(course->text);
    egg_free(course);
}

egg_status egg_course_about(const egg_course *course, egg_course_facts *facts, egg_error *error)
{
    egg_answers_shape answers = answers_of(course);
    egg_likelihood_shape likelihood = likelihood_of(course);
    uint64_t text = TEXT_BYTES + answers.max_tokens * egg_tokenizer_longest(course->language->tokenizer);
    *facts = (egg_course_facts){
        .train_questions = course->train_count,
        .valid_questions = course->valid_count,
        .question_bytes = egg_questions_bytes(&course->sets[0]) + egg_questions_bytes(&course->sets[1]),
        .task_bytes = is_sft(course) ? egg_likelihood_bytes(&likelihood, course->language)
                                     : egg_answers_bytes(&answers, course->language),
    };
    if (!is_sft(course)) facts->task_bytes.host += text;
    egg_status status = egg_questions_hash(course->train, course->train_count, &facts->hash, error);
    if (status == EGG_OK) status = egg_questions_hash(course->valid, course->valid_count, &facts->valid_hash, error);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- grading */

/* The questions of the call in progress, picked or held out. */
static void take_questions(egg_course *course, uint32_t count)
{
    for (uint32_t q = 0; q < count; q++) {
        const egg_question *question = course->picked[q];
        course->prompts[q] = (egg_prompt){.tokens = question->tokens, .count = question->given};
        course->lessons[q] =
            (egg_lesson){.tokens = question->tokens, .count = question->count, .given = question->given};
    }
}

/* Grades the answers first ... of (members, count), as many as the buffers hold; returns how many in '*done'. */
static egg_status grade_some(egg_course *course, size_t first, size_t all, uint32_t count, float *S, size_t *done,
                             egg_error *error)
{
    size_t n = 0, used = 0, room = egg_answers_room(course->answers);
    for (; n < EGG_GRADER_MOST && first + n < all && course->text_bytes - used >= room; n++) {
        uint32_t member = (uint32_t)((first + n) / count), question = (uint32_t)((first + n) % count);
        egg_graded *item = &course->items[n];
        *item = (egg_graded){.question = course->picked[question], .completion = course->text + used};
        item->bytes = egg_answers_text(course->answers, member, question, course->text + used);
        used += item->bytes;
    }
    egg_status status = egg_grader_run(course->grader, course->items, n, course->rewards, error);
    for (size_t i = 0; status == EGG_OK && i < n; i++) S[first + i] = (float)course->rewards[i];
    *done = n;
    return status;
}

static egg_status grade(egg_course *course, uint32_t members, uint32_t count, float *S, double *seconds,
                        egg_error *error)
{
    egg_status status = EGG_OK;
    size_t all = (size_t)members * count;
    double begun = egg_clock_seconds();
    for (size_t at = 0, done; at < all; at += done) EGG_TRY(grade_some(course, at, all, count, S, &done, error));
    *seconds = egg_clock_seconds() - begun;
out:
    return status;
}

/* --------------------------------------------------------------------------------------------------------- evaluate */

static void count_reading(egg_course *course, uint32_t members, uint32_t count, double seconds,
                          egg_answers_stats *stats)
{
    *stats = (egg_answers_stats){.answers = (uint64_t)members * count,
                                 .prompt_seconds = seconds * course->shape.answers.threads};
    for (uint32_t q = 0; q < count; q++) stats->prompt_tokens += (uint64_t)members * (course->picked[q]->count - 1);
}

egg_status egg_course_evaluate(egg_course *course, egg_pool *pool, const egg_perturb *law, uint64_t epoch,
                               egg_slice slice, float *S, egg_course_stats *stats, egg_error *error)
{
    egg_status status = EGG_OK;
    uint32_t count = course->shape.questions, members = 2 * slice.pairs;
    double begun = egg_clock_seconds();
    *stats = (egg_course_stats){0};
    for (uint32_t q = 0; q < count; q++)
        course->picked[q] =
            course->train + egg_questions_pick(course->shape.seed, course->train_count, epoch * count + q);
    take_questions(course, count);
    if (is_sft(course)) {
        EGG_TRY(egg_likelihood_run(course->likelihood, pool, law, slice, course->lessons, count, S, error));
        count_reading(course, members, count, egg_clock_seconds() - begun, &stats->answers);
    } else {
        EGG_TRY(
            egg_answers_run(course->answers, pool, law, epoch, slice, course->prompts, count, &stats->answers, error));
        EGG_TRY(grade(course, members, count, S, &stats->reward_seconds, error));
    }
out:
    return status;
}

static size_t scored_bytes(const egg_course *course, const egg_question *question)
{
    size_t sum = 0;
    for (uint32_t i = question->given; i < question->count; i++) {
        size_t bytes;
        egg_tokenizer_text(course->language->tokenizer, question->tokens[i], &bytes);
        sum += bytes;
    }
    return sum;
}

egg_status egg_course_validate(egg_course *course, egg_pool *pool, uint32_t first, uint32_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_answers_stats stats;
    double seconds;
    float *S = course->S + first;
    for (uint32_t q = 0; q < count; q++) course->picked[q] = course->valid + first + q;
    take_questions(course, count);
    if (is_sft(course))
        return egg_likelihood_run(course->likelihood, pool, NULL, (egg_slice){0}, course->lessons, count, S, error);
    EGG_TRY(egg_answers_validate(course->answers, pool, first, course->prompts, count, &stats, error));
    EGG_TRY(grade(course, 1, count, S, &seconds, error));
out:
    return status;
}

float *egg_course_held_out(egg_course *course, uint32_t *count)
{
    *count = course->valid_count;
    return course->S;
}

double egg_course_score(const egg_course *course)
{
    double sum = 0;
    size_t bytes = 0;
    for (uint32_t q = 0; q < course->valid_count; q++) sum += course->S[q];
    if (!is_sft(course)) return sum / course->valid_count;
    for (uint32_t q = 0; q < course->valid_count; q++) bytes += scored_bytes(course, &course->valid[q]);
    return -sum / log(2) / (double)(bytes ? bytes : 1);
}
