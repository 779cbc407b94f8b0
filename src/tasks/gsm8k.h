/* SPDX-License-Identifier: MIT */
/*
 * GSM8K, grade-school word problems: {"question", "answer"} a line, the answer's last line "#### 72". A completion is
 * right if the last number behind its "</think>" is that one.
 */
#ifndef EGG_TASKS_GSM8K_H
#define EGG_TASKS_GSM8K_H

#include <stddef.h>

#include "base/status.h"

/* "User: <question>\n\nAssistant: <think"; egg_free() it. NULL without memory. */
char *egg_gsm8k_prompt(const char *question);

/* EGG_ERR_FORMAT where the answer has no number behind "####". */
egg_status egg_gsm8k_check(const char *answer, egg_error *error);

/* 1 or 0; 0 for a completion without "</think>". Numbers are compared by value: "$1,000.50." is 1000.5. */
double egg_gsm8k_reward(const char *answer, const char *completion, size_t bytes);

#endif
