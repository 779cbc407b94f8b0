/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_GAME2048_H
#define EGG_ENVS_GAME2048_H

#include "random/noise.h"

enum { EGG_GAME2048_SIDE = 4, EGG_GAME2048_CELLS = EGG_GAME2048_SIDE * EGG_GAME2048_SIDE };

/* The state of Game2048. */
typedef struct egg_game2048 {
    uint8_t board[EGG_GAME2048_CELLS];   /* row by row; 0 is empty, else the exponent of 2 */
    uint32_t score, moves;
    egg_words words;
} egg_game2048;

#endif
