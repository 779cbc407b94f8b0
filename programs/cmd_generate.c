/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "text.h"

/* Several texts grow side by side; they are shown one after the other, when all are done. */
struct texts {
    uint32_t streams;
    size_t bytes;                  /* of each */
    char *data;                    /* (streams, bytes); NULL: one stream, printed as it comes */
    size_t *used;                  /* (streams) */
    char last;                     /* printed */
    const char *prompt;            /* still to be printed, once it is known that there will be text; or NULL */
};

static void print_prompt(struct texts *texts)
{
    if (texts->prompt) fputs(texts->prompt, stdout);
    texts->prompt = NULL;
}

static bool take(void *context, uint32_t stream, const char *text, size_t bytes)
{
    struct texts *texts = context;
    if (!texts->data) {
        print_prompt(texts);
        if (bytes) texts->last = text[bytes - 1];
        return fwrite(text, 1, bytes, stdout) == bytes && fflush(stdout) == 0;
    }
    for (size_t i = 0; i < bytes && texts->used[stream] < texts->bytes; i++)
        texts->data[stream * texts->bytes + texts->used[stream]++] = text[i];
    return true;
}

static void print_texts(const struct texts *texts, const char *prompt)
{
    for (uint32_t s = 0; s < texts->streams; s++) {
        printf("--- %u ---\n%s", s + 1, prompt);
        fwrite(texts->data + s * texts->bytes, 1, texts->used[s], stdout);
        putchar('\n');
    }
}

static bool open_texts(struct texts *texts, egg_options *options)
{
    *texts = (struct texts){.streams = (uint32_t)strtoul(egg_options_get(options, "streams"), NULL, 10),
                            .bytes = strtoul(egg_options_get(options, "bytes"), NULL, 10)};
    if (texts->streams == 1) return true;
    if (texts->bytes > SIZE_MAX / texts->streams) return false;
    texts->data = malloc(texts->streams * texts->bytes);
    texts->used = calloc(texts->streams, sizeof *texts->used);
    return texts->data && texts->used;
}

static egg_status write_texts(egg_model *model, egg_options *options, egg_error *error)
{
    struct texts texts;
    egg_status status = EGG_ERR_NOMEM;
    if (open_texts(&texts, options)) {
        const char *prompt = egg_options_get(options, "prompt");
        if (!texts.data) texts.prompt = prompt;
        status = egg_model_generate(model, options, take, &texts, error);
        if (status == EGG_OK) print_prompt(&texts);   /* no text at all */
        if (status == EGG_OK && texts.data) print_texts(&texts, prompt);
        /* A file gets the bytes alone; a terminal's next prompt belongs on a line of its own. */
        if (!texts.data && texts.last != '\n' && text_columns(stdout)) putchar('\n');
    } else {
        *error = (egg_error){.status = status};
        snprintf(error->text, sizeof error->text, "--streams: no memory for %u texts of %zu bytes", texts.streams,
                 texts.bytes);
    }
    free(texts.data);
    free(texts.used);
    return status;
}

static int generate(const struct invocation *invocation)
{
    egg_error error;
    egg_model *model;
    egg_status status = egg_model_open_with(&model, invocation->operands[0], invocation->options, &error);
    if (status == EGG_OK) status = write_texts(model, invocation->options, &error);
    egg_model_close(model);
    return status == EGG_OK ? STATUS_OK : report(invocation->command, &error);
}

const struct command command_generate = {
    .name = "generate",
    .summary = "let a model write",
    .synopsis = {"MODEL [option...]"},
    .operands = {"MODEL"},
    .least = 1,
    .description =
        "Continues a prompt with MODEL, a .safetensors file or the folder of a run. The prompt and what follows go to "
        "standard output as they come; several streams are printed one after the other, each under a line with its "
        "number. The same seed gives the same text.\n\n"
        "An RWKV-7 whose weights are held as bf16 or int8 (--weights) takes a half and a quarter of the memory of f32 "
        "and writes a single text faster, since reading the weights is what takes the time. bf16 changes nothing where "
        "the file is BF16.",
    .examples = {{"eggroll generate runs/first --prompt 'Once upon a time'", "500 bytes"},
                 {"eggroll generate runs/first --streams 4 --temperature 1 --top-p 0.9 --seed 7", "four bolder texts"}},
    .run = generate,
};
