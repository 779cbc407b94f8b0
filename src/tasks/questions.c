/* SPDX-License-Identifier: MIT */
#include "tasks/questions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "random/noise.h"
#include "tasks/gsm8k.h"

static egg_status open_items(egg_questions *questions, size_t count, egg_error *error)
{
    questions->items = count <= UINT32_MAX ? egg_alloc_array(count, sizeof *questions->items) : NULL;
    if (!questions->items) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %zu questions", count);
    questions->count = (uint32_t)count;
    return EGG_OK;
}

/* Prompt and completion as tokens; an empty prompt is the end of the document before. completion NULL: none is given.
 */
static egg_status encode(egg_question *question, const egg_question_rules *rules, const char *completion,
                         egg_error *error)
{
    size_t bytes = completion ? strlen(completion) : 0;
    question->tokens = egg_alloc_array(question->prompt_bytes + bytes + 2, sizeof *question->tokens);
    if (!question->tokens) return egg_fail(error, EGG_ERR_NOMEM, "no memory for a question of %zu bytes", bytes);
    size_t n = egg_tokenizer_encode(rules->tokenizer, question->prompt, question->prompt_bytes, question->tokens);
    if (n == 0) question->tokens[n++] = EGG_TOKEN_END;
    if (n > rules->max_prompt)
        return egg_fail(error, EGG_ERR_FORMAT, "the prompt has %zu tokens, expected at most %u (--max-prompt)", n,
                        rules->max_prompt);
    question->given = question->count = (uint32_t)n;
    if (!completion) return EGG_OK;
    size_t more = egg_tokenizer_encode(rules->tokenizer, completion, bytes, question->tokens + n);
    question->tokens[n + more++] = EGG_TOKEN_END;
    if (more > rules->max_tokens)
        return egg_fail(error, EGG_ERR_FORMAT, "the completion has %zu tokens, expected at most %u (--max-tokens)",
                        more, rules->max_tokens);
    question->count += (uint32_t)more;
    return EGG_OK;
}

/* ---------------------------------------------------------------------------------------------------------- records */

/* Puts file and line before the reason. */
static egg_status fail_at(const char *path, const egg_record *record, egg_status status, const egg_error *reason,
                          egg_error *error)
{
    egg_fail(error, status, "%s: line %" PRIu64 ": %s", path, record->line, reason->text);
    if (error) error->offset = (size_t)record->line;
    return status;
}

static egg_status open_records(egg_questions *questions, const char *path, const char *const *fields, size_t count,
                               egg_error *error)
{
    egg_status status = EGG_OK;
    *questions = (egg_questions){0};
    EGG_TRY(egg_records_open(&questions->records, path, fields, count, error));
    EGG_TRY(open_items(questions, egg_records_count(questions->records), error));
    for (uint32_t i = 0; i < questions->count; i++) {
        const egg_record *record = egg_records_at(questions->records, i);
        questions->items[i] = (egg_question){.prompt = record->text[0], .prompt_bytes = strlen(record->text[0]),
                                             .row = record->row, .row_bytes = record->row_bytes};
    }
out:
    return status;
}

egg_status egg_questions_read_prompts(egg_questions *questions, const char *path, const egg_question_rules *rules,
                                      egg_error *error)
{
    egg_error reason;
    egg_status status = open_records(questions, path, (const char *const[]){"prompt"}, 1, error);
    for (uint32_t i = 0; status == EGG_OK && i < questions->count; i++)
        if ((status = encode(&questions->items[i], rules, NULL, &reason)) != EGG_OK)
            fail_at(path, egg_records_at(questions->records, i), status, &reason, error);
    return status;
}

egg_status egg_questions_read_completions(egg_questions *questions, const char *path, const egg_question_rules *rules,
                                          egg_error *error)
{
    egg_error reason;
    egg_status status = open_records(questions, path, (const char *const[]){"prompt", "completion"}, 2, error);
    for (uint32_t i = 0; status == EGG_OK && i < questions->count; i++) {
        const egg_record *record = egg_records_at(questions->records, i);
        if ((status = encode(&questions->items[i], rules, record->text[1], &reason)) != EGG_OK)
            fail_at(path, record, status, &reason, error);
    }
    return status;
}

static egg_status make_gsm8k(egg_questions *questions, uint32_t i, const egg_question_rules *rules, egg_error *error)
{
    egg_status status = EGG_OK;
    const egg_record *record = egg_records_at(questions->records, i);
    egg_question *question = &questions->items[i];
    EGG_TRY(egg_gsm8k_check(record->text[1], error));
    questions->made[i] = egg_gsm8k_prompt(record->text[0]);
    if (!questions->made[i]) return egg_fail(error, EGG_ERR_NOMEM, "no memory for its prompt");
    question->answer = record->text[1];
    question->prompt = questions->made[i];
    question->prompt_bytes = strlen(question->prompt);
    EGG_TRY(encode(question, rules, NULL, error));
out:
    return status;
}

egg_status egg_questions_read_gsm8k(egg_questions *questions, const char *path, const egg_question_rules *rules,
                                    egg_error *error)
{
    egg_error reason;
    egg_status status = open_records(questions, path, (const char *const[]){"question", "answer"}, 2, error);
    if (status != EGG_OK) return status;
    questions->made = egg_alloc_array(questions->count, sizeof *questions->made);
    if (!questions->made) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for its prompts", path);
    for (uint32_t i = 0; status == EGG_OK && i < questions->count; i++)
        if ((status = make_gsm8k(questions, i, rules, &reason)) != EGG_OK)
            fail_at(path, egg_records_at(questions->records, i), status, &reason, error);
    return status;
}

/* ------------------------------------------------------------------------------------------------- texts, countdown */

/* tokens (bytes): a byte 0 is the end of a document, whatever the tokenizer makes of it. */
static size_t encode_documents(const egg_tokenizer *tokenizer, const char *text, size_t bytes, uint32_t *tokens)
{
    size_t n = 0;
    for (size_t at = 0; at < bytes; at++) {
        const char *zero = memchr(text + at, 0, bytes - at);
        size_t length = zero ? (size_t)(zero - text) - at : bytes - at;
        n += egg_tokenizer_encode(tokenizer, text + at, length, tokens + n);
        if (zero) tokens[n++] = EGG_TOKEN_END;
        at += length;
    }
    return n;
}

egg_status egg_questions_cut(egg_questions *questions, const void *text, size_t bytes, uint32_t length,
                             const egg_question_rules *rules, egg_error *error)
{
    egg_status status = EGG_OK;
    *questions = (egg_questions){0};
    uint32_t *tokens = egg_alloc_array(bytes, sizeof *tokens);
    if (!tokens) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the tokens of %zu bytes", bytes);
    size_t n = encode_documents(rules->tokenizer, text, bytes, tokens);
    EGG_TRY(open_items(questions, n ? (n - 1) / length : 0, error));
    for (uint32_t i = 0; i < questions->count; i++) {
        egg_question *question = &questions->items[i];
        question->tokens = egg_alloc_array((size_t)length + 1, sizeof *question->tokens);
        if (!question->tokens) {
            status = egg_fail(error, EGG_ERR_NOMEM, "no memory for the pieces of %zu bytes", bytes);
            goto out;
        }
        memcpy(question->tokens, tokens + (size_t)i * length, ((size_t)length + 1) * sizeof *tokens);
        question->count = length + 1;
        question->given = 1;
    }
out:
    egg_free(tokens);
    return status;
}

/* Open addressing over the items of 'questions': 0, or an index plus 1. */
typedef struct puzzle_table {
    uint32_t *slots;             /* (mask + 1), at least twice as many as there will be puzzles */
    uint32_t mask;
} puzzle_table;

static egg_status open_table(puzzle_table *table, uint32_t count, egg_error *error)
{
    size_t slots = 2;
    while (slots < 2 * (size_t)count) slots *= 2;
    table->slots = egg_alloc_array(slots, sizeof *table->slots);
    if (!table->slots) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u puzzles", count);
    table->mask = (uint32_t)(slots - 1);
    return EGG_OK;
}

/* Enters the puzzle of items[index]; false where an earlier one is the same. */
static bool enter_puzzle(puzzle_table *table, const egg_question *items, uint32_t index)
{
    uint32_t slot = egg_countdown_mix(&items[index].puzzle) / 8 & table->mask;   /* the set took the remainder */
    for (; table->slots[slot]; slot = (slot + 1) & table->mask)
        if (egg_countdown_same(&items[table->slots[slot] - 1].puzzle, &items[index].puzzle)) return false;
    table->slots[slot] = index + 1;
    return true;
}

/* Puzzles of a validation set, until there are 'count' or new ones have become too rare to wait for. */
static egg_status draw_distinct(egg_questions *questions, const egg_countdown_form *form, uint64_t seed, uint32_t count,
                                egg_error *error)
{
    enum { PATIENCE = 1000 };    /* puzzles in a row that were there before */
    egg_status status = EGG_OK;
    puzzle_table table = {0};
    uint32_t found = 0;
    EGG_TRY(open_table(&table, count, error));
    for (uint32_t i = 0, repeats = 0; found < count && repeats < PATIENCE; i++) {
        EGG_TRY(egg_countdown_make(&questions->items[found].puzzle, form, EGG_COUNTDOWN_VALIDATION, seed, i, error));
        bool is_new = enter_puzzle(&table, questions->items, found);
        found += is_new;
        repeats = is_new ? 0 : repeats + 1;
    }
    questions->count = found;
out:
    egg_free(table.slots);
    return status;
}

static egg_status draw_puzzles(egg_questions *questions, const egg_countdown_form *form, egg_countdown_set set,
                               uint64_t seed, uint32_t count, egg_error *error)
{
    egg_status status = EGG_OK;
    if (set == EGG_COUNTDOWN_VALIDATION) return draw_distinct(questions, form, seed, count, error);
    for (uint32_t i = 0; i < count; i++)
        EGG_TRY(egg_countdown_make(&questions->items[i].puzzle, form, set, seed, i, error));
out:
    return status;
}

egg_status egg_questions_make_countdown(egg_questions *questions, const egg_countdown_form *form, egg_countdown_set set,
                                        egg_countdown_style style, uint64_t seed, uint32_t count,
                                        const egg_question_rules *rules, egg_error *error)
{
    egg_status status = EGG_OK;
    *questions = (egg_questions){0};
    EGG_TRY(open_items(questions, count, error));
    EGG_TRY(draw_puzzles(questions, form, set, seed, count, error));
    questions->made = egg_alloc_array(count, sizeof *questions->made);
    if (!questions->made) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u puzzles", count);
    for (uint32_t i = 0; i < questions->count; i++) {
        char prompt[EGG_COUNTDOWN_PROMPT_BYTES];
        egg_question *question = &questions->items[i];
        egg_countdown_prompt(&question->puzzle, style, prompt);
        question->prompt = questions->made[i] = egg_strdup(prompt);
        if (!question->prompt) return egg_fail(error, EGG_ERR_NOMEM, "no memory for %u puzzles", count);
        question->prompt_bytes = strlen(prompt);
        EGG_TRY(encode(question, rules, NULL, error));
    }
out:
    return status;
}

void egg_questions_close(egg_questions *questions)
{
    for (uint32_t i = 0; i < questions->count; i++) {
        egg_free(questions->items[i].tokens);
        if (questions->made) egg_free(questions->made[i]);
    }
    egg_free(questions->items);
    egg_free(questions->made);
    egg_records_close(questions->records);
    *questions = (egg_questions){0};
}

uint64_t egg_questions_bytes(const egg_questions *questions)
{
    uint64_t bytes = questions->count * (sizeof *questions->items + sizeof *questions->made);
    for (uint32_t i = 0; i < questions->count; i++) {
        const egg_question *question = &questions->items[i];
        bytes += (question->prompt_bytes + question->count + 2) * sizeof *question->tokens;
        if (questions->made) bytes += question->prompt_bytes;
    }
    return bytes;
}

/* ------------------------------------------------------------------------------------------------------ hash, order */

egg_status egg_questions_hash(const egg_question *items, uint32_t count, egg_hash *hash, egg_error *error)
{
    egg_hasher *hasher;
    egg_status status = egg_hasher_open(&hasher, error);
    if (status != EGG_OK) return status;
    for (uint32_t i = 0; i < count; i++) {
        const egg_question *question = &items[i];
        for (uint32_t k = 0; k <= question->count; k++) {
            uint32_t token = k < question->count ? question->tokens[k] : question->given;
            const uint8_t bytes[4] = {(uint8_t)token, (uint8_t)(token >> 8), (uint8_t)(token >> 16),
                                      (uint8_t)(token >> 24)};
            egg_hasher_add(hasher, bytes, sizeof bytes);
        }
        if (question->row) egg_hasher_add(hasher, question->row, question->row_bytes);
        egg_hasher_add(hasher, "", 1);
    }
    *hash = egg_hasher_value(hasher);
    egg_hasher_close(hasher);
    return EGG_OK;
}

/*
 * A shuffle that needs no table: a Feistel network over 2 * half bits, of rounds that draw from the generator, walked
 * until it leads back below 'count'.
 */
uint32_t egg_questions_pick(uint64_t seed, uint32_t count, uint64_t position)
{
    enum { WORDS_OF_ORDER = 3, ROUNDS = 4 };
    const egg_key key = egg_key_make(seed, EGG_DOMAIN_TASK);
    uint64_t pass = position / count, at = position % count;
    uint32_t half = 1;
    while ((uint64_t)1 << 2 * half < count) half++;
    uint32_t mask = ((uint32_t)1 << half) - 1;
    do {
        uint32_t left = (uint32_t)(at >> half), right = (uint32_t)at & mask, words[4];
        for (uint32_t round = 0; round < ROUNDS; round++) {
            const egg_noise_at where = {.epoch = (uint32_t)pass, .param = WORDS_OF_ORDER, .side = round & 1,
                                        .pair = right};
            egg_noise_block(key, where, round, words);
            uint32_t next = left ^ (words[0] & mask);
            left = right;
            right = next;
        }
        at = (uint64_t)left << half | right;
    } while (at >= count);
    return (uint32_t)at;
}
