/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "command.h"
#include "text.h"

static void print_score(const egg_score *score, bool json)
{
    char bytes[TEXT_BYTES], rate[TEXT_BYTES];
    double speed = score->seconds > 0 ? (double)score->bytes / score->seconds : 0;
    unsigned long long documents = score->documents;
    if (json)
        printf("{\"bits_per_byte\": %.6f, \"bytes\": %llu, \"documents\": %llu, \"seconds\": %.3f, "
               "\"bytes_per_second\": %.0f}\n",
               score->bits_per_byte, (unsigned long long)score->bytes, documents, score->seconds, speed);
    else
        printf("%.4f bits per byte; %s in %llu document%s, %s\n", score->bits_per_byte,
               text_scaled(bytes, (double)score->bytes, "B"), documents, documents == 1 ? "" : "s",
               text_scaled(rate, speed, "B/s"));
}

static void print_returns(const egg_returns *returns, bool json)
{
    unsigned long long episodes = returns->episodes, steps = returns->env_steps;
    if (json)
        printf("{\"return_mean\": %.6f, \"return_std\": %.6f, \"return_best\": %.6f, \"return_worst\": %.6f, "
               "\"episodes\": %llu, \"env_steps\": %llu, \"seconds\": %.3f}\n",
               returns->mean, returns->deviation, returns->best, returns->worst, episodes, steps, returns->seconds);
    else
        printf("mean return %.3f, standard deviation %.3f, from %.3f to %.3f; %llu episodes, %llu steps\n",
               returns->mean, returns->deviation, returns->worst, returns->best, episodes, steps);
}

static int eval_policy(const struct invocation *invocation)
{
    egg_error error;
    egg_policy *policy;
    egg_returns returns;
    if (invocation->operand_count > 1)
        return report_usage(invocation->command, "'%s': a policy is scored in its environment, not on data",
                            invocation->operands[1]);
    egg_status status = egg_policy_open_with(&policy, invocation->operands[0], invocation->options, &error);
    if (status == EGG_OK) status = egg_policy_evaluate(policy, invocation->options, &returns, &error);
    if (status == EGG_OK) print_returns(&returns, wants_json(invocation));
    egg_policy_close(policy);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

static int eval(const struct invocation *invocation)
{
    egg_error error;
    egg_model *model;
    egg_score score;
    if (egg_policy_is(invocation->operands[0])) return eval_policy(invocation);
    if (invocation->operand_count < 2) return report_usage(invocation->command, "DATA is missing");
    egg_status status = egg_model_open_with(&model, invocation->operands[0], invocation->options, &error);
    if (status == EGG_OK)
        status = egg_model_score(model, invocation->options, invocation->operands + 1, invocation->operand_count - 1,
                                 &score, &error);
    if (status == EGG_OK) print_score(&score, wants_json(invocation));
    egg_model_close(model);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

const struct command command_eval = {
    .name = "eval",
    .summary = "score text with a model, or a policy",
    .synopsis = {"MODEL DATA... [option...]", "RUN [--episodes N] [option...]"},
    .operands = {"MODEL", "DATA"},
    .least = 1,
    .many = true,
    .description =
        "Tells how many bits a byte of DATA costs under MODEL, a .safetensors file or the folder of a run: fewer are "
        "better. Each document begins with the state at zero; its first byte is read but not scored. DATA are what "
        "pretrain takes.\n\n"
        "MODEL may also be a published RWKV-7: a .safetensors file, or the index of several. Its World vocabulary is "
        "given with --vocab; the first token of each document is read but not scored. --weights bf16 and int8 take a "
        "half and a quarter of the memory of f32; all compute in float32.\n\n"
        "With --json the result has the keys bits_per_byte, bytes (scored), documents, seconds and "
        "bytes_per_second.\n\n"
        "A policy (the run of `eggroll rl`) plays N episodes of its environment instead, on seeds that no training "
        "used; the keys are return_mean, return_std, return_best, return_worst, episodes, env_steps and seconds.",
    .examples = {{"eggroll eval runs/first held-out.txt", "the score of a text"},
                 {"eggroll eval runs/cartpole --episodes 100 --json", "the mean return of a policy"},
                 {"eggroll eval model.safetensors reviews.jsonl.zst --field body --json", "packed lines of JSON"}},
    .run = eval,
};
