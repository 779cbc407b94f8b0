/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tasks/countdown.h"

#include <stdio.h>
#include <string.h>

#include "random/noise.h"

enum { MAX_ATTEMPTS = 100000, MAX_DEPTH = 64, MAX_USED = 64 };

const egg_countdown_form egg_countdown_short = {.least = 3, .most = 4, .low = 1, .high = 100, .target_low = 100,
                                                .target_high = 999};
const egg_countdown_form egg_countdown_long = {.least = 4, .most = 6, .low = 1, .high = 100, .target_low = 100,
                                               .target_high = 999};

/* --------------------------------------------------------------------------------------------------------- puzzles */

/* Of 0 ... bound - 1, all equally likely: the words that do not fit whole are drawn again. */
static uint32_t draw_below(egg_words *words, uint32_t bound)
{
    uint32_t word, limit = UINT32_MAX - UINT32_MAX % bound;
    do word = egg_words_next(words);
    while (word >= limit);
    return word % bound;
}

/* sorted (puzzle->count) */
static void sort_numbers(const egg_countdown *puzzle, uint32_t *sorted)
{
    for (uint32_t i = 0; i < puzzle->count; i++) {
        uint32_t at = i;
        for (; at && sorted[at - 1] > puzzle->numbers[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = puzzle->numbers[i];
    }
}

bool egg_countdown_same(const egg_countdown *a, const egg_countdown *b)
{
    uint32_t left[EGG_COUNTDOWN_NUMBERS], right[EGG_COUNTDOWN_NUMBERS];
    if (a->target != b->target || a->count != b->count) return false;
    sort_numbers(a, left);
    sort_numbers(b, right);
    return memcmp(left, right, a->count * sizeof *left) == 0;
}

uint32_t egg_countdown_mix(const egg_countdown *puzzle)
{
    uint32_t block[4], sorted[EGG_COUNTDOWN_NUMBERS];
    sort_numbers(puzzle, sorted);
    uint32_t state = puzzle->target;
    for (uint32_t i = 0; i < puzzle->count; i++) {
        const egg_noise_at at = {.epoch = sorted[i], .pair = puzzle->count};
        egg_noise_block(egg_key_make(state, EGG_DOMAIN_TASK), at, i, block);
        state = block[0];
    }
    return state;
}

egg_countdown_set egg_countdown_set_of(const egg_countdown *puzzle)
{
    return egg_countdown_mix(puzzle) % 8 == 0 ? EGG_COUNTDOWN_VALIDATION : EGG_COUNTDOWN_TRAINING;
}

/* Joins random pairs of the numbers until one is left; false where that would leave the whole numbers or 32 bits. */
static bool draw_target(egg_words *words, const egg_countdown *puzzle, uint32_t *target)
{
    int64_t values[EGG_COUNTDOWN_NUMBERS];
    uint32_t left = puzzle->count;
    for (uint32_t i = 0; i < left; i++) values[i] = puzzle->numbers[i];
    while (left > 1) {
        uint32_t i = draw_below(words, left);
        int64_t a = values[i];
        values[i] = values[--left];
        uint32_t j = draw_below(words, left);
        int64_t b = values[j];
        switch (draw_below(words, 4)) {
        case 0: values[j] = a + b; break;
        case 1: values[j] = a - b; break;
        case 2: values[j] = a * b; break;
        default:
            if (b == 0 || a % b != 0) return false;
            values[j] = a / b;
        }
        if (values[j] > INT32_MAX || values[j] < -INT32_MAX) return false;
    }
    *target = (uint32_t)values[0];
    return values[0] >= 0;
}

egg_status egg_countdown_make(egg_countdown *puzzle, const egg_countdown_form *form, egg_countdown_set set,
                              uint64_t seed, uint32_t index, egg_error *error)
{
    egg_words words = {.key = egg_key_make(seed, EGG_DOMAIN_TASK),
                       .at = {.epoch = 1, .param = (uint32_t)set, .pair = index}};
    if (form->least < 1 || form->most < form->least || form->most > EGG_COUNTDOWN_NUMBERS || form->high < form->low ||
        form->target_high < form->target_low)
        return egg_fail(error, EGG_ERR_ARGUMENT, "countdown with %u to %u numbers of %u to %u, targets of %u to %u: "
                        "expected 1 to %d numbers and ranges that are not empty", form->least, form->most, form->low,
                        form->high, form->target_low, form->target_high, EGG_COUNTDOWN_NUMBERS);
    for (uint32_t i = 0; i < MAX_ATTEMPTS; i++) {
        *puzzle = (egg_countdown){.count = form->least + draw_below(&words, form->most - form->least + 1)};
        for (uint32_t k = 0; k < puzzle->count; k++)
            puzzle->numbers[k] = form->low + draw_below(&words, form->high - form->low + 1);
        if (!draw_target(&words, puzzle, &puzzle->target)) continue;
        if (puzzle->target < form->target_low || puzzle->target > form->target_high) continue;
        if (egg_countdown_set_of(puzzle) == set) return EGG_OK;
    }
    return egg_fail(error, EGG_ERR_ARGUMENT, "countdown: no puzzle in %d has a target of %u to %u", MAX_ATTEMPTS,
                    form->target_low, form->target_high);
}

void egg_countdown_prompt(const egg_countdown *puzzle, egg_countdown_style style,
                          char prompt[EGG_COUNTDOWN_PROMPT_BYTES])
{
    char numbers[EGG_COUNTDOWN_NUMBERS * 12] = "";
    for (uint32_t i = 0, used = 0; i < puzzle->count; i++)
        used += (uint32_t)snprintf(numbers + used, sizeof numbers - used, "%s%u",
                                   i == 0 ? "" : style == EGG_COUNTDOWN_CHAT ? ", " : " ", puzzle->numbers[i]);
    if (style == EGG_COUNTDOWN_PLAIN) {
        snprintf(prompt, EGG_COUNTDOWN_PROMPT_BYTES, "%s = %u: ", numbers, puzzle->target);
        return;
    }
    snprintf(
        prompt, EGG_COUNTDOWN_PROMPT_BYTES,
        "User: Write an expression whose value is %u from the numbers %s. Use +, -, *, / and brackets, and each number "
        "at most once. Answer with the expression alone.\n\nAssistant: <think",
        puzzle->target, numbers);
}

/* ---------------------------------------------------------------------------------------------------- expressions */

/* A rational number with a positive denominator, in lowest terms. */
typedef struct egg_fraction {
    int64_t above, below;
} egg_fraction;

typedef struct egg_expression {
    const char *at, *end;
    uint32_t depth;
    uint32_t used[MAX_USED];     /* (count) the numbers in it */
    uint32_t count;
    bool wrong;                  /* no expression */
    bool undefined;              /* an expression without a value that fits: divided by zero, or enormous */
} egg_expression;

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

static egg_fraction reduced(egg_expression *e, int64_t above, int64_t below)
{
    if (below == 0 || above < -INT64_MAX || below < -INT64_MAX) {
        e->undefined = true;
        return (egg_fraction){0, 1};
    }
    int64_t divisor = common_divisor(above, below);
    if (below < 0) divisor = -divisor;
    return (egg_fraction){above / divisor, below / divisor};
}

static egg_fraction combined(egg_expression *e, char operation, egg_fraction x, egg_fraction y)
{
    int64_t above, below, left, right;
    bool over = false;
    if (operation == '/') {
        egg_fraction turned = reduced(e, y.below, y.above);
        y = turned;
    }
    if (operation == '*' || operation == '/') {
        over = __builtin_mul_overflow(x.above, y.above, &above);
        over |= __builtin_mul_overflow(x.below, y.below, &below);
    } else {
        over = __builtin_mul_overflow(x.above, y.below, &left);
        over |= __builtin_mul_overflow(y.above, x.below, &right);
        over |= operation == '+' ? __builtin_add_overflow(left, right, &above)
                                 : __builtin_sub_overflow(left, right, &above);
        over |= __builtin_mul_overflow(x.below, y.below, &below);
    }
    e->undefined |= over;
    return over ? (egg_fraction){0, 1} : reduced(e, above, below);
}

/* The next character that is no blank, 0 at the end. */
static char peek(egg_expression *e)
{
    while (e->at < e->end && (*e->at == ' ' || *e->at == '\t')) e->at++;
    return e->at < e->end ? *e->at : '\0';
}

static egg_fraction read_sum(egg_expression *e);

static egg_fraction read_whole(egg_expression *e)
{
    int64_t value = 0;
    for (; e->at < e->end && *e->at >= '0' && *e->at <= '9'; e->at++) {
        value = value * 10 + (*e->at - '0');
        if (value > UINT32_MAX) value = UINT32_MAX;   /* no puzzle has that */
    }
    if (e->count < MAX_USED) e->used[e->count++] = (uint32_t)value;
    else e->wrong = true;
    return (egg_fraction){value, 1};
}

static egg_fraction read_factor(egg_expression *e)
{
    egg_fraction value = {0, 1};
    char c = peek(e);
    if (e->wrong || ++e->depth > MAX_DEPTH) {
        e->wrong = true;
    } else if (c == '(') {
        e->at++;
        value = read_sum(e);
        if (peek(e) == ')') e->at++;
        else e->wrong = true;
    } else if (c == '-') {
        e->at++;
        value = read_factor(e);
        value.above = -value.above;
    } else if (c >= '0' && c <= '9') {
        value = read_whole(e);
    } else {
        e->wrong = true;
    }
    e->depth--;
    return value;
}

static egg_fraction read_product(egg_expression *e)
{
    egg_fraction value = read_factor(e);
    for (char c; !e->wrong && ((c = peek(e)) == '*' || c == '/');) {
        e->at++;
        value = combined(e, c, value, read_factor(e));
    }
    return value;
}

static egg_fraction read_sum(egg_expression *e)
{
    egg_fraction value = read_product(e);
    for (char c; !e->wrong && ((c = peek(e)) == '+' || c == '-');) {
        e->at++;
        value = combined(e, c, value, read_product(e));
    }
    return value;
}

/* ---------------------------------------------------------------------------------------------------------- scoring */

/* Cuts blanks and newlines from both ends. */
static void trim(const char **text, size_t *bytes)
{
    while (*bytes && strchr(" \t\r\n", **text)) ++*text, --*bytes;
    while (*bytes && strchr(" \t\r\n", (*text)[*bytes - 1])) --*bytes;
}

/* The answer in a completion, without "= value" behind it; false where there is none. */
static bool find_answer(egg_countdown_style style, const char **text, size_t *bytes)
{
    static const char mark[] = "</think>";
    if (style == EGG_COUNTDOWN_CHAT) {
        const char *found = memmem(*text, *bytes, mark, sizeof mark - 1);
        if (!found) return false;
        *bytes -= (size_t)(found - *text) + sizeof mark - 1;
        *text = found + sizeof mark - 1;
        trim(text, bytes);
    } else {
        const char *newline = memchr(*text, '\n', *bytes);
        if (newline) *bytes = (size_t)(newline - *text);
    }
    const char *equals = memchr(*text, '=', *bytes);
    if (equals) *bytes = (size_t)(equals - *text);
    trim(text, bytes);
    return *bytes > 0;
}

/* Whether the numbers used are among the puzzle's; 'once': each no more often than there. */
static bool uses_only(const egg_expression *e, const egg_countdown *puzzle, bool once)
{
    bool taken[EGG_COUNTDOWN_NUMBERS] = {false};
    for (uint32_t i = 0; i < e->count; i++) {
        uint32_t k = 0;
        while (k < puzzle->count && (puzzle->numbers[k] != e->used[i] || (once && taken[k]))) k++;
        if (k == puzzle->count) return false;
        taken[k] = true;
    }
    return true;
}

static double score(const egg_countdown *puzzle, egg_countdown_style style, const char *completion, size_t bytes,
                    bool once, double no_expression, double other)
{
    if (!find_answer(style, &completion, &bytes)) return 0;
    egg_expression e = {.at = completion, .end = completion + bytes};
    egg_fraction value = read_sum(&e);
    if (e.wrong || peek(&e) || e.at != e.end) return no_expression;
    bool right = !e.undefined && value.below == 1 && value.above == puzzle->target;
    return right && uses_only(&e, puzzle, once) ? 1 : other;
}

double egg_countdown_strict(const egg_countdown *puzzle, egg_countdown_style style, const char *completion,
                            size_t bytes)
{
    return score(puzzle, style, completion, bytes, true, 0, 0);
}

double egg_countdown_graded(const egg_countdown *puzzle, egg_countdown_style style, const char *completion,
                            size_t bytes)
{
    return score(puzzle, style, completion, bytes, false, 0.01, 0.05);
}
