/* SPDX-License-Identifier: MIT */
/* The block that runs, as the emulator's own files see it. */
#ifndef EGG_TESTS_CUDA_EMULATOR_BLOCK_H
#define EGG_TESTS_CUDA_EMULATOR_BLOCK_H

#include "cuda_emulator.h"

/* Says which kernel, block and thread it was, and ends the process. */
[[noreturn]] void egg_emulator_fail(const char *text);

uint32_t egg_emulator_random(void);

uint32_t egg_emulator_thread(void);   /* the one that runs, in its block */

/* Chunks of 16 bytes of the launch's shared memory. */
enum { EGG_EMULATOR_CHUNK = 16 };
const char *egg_emulator_chunk(uint32_t address);                       /* fails if there is none */
bool egg_emulator_is_fenced(uint32_t address);                          /* what cp.async wrote there */
void egg_emulator_add_readers(uint32_t address, int32_t readers);       /* asynchronous; nobody may write meanwhile */

float egg_emulator_bf16(uint16_t bits);

/* Before and after the threads of a block. */
void egg_emulator_products_begin(void);
void egg_emulator_products_end(void);

#endif
