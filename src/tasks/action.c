/* SPDX-License-Identifier: MIT */
#include "tasks/action.h"

#include <math.h>

/* The legal action with the highest logit; 'legal' (n): 1 or 0, or NULL: all are. The first where none is. */
static uint32_t likeliest(const float *logits, const float *legal, uint32_t n)
{
    uint32_t best = n;
    for (uint32_t i = 0; i < n; i++)
        if ((!legal || legal[i] != 0) && (best == n || logits[i] > logits[best])) best = i;
    return best < n ? best : 0;
}

/* A legal action drawn with probabilities softmax(logits). */
static uint32_t draw_category(const float *logits, const float *legal, uint32_t n, egg_words *luck)
{
    uint32_t best = likeliest(logits, legal, n);
    float sum = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!legal || legal[i] != 0) sum += expf(logits[i] - logits[best]);
    float left = egg_env_uniform(luck) * sum;
    for (uint32_t i = 0; i < n; i++) {
        if (legal && legal[i] == 0) continue;
        left -= expf(logits[i] - logits[best]);
        if (left < 0) return i;
    }
    return best;   /* rounding left a rest of the draw */
}

/* A diagonal Gaussian around the outputs; 1 and -1 stand for the bounds of the action. */
static void draw_continuous(const egg_env *env, const float *y, const float *log_std, egg_words *luck, float *action)
{
    for (uint32_t i = 0; i < env->actions; i++) {
        float a = y[i], noise[2];
        if (luck) {
            uint32_t first = egg_words_next(luck), second = egg_words_next(luck);
            egg_normal_f32(first, second, noise);
            a += expf(log_std[i]) * noise[0];
        }
        a = a > 1 ? 1 : a > -1 ? a : -1;
        action[i] = env->action_low + 0.5f * (a + 1) * (env->action_high - env->action_low);
    }
}

void egg_action_choose(const egg_env *env, const float *observation, const float *y, const float *log_std,
                       egg_words *luck, float *action)
{
    const float *legal = env->mask_at ? observation + env->mask_at - 1 : NULL;
    if (!env->discrete) draw_continuous(env, y, log_std, luck, action);
    else if (luck) action[0] = (float)draw_category(y, legal, env->actions, luck);
    else action[0] = (float)likeliest(y, legal, env->actions);
}
