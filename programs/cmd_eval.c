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

static int eval(const struct invocation *invocation)
{
    egg_error error;
    egg_model *model;
    egg_score score;
    egg_status status = egg_model_open(&model, invocation->operands[0], &error);
    if (status == EGG_OK)
        status = egg_model_score(model, invocation->options, invocation->operands + 1, invocation->operand_count - 1,
                                 &score, &error);
    if (status == EGG_OK) print_score(&score, wants_json(invocation));
    egg_model_close(model);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

const struct command command_eval = {
    .name = "eval",
    .summary = "score text with a model",
    .synopsis = {"MODEL DATA... [option...]"},
    .operands = {"MODEL", "DATA"},
    .least = 2,
    .many = true,
    .description =
        "Tells how many bits a byte of DATA costs under MODEL, a .safetensors file or the folder of a run: fewer are "
        "better. Each document begins with the state at zero; its first byte is read but not scored. DATA are what "
        "pretrain takes.\n\n"
        "With --json the result has the keys bits_per_byte, bytes (scored), documents, seconds and bytes_per_second.",
    .examples = {{"eggroll eval runs/first held-out.txt", "the score of a text"},
                 {"eggroll eval model.safetensors reviews.jsonl.zst --field body --json", "packed lines of JSON"}},
    .run = eval,
};
