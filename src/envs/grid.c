/* SPDX-License-Identifier: MIT */
#include "envs/grid.h"

#include <string.h>

#include "envs/draw.h"

typedef struct tile_kind {
    uint8_t object, color, state;   /* MiniGrid's numbers */
    uint8_t plane;                  /* of the observation */
    bool opaque, walkable;
    const char *picture;            /* two columns wide */
} tile_kind;

static const tile_kind kinds[] = {
    [EGG_TILE_UNSEEN] = {.object = 0, .picture = "  "},
    [EGG_TILE_EMPTY] = {.object = 1, .plane = 0, .walkable = true, .picture = "  "},
    [EGG_TILE_WALL] = {.object = 2, .color = 5, .plane = 1, .opaque = true, .picture = "██"},
    [EGG_TILE_GOAL] = {.object = 8, .color = 1, .plane = 2, .walkable = true, .picture = "▒▒"},
    [EGG_TILE_BALL] = {.object = 6, .color = 2, .plane = 3, .picture = "()"},
    [EGG_TILE_KEY] = {.object = 5, .color = 4, .plane = 3, .picture = "o╖"},
    [EGG_TILE_DOOR_OPEN] = {.object = 4, .color = 4, .state = 0, .plane = 4, .walkable = true, .picture = "╷╷"},
    [EGG_TILE_DOOR_CLOSED] = {.object = 4, .color = 4, .state = 1, .plane = 5, .opaque = true, .picture = "├┤"},
    [EGG_TILE_DOOR_LOCKED] = {.object = 4, .color = 4, .state = 2, .plane = 6, .opaque = true, .picture = "╠╣"},
};

/* A step in each direction, y pointing down. What is to the right of (x, y) is then (-y, x). */
static const int8_t ahead_x[4] = {1, 0, -1, 0}, ahead_y[4] = {0, 1, 0, -1};

uint8_t *egg_grid_at(egg_grid *s, uint32_t x, uint32_t y)
{
    return &s->tiles[y * s->rules->side + x];
}

/* ------------------------------------------------------------------------------------------- beginning an episode */

void egg_grid_begin(egg_grid *s, const egg_grid_rules *rules, uint64_t seed)
{
    *s = (egg_grid){.rules = rules, .words = egg_env_words(seed), .carried = EGG_TILE_EMPTY};
    uint32_t last = rules->side - 1;
    for (uint32_t y = 0; y <= last; y++)
        for (uint32_t x = 0; x <= last; x++)
            *egg_grid_at(s, x, y) = x % last == 0 || y % last == 0 ? EGG_TILE_WALL : EGG_TILE_EMPTY;
}

bool egg_grid_draw_cell(egg_grid *s, egg_grid_area area, egg_grid_cell *cell)
{
    egg_grid_cell free[EGG_GRID_SIDE * EGG_GRID_SIDE];
    uint32_t count = 0;
    for (uint32_t y = area.low_y; y < area.high_y; y++)
        for (uint32_t x = area.low_x; x < area.high_x; x++)
            if (*egg_grid_at(s, x, y) == EGG_TILE_EMPTY && (x != s->agent.x || y != s->agent.y))
                free[count++] = (egg_grid_cell){(uint8_t)x, (uint8_t)y};
    if (!count) return false;
    *cell = free[egg_env_below(&s->words, count)];
    return true;
}

void egg_grid_place_agent(egg_grid *s, egg_grid_area area)
{
    egg_grid_draw_cell(s, area, &s->agent);
    s->direction = (uint8_t)egg_env_below(&s->words, 4);
}

/* --------------------------------------------------------------------------------------------------------- actions */

uint8_t *egg_grid_ahead(egg_grid *s)
{
    return egg_grid_at(s, (uint32_t)(s->agent.x + ahead_x[s->direction]),
                       (uint32_t)(s->agent.y + ahead_y[s->direction]));
}

static void go_forward(egg_grid *s)
{
    if (!kinds[*egg_grid_ahead(s)].walkable) return;
    s->agent.x = (uint8_t)(s->agent.x + ahead_x[s->direction]);
    s->agent.y = (uint8_t)(s->agent.y + ahead_y[s->direction]);
}

/* A locked door needs the key, which stays in the agent's hands. */
static void toggle(egg_grid *s, uint8_t *tile)
{
    if (*tile == EGG_TILE_DOOR_OPEN)
        *tile = EGG_TILE_DOOR_CLOSED;
    else if (*tile == EGG_TILE_DOOR_CLOSED || (*tile == EGG_TILE_DOOR_LOCKED && s->carried == EGG_TILE_KEY))
        *tile = EGG_TILE_DOOR_OPEN;
}

/* Picking up and dropping are one move: what is carried changes places with the tile, one of them being empty. */
static void exchange(egg_grid *s, uint8_t *tile)
{
    uint8_t carried = s->carried;
    s->carried = *tile;
    *tile = carried;
}

bool egg_grid_act(egg_grid *s, egg_grid_action action, float *reward)
{
    uint8_t *ahead = egg_grid_ahead(s);
    bool portable = *ahead == EGG_TILE_KEY || *ahead == EGG_TILE_BALL, reached = false;
    s->steps++;
    switch (action) {
    case EGG_GRID_LEFT: s->direction = (s->direction + 3) % 4; break;
    case EGG_GRID_RIGHT: s->direction = (s->direction + 1) % 4; break;
    case EGG_GRID_FORWARD:
        go_forward(s);
        reached = *ahead == EGG_TILE_GOAL;
        break;
    case EGG_GRID_PICK_UP:
        if (portable && s->carried == EGG_TILE_EMPTY) exchange(s, ahead);
        break;
    case EGG_GRID_DROP:
        if (*ahead == EGG_TILE_EMPTY) exchange(s, ahead);
        break;
    case EGG_GRID_TOGGLE: toggle(s, ahead); break;
    case EGG_GRID_DONE:
    case EGG_GRID_ACTIONS: break;
    }
    *reward = reached ? (float)(1 - 0.9 * ((double)s->steps / s->rules->max_steps)) : 0;
    return reached;
}

/* -------------------------------------------------------------------------------------------------- field of view */

/* The cell of the grid that is at this place of the view; false if it lies outside. */
static bool cell_in_view(const egg_grid *s, int column, int row, egg_grid_cell *cell)
{
    int dx = ahead_x[s->direction], dy = ahead_y[s->direction], side = (int)s->rules->side;
    int forward = EGG_GRID_VIEW - 1 - row, right = column - EGG_GRID_VIEW / 2;
    int x = s->agent.x + dx * forward - dy * right, y = s->agent.y + dy * forward + dx * right;
    if (x < 0 || y < 0 || x >= side || y >= side) return false;
    *cell = (egg_grid_cell){(uint8_t)x, (uint8_t)y};
    return true;
}

/*
 * Sight, as MiniGrid has it, from the agent's row outwards. Bit i of a row is its column i. Sight spreads sideways
 * along a row as far as one can see through the tiles, and from each tile that it passes to the three of the next row
 * that touch this one.
 */
static void find_seen(const uint8_t clear[EGG_GRID_VIEW], uint8_t seen[EGG_GRID_VIEW])
{
    const uint32_t all = (1u << EGG_GRID_VIEW) - 1;
    uint32_t row_seen = 1u << (EGG_GRID_VIEW / 2), before, passed;
    for (int row = EGG_GRID_VIEW - 1; row >= 0; row--) {
        do {
            before = row_seen;
            passed = row_seen & clear[row];
            row_seen |= (passed << 1 | passed >> 1) & all;
        } while (row_seen != before);
        seen[row] = (uint8_t)row_seen;
        row_seen = (passed << 1 | passed | passed >> 1) & all;
    }
}

void egg_grid_look(const egg_grid *s, uint8_t view[EGG_GRID_VIEW_CELLS])
{
    enum { N = EGG_GRID_VIEW };
    uint8_t clear[N] = {0}, seen[N];
    for (int row = 0; row < N; row++) {
        for (int column = 0; column < N; column++) {
            egg_grid_cell cell;
            uint8_t tile = EGG_TILE_WALL;   /* all there is outside the grid */
            if (cell_in_view(s, column, row, &cell)) tile = s->tiles[cell.y * s->rules->side + cell.x];
            view[N * row + column] = tile;
            if (!kinds[tile].opaque) clear[row] |= (uint8_t)(1u << column);
        }
    }
    if (!s->rules->see_through_walls) {
        find_seen(clear, seen);
        for (int i = 0; i < N * N; i++)
            if (!(seen[i / N] >> i % N & 1)) view[i] = EGG_TILE_UNSEEN;
    }
    view[N * (N - 1) + N / 2] = s->carried;
}

void egg_grid_image(const egg_grid *s, uint8_t image[EGG_GRID_VIEW][EGG_GRID_VIEW][3])
{
    uint8_t view[EGG_GRID_VIEW_CELLS];
    egg_grid_look(s, view);
    for (int i = 0; i < EGG_GRID_VIEW_CELLS; i++) {
        const tile_kind *kind = &kinds[view[i]];
        uint8_t *code = image[i % EGG_GRID_VIEW][i / EGG_GRID_VIEW];
        code[0] = kind->object;
        code[1] = kind->color;
        code[2] = kind->state;
    }
}

void egg_grid_observe(const egg_grid *s, float *observation)
{
    uint8_t view[EGG_GRID_VIEW_CELLS];
    uint32_t planes = s->rules->planes;
    egg_grid_look(s, view);
    memset(observation, 0, EGG_GRID_OBSERVATIONS(planes) * sizeof *observation);
    for (uint32_t i = 0; i < EGG_GRID_VIEW_CELLS; i++)
        if (view[i] != EGG_TILE_UNSEEN) observation[i * planes + kinds[view[i]].plane] = 1;
    observation[EGG_GRID_VIEW_CELLS * planes + s->direction] = 1;
}

bool egg_grid_step(void *state, const float *action, float *observation, float *reward)
{
    egg_grid *s = state;
    bool ended = egg_grid_act(s, (egg_grid_action)action[0], reward);
    egg_grid_observe(s, observation);
    return ended;
}

/* --------------------------------------------------------------------------------------------------------- drawing */

/* Two columns a tile. A dot marks the floor that the agent sees. */
size_t egg_grid_render(const void *state, char *text, size_t bytes)
{
    static const char *const agents[4] = {"─►", "▼ ", "◄─", "▲ "};
    const egg_grid *s = state;
    uint32_t side = s->rules->side;
    uint8_t view[EGG_GRID_VIEW_CELLS];
    bool seen[EGG_GRID_SIDE * EGG_GRID_SIDE] = {false};
    egg_grid_look(s, view);
    for (int i = 0; i < EGG_GRID_VIEW_CELLS; i++) {
        egg_grid_cell cell;
        if (view[i] != EGG_TILE_UNSEEN && cell_in_view(s, i % EGG_GRID_VIEW, i / EGG_GRID_VIEW, &cell))
            seen[cell.y * side + cell.x] = true;
    }

    egg_drawing drawing = egg_drawing_begin(text, bytes);
    for (uint32_t i = 0; i < side * side; i++) {
        const char *picture = kinds[s->tiles[i]].picture;
        if (s->tiles[i] == EGG_TILE_EMPTY && seen[i]) picture = "· ";
        if (i == s->agent.y * side + s->agent.x) picture = agents[s->direction];
        egg_draw(&drawing, "%s%s", picture, i % side == side - 1 ? "\n" : "");
    }
    egg_draw(&drawing, "step %u of %u%s\n", s->steps, s->rules->max_steps,
             s->carried == EGG_TILE_KEY ? ", carrying the key" : "");
    return drawing.used;
}
