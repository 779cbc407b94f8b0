/* SPDX-License-Identifier: MIT */
#ifndef EGG_ENVS_SNAKE_H
#define EGG_ENVS_SNAKE_H

#include "random/noise.h"

enum { EGG_SNAKE_SIDE = 12, EGG_SNAKE_CELLS = EGG_SNAKE_SIDE * EGG_SNAKE_SIDE };

/* The state of Snake. */
typedef struct egg_snake {
    int16_t body[EGG_SNAKE_CELLS];   /* row by row; 0: no snake; 1 for the tail, one more for each part to the head */
    int16_t head_row, head_column;   /* one step outside the board after the step that ends an episode so */
    int16_t fruit;                   /* index of its cell */
    int16_t length;
    uint32_t steps;
    egg_words words;
} egg_snake;

#endif
