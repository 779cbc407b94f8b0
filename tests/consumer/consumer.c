/* SPDX-License-Identifier: MIT */
/* Uses enough of the library that every library beneath it must be found, and prints its version. */
#include <eggroll.h>
#include <stdio.h>

int main(void)
{
    char *json = NULL;
    egg_error error = {0};
    if (egg_build_info(&json, &error)) return fprintf(stderr, "%s\n", error.text), 1;
    egg_text_free(json);
    return puts(egg_version()) < 0;
}
