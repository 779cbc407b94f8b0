/* SPDX-License-Identifier: MIT */
#include "nn/pass.h"

egg_pass egg_pass_begin(const egg_kernels *kernels, egg_arena *arena, const egg_perturb *law, uint32_t first_pair,
                        uint32_t members)
{
    return (egg_pass){.kernels = kernels, .arena = arena, .law = law, .first_pair = first_pair, .members = members};
}

egg_pass egg_pass_begin_rows(const egg_kernels *kernels, egg_arena *arena, const egg_bank *bank,
                             const uint32_t *row_member, uint32_t rows)
{
    return (egg_pass){.kernels = kernels, .arena = arena, .law = bank ? &bank->law : NULL, .bank = bank,
                      .row_member = row_member, .rows = rows, .members = bank ? 2 * bank->slots : rows};
}

egg_pass_key egg_pass_key_of(const void *owner, const egg_bank *bank, uint32_t rows, uint32_t sequences,
                             uint32_t wanted)
{
    egg_pass_key key = {.owner = owner, .bank = bank, .rows = rows, .sequences = sequences, .wanted = wanted};
    _Static_assert(sizeof key == 2 * sizeof(void *) + 6 * sizeof(uint32_t), "all bytes of a key are compared");
    if (bank) {
        key.rank = bank->law.rank;
        key.c = bank->law.c;
        key.sigma = bank->law.sigma;
    }
    return key;
}

void *egg_pass_take(egg_pass *pass, size_t bytes)
{
    void *memory = pass->failed ? NULL : egg_arena_take(pass->arena, bytes);
    if (!memory) pass->failed = true;
    return memory;
}
