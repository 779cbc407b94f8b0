/* SPDX-License-Identifier: MIT */
#include "envs/draw.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

egg_drawing egg_drawing_begin(char *text, size_t bytes)
{
    if (bytes) *text = 0;
    return (egg_drawing){.text = text, .bytes = bytes, .full = bytes == 0};
}

void egg_draw(egg_drawing *drawing, const char *format, ...)
{
    if (drawing->full) return;
    size_t left = drawing->bytes - drawing->used;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(drawing->text + drawing->used, left, format, arguments);
    va_end(arguments);
    drawing->full = length < 0 || (size_t)length >= left;
    if (drawing->full)
        drawing->text[drawing->used] = 0;
    else
        drawing->used += (size_t)length;
}

void egg_canvas_dot(egg_canvas *canvas, double x, double y)
{
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    x = floor(x + 0.5);
    y = floor(y + 0.5);
    if (!(x >= 0 && x < EGG_CANVAS_WIDTH && y >= 0 && y < EGG_CANVAS_HEIGHT)) return;   /* nor what is not a number */
    uint32_t column = (uint32_t)x, row = (uint32_t)y;
    canvas->dots[row / 4][column / 2] |= bit[row % 4][column % 2];
}

void egg_canvas_line(egg_canvas *canvas, double x0, double y0, double x1, double y1)
{
    double longer = fmax(fabs(x1 - x0), fabs(y1 - y0));
    uint32_t steps = (uint32_t)fmin(ceil(longer), EGG_CANVAS_WIDTH + EGG_CANVAS_HEIGHT);
    for (uint32_t i = 0; i <= steps; i++) {
        double t = steps ? (double)i / steps : 0;
        egg_canvas_dot(canvas, x0 + t * (x1 - x0), y0 + t * (y1 - y0));
    }
}

void egg_canvas_disc(egg_canvas *canvas, double x, double y, double radius)
{
    int reach = (int)ceil(radius);
    for (int dy = -reach; dy <= reach; dy++)
        for (int dx = -reach; dx <= reach; dx++)
            if (dx * dx + dy * dy <= radius * radius) egg_canvas_dot(canvas, x + dx, y + dy);
}

void egg_draw_canvas(egg_drawing *drawing, const egg_canvas *canvas)
{
    for (uint32_t row = 0; row < EGG_CANVAS_ROWS; row++) {
        for (uint32_t column = 0; column < EGG_CANVAS_COLUMNS; column++) {
            uint32_t dots = canvas->dots[row][column];   /* U+2800 + dots, in UTF-8 */
            if (dots)
                egg_draw(drawing, "\xe2%c%c", (int)(0xa0 | dots >> 6), (int)(0x80 | (dots & 63)));
            else
                egg_draw(drawing, " ");
        }
        egg_draw(drawing, "\n");
    }
}
