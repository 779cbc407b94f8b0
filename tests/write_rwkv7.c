/* SPDX-License-Identifier: MIT */
/* Writes a small random RWKV-7, for scripts. Usage: write_rwkv7 FILE */
#include <stdio.h>

#include "random_rwkv7.h"

int main(int count, char **words)
{
    const egg_rwkv7_shape shape = {.vocabulary = 256, .width = 32, .layers = 2, .head_size = 16, .hidden = 64,
                                   .w_rank = 16, .a_rank = 16, .v_rank = 16, .g_rank = 16};
    if (count != 2) {
        fputs("usage: write_rwkv7 FILE\n", stderr);
        return 2;
    }
    random_rwkv7_write(&(random_rwkv7){.path = words[1], .shape = shape, .type = EGG_TENSOR_F32});
    return 0;
}
