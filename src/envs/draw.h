/* SPDX-License-Identifier: MIT */
/* What environments draw with: text that stays within its buffer, and a canvas of dots for line drawings. */
#ifndef EGG_ENVS_DRAW_H
#define EGG_ENVS_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Text that grows in 'text'. A piece that does not fit whole ends the drawing, so that no character is cut. */
typedef struct egg_drawing {
    char *text;
    size_t bytes, used;
    bool full;
} egg_drawing;

egg_drawing egg_drawing_begin(char *text, size_t bytes);
void egg_draw(egg_drawing *drawing, const char *format, ...) EGG_PRINTF(2, 3);

/* Dots, 2 x 4 a character (the Unicode patterns of Braille), so about square; x to the right, y down. */
enum { EGG_CANVAS_COLUMNS = 50, EGG_CANVAS_ROWS = 12 };
enum { EGG_CANVAS_WIDTH = 2 * EGG_CANVAS_COLUMNS, EGG_CANVAS_HEIGHT = 4 * EGG_CANVAS_ROWS };

typedef struct egg_canvas {
    uint8_t dots[EGG_CANVAS_ROWS][EGG_CANVAS_COLUMNS];
} egg_canvas;

/* What lies outside is not drawn. */
void egg_canvas_dot(egg_canvas *canvas, double x, double y);
void egg_canvas_line(egg_canvas *canvas, double x0, double y0, double x1, double y1);
void egg_canvas_disc(egg_canvas *canvas, double x, double y, double radius);
void egg_draw_canvas(egg_drawing *drawing, const egg_canvas *canvas);

#endif
