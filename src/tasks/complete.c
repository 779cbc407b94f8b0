/* SPDX-License-Identifier: MIT */
#include "tasks/complete.h"

#include "base/memory.h"
#include "data/tokenizer.h"

/* What a slot of the decoder is at work on. */
typedef struct egg_job {
    uint32_t member, question, count;
    uint32_t *tokens;            /* (max_tokens) drawn so far */
    egg_words words;
    bool busy;
} egg_job;

struct egg_completer {
    egg_completing completing;
    egg_decoder *decoder;
    egg_sampler sampler;
    egg_job *jobs;               /* (slots) */
    uint32_t *tokens;            /* (slots, max_tokens) */
    uint32_t slots;
};

egg_status egg_completer_open(egg_completer **out, const egg_rwkv7 *model, const egg_kernels *kernels,
                              const egg_decoder_shape *shape, const egg_completing *completing, egg_error *error)
{
    egg_status status = EGG_OK;
    egg_completer *completer = egg_alloc(sizeof *completer);
    *out = NULL;
    if (!completer) return egg_fail(error, EGG_ERR_NOMEM, "no memory for completions");
    completer->completing = *completing;
    completer->slots = shape->slots;
    completer->jobs = egg_alloc_array(shape->slots, sizeof *completer->jobs);
    completer->tokens = egg_alloc_array(shape->slots, completing->max_tokens * sizeof *completer->tokens);
    if (!completer->jobs || !completer->tokens) {
        status = egg_fail(error, EGG_ERR_NOMEM, "no memory for %u completions of %u tokens at once", shape->slots,
                          completing->max_tokens);
        goto out;
    }
    for (uint32_t i = 0; i < shape->slots; i++)
        completer->jobs[i].tokens = completer->tokens + (size_t)i * completing->max_tokens;
    EGG_TRY(egg_sampler_open(&completer->sampler, &completing->sampling, model->shape.vocabulary, error));
    EGG_TRY(egg_decoder_open(&completer->decoder, model, kernels, shape, error));
    *out = completer;
    completer = NULL;
out:
    egg_completer_close(completer);
    return status;
}

void egg_completer_close(egg_completer *completer)
{
    if (!completer) return;
    egg_decoder_close(completer->decoder);
    egg_sampler_close(&completer->sampler);
    egg_free(completer->jobs);
    egg_free(completer->tokens);
    egg_free(completer);
}

static void start_job(egg_completer *completer, uint32_t slot, uint32_t member, const egg_question *questions,
                      uint32_t q, uint32_t epoch)
{
    egg_job *job = &completer->jobs[slot];
    *job = (egg_job){.member = member, .question = q, .tokens = job->tokens, .busy = true,
                     .words = {.key = egg_key_make(completer->completing.sampling.seed, EGG_DOMAIN_SAMPLING),
                               .at = {.epoch = epoch, .pair = questions[q].stream}}};
    egg_decoder_start(completer->decoder, slot, member, questions[q].tokens, questions[q].count);
}

/* One more token of the slot's completion; true where that is its end. */
static bool extend(egg_completer *completer, egg_job *job, const float *logits, egg_completer_stats *stats)
{
    const egg_completing *completing = &completer->completing;
    uint32_t token = egg_sampler_draw(&completer->sampler, logits, egg_words_uniform(&job->words));
    stats->completion_tokens++;
    if (token == EGG_TOKEN_END) return true;
    job->tokens[job->count++] = token;
    return job->count == completing->max_tokens ||
           (completing->is_whole && completing->is_whole(completing->context, job->tokens, job->count));
}

bool egg_completer_run(egg_completer *completer, const egg_bank *bank, uint32_t members, const egg_question *questions,
                       uint32_t count, uint32_t epoch, egg_completer_stats *stats)
{
    egg_completer_stats unused = {0};
    const egg_completing *completing = &completer->completing;
    uint64_t next = 0, all = (uint64_t)members * count;
    if (!stats) stats = &unused;
    for (;;) {
        for (uint32_t s = 0; s < completer->slots && next < all; s++) {
            if (completer->jobs[s].busy) continue;
            /* Members of a question side by side: completions alike in length end at about the same time. */
            uint32_t q = (uint32_t)(next / members);
            start_job(completer, s, (uint32_t)(next % members), questions, q, epoch);
            stats->prompt_tokens += questions[q].count;
            next++;
        }
        if (!egg_decoder_step(completer->decoder, bank, NULL)) return !egg_decoder_failed(completer->decoder);
        for (uint32_t s = 0; s < completer->slots; s++) {
            egg_job *job = &completer->jobs[s];
            const float *logits = job->busy ? egg_decoder_logits(completer->decoder, s) : NULL;
            if (!logits) continue;
            if (!extend(completer, job, logits, stats)) {
                egg_decoder_push(completer->decoder, s, job->tokens[job->count - 1]);
                continue;
            }
            completing->done(completing->context, job->member, job->question, job->tokens, job->count);
            egg_decoder_stop(completer->decoder, s);
            job->busy = false;
        }
    }
}
