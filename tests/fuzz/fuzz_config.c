/* SPDX-License-Identifier: MIT */
/* Any bytes as a configuration file: refused with a text, or taken and then written so that they read back the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "train/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_round_trip(const egg_options *options, const char *command)
{
    egg_options *back = egg_options_new(command);
    char *json, *again;
    check(egg_options_write_json(options, NULL, 0, &json, NULL) == EGG_OK);
    check(egg_options_parse_json(back, json, strlen(json), "written", NULL) == EGG_OK);
    check(egg_options_write_json(back, NULL, 0, &again, NULL) == EGG_OK);
    check(strcmp(json, again) == 0);
    egg_free(json);
    egg_free(again);
    egg_options_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const commands[] = {"pretrain", "eval", "generate"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        egg_options *options = egg_options_new(commands[i]);
        egg_error error = {0};
        egg_status status = egg_options_parse_json(options, (const char *)data, size, "input", &error);
        check(status == EGG_OK || ((status == EGG_ERR_FORMAT || status == EGG_ERR_ARGUMENT) && error.text[0]));
        if (status == EGG_OK) check_round_trip(options, commands[i]);
        egg_options_free(options);
    }
    return 0;
}
