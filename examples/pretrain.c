/* SPDX-License-Identifier: MIT */
/* Trains a small language model on the file named on the command line for ten seconds and writes a sample. */
#include <eggroll.h>
#include <stdio.h>

static bool print(void *context, uint32_t stream, const char *text, size_t bytes)
{
    (void)context, (void)stream;
    return fwrite(text, 1, bytes, stdout) == bytes;
}

int main(int argc, char **argv)
{
    egg_error error = {0};
    egg_epoch_stats stats;
    egg_trainer *trainer = NULL;
    egg_model *model = NULL;
    const char *text[] = {argc > 1 ? argv[1] : "README.md"}, *run = argc > 2 ? argv[2] : "example-run";
    egg_options *pretrain = egg_options_new("pretrain"), *generate = egg_options_new("generate");

    bool ok = !egg_options_set(pretrain, "minutes", argc > 3 ? argv[3] : "0.17", &error) &&
              !egg_options_set(pretrain, "out", run, &error) && !egg_trainer_open(&trainer, pretrain, text, 1, &error);
    while (ok && !egg_trainer_finished(trainer)) ok = !egg_trainer_epoch(trainer, &stats, &error);
    if (ok) printf("%.3f bits per byte\n", stats.valid_bits_per_byte);
    ok = ok && !egg_trainer_save(trainer, &error) && !egg_model_open(&model, run, &error) &&
         !egg_model_generate(model, generate, print, NULL, &error);
    printf("%s\n", ok ? "" : error.text);

    egg_model_close(model);
    egg_trainer_close(trainer);
    egg_options_free(pretrain);
    egg_options_free(generate);
    return ok ? 0 : 1;
}
