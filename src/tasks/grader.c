/* SPDX-License-Identifier: MIT */
#include "tasks/grader.h"

#include "base/memory.h"
#include "tasks/gsm8k.h"
#include "tasks/reward_library.h"

struct egg_grader {
    egg_grader_shape shape;
    egg_reward_process *process;
    egg_reward_handle library;
    egg_reward_request requests[EGG_GRADER_MOST];
};

egg_status egg_grader_open(egg_grader **out, const egg_grader_shape *shape, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_grader *grader = egg_alloc(sizeof *grader);
    *out = NULL;
    if (!grader) return egg_fail(error, EGG_ERR_NOMEM, "no memory for rewards");
    grader->shape = *shape;
    if (shape->kind == EGG_GRADER_PROCESS) EGG_TRY(egg_reward_process_open(&grader->process, &shape->process, error));
    if (shape->kind == EGG_GRADER_LIBRARY) EGG_TRY(egg_reward_library_open(&grader->library, shape->library, error));
    *out = grader;
    grader = NULL;
out:
    egg_grader_close(grader);
    return status;
}

void egg_grader_close(egg_grader *grader)
{
    if (!grader) return;
    egg_reward_process_close(grader->process);
    egg_reward_library_close(&grader->library);
    egg_free(grader);
}

static double grade_countdown(const egg_grader_shape *shape, const egg_graded *item)
{
    const egg_countdown *puzzle = &item->question->puzzle;
    return shape->graded ? egg_countdown_graded(puzzle, shape->style, item->completion, item->bytes)
                         : egg_countdown_strict(puzzle, shape->style, item->completion, item->bytes);
}

static egg_status ask(egg_grader *grader, const egg_graded *items, size_t count, double *rewards, egg_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const egg_question *question = items[i].question;
        grader->requests[i] = (egg_reward_request){.prompt = question->prompt, .prompt_bytes = question->prompt_bytes,
                                                   .completion = items[i].completion,
                                                   .completion_bytes = items[i].bytes,
                                                   .row = question->row, .row_bytes = question->row_bytes};
    }
    if (grader->process) return egg_reward_process_run(grader->process, grader->requests, count, rewards, error);
    return egg_reward_library_run(&grader->library, grader->requests, count, rewards, error);
}

egg_status egg_grader_run(egg_grader *grader, const egg_graded *items, size_t count, double *rewards, egg_error *error)
{
    switch (grader->shape.kind) {
    case EGG_GRADER_COUNTDOWN:
        for (size_t i = 0; i < count; i++) rewards[i] = grade_countdown(&grader->shape, &items[i]);
        return EGG_OK;
    case EGG_GRADER_GSM8K:
        for (size_t i = 0; i < count; i++)
            rewards[i] = egg_gsm8k_reward(items[i].question->answer, items[i].completion, items[i].bytes);
        return EGG_OK;
    case EGG_GRADER_PROCESS:
    case EGG_GRADER_LIBRARY: break;
    }
    return ask(grader, items, count, rewards, error);
}

uint64_t egg_grader_restarts(const egg_grader *grader)
{
    return grader->process ? egg_reward_process_restarts(grader->process) : 0;
}
