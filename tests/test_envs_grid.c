/* SPDX-License-Identifier: MIT */
/*
 * The environments of MiniGrid against the original: recorded episodes, replayed to the last number, and recorded
 * histograms of what is random. tests/gen/minigrid_traces.py wrote the fixtures and says what their lines mean.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envs/dynamic_obstacles.h"
#include "envs/grid.h"
#include "envs/list.h"

static const char tile_characters[] = "?.#Gok/dD";   /* in the order of egg_tile */

static uint8_t tile_of(char character)
{
    const char *found = strchr(tile_characters, character);
    assert_true(character && found);
    return (uint8_t)(found - tile_characters);
}

typedef struct fixture {
    FILE *file;
    char line[8192];
    const egg_env *env;
    uint8_t code[128][3];   /* what MiniGrid writes for a character */
    char grid[EGG_GRID_SIDE * EGG_GRID_SIDE + 1], view[EGG_GRID_VIEW_CELLS + 1];
    int balls[2 * EGG_GRID_BALLS];
    int ball_count;
} fixture;

static void open_fixture(fixture *f, const char *name)
{
    char path[1024];
    memset(f, 0, sizeof *f);
    snprintf(path, sizeof path, "%s/fixtures/envs/minigrid_%s.txt", EGG_TEST_SOURCE_DIR, name);
    f->file = fopen(path, "r");
    if (!f->file) fail_msg("%s: cannot be opened", path);
}

/* Reads a line into f->line and, where it is one of the state, keeps what it says. */
static bool next_line(fixture *f)
{
    char name[80], c;
    int code[3], *b = f->balls;
    if (!fgets(f->line, sizeof f->line, f->file)) {
        assert_int_equal(fclose(f->file), 0);
        return false;
    }
    assert_non_null(strchr(f->line, '\n'));
    if (sscanf(f->line, "env %79s", name) == 1) assert_int_equal(egg_env_find(&f->env, name, NULL), EGG_OK);
    if (sscanf(f->line, "tile %c %d %d %d", &c, &code[0], &code[1], &code[2]) == 4)
        for (int i = 0; i < 3; i++) f->code[c & 127][i] = (uint8_t)code[i];
    if (sscanf(f->line, "balls %d %d %d %d %d %d", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) == 6)
        f->ball_count = EGG_GRID_BALLS;
    sscanf(f->line, "grid %361s", f->grid);
    sscanf(f->line, "view %49s", f->view);
    return true;
}

/* ------------------------------------------------------------------------------------------------------- episodes */

typedef struct agent {
    int x, y, direction;
    char carried;
} agent;

static void put_balls(egg_grid *s, const int *balls, int count)
{
    for (int i = 0; i < count; i++) *egg_grid_at(s, s->balls[i].x, s->balls[i].y) = EGG_TILE_EMPTY;
    for (int i = 0; i < count; i++) {
        s->balls[i] = (egg_grid_cell){(uint8_t)balls[2 * i], (uint8_t)balls[2 * i + 1]};
        *egg_grid_at(s, s->balls[i].x, s->balls[i].y) = EGG_TILE_BALL;
    }
}

static void put_state(egg_grid *s, const fixture *f, agent a)
{
    assert_int_equal(strlen(f->grid), s->rules->side * s->rules->side);
    for (size_t i = 0; f->grid[i]; i++) s->tiles[i] = tile_of(f->grid[i]);
    put_balls(s, f->balls, f->ball_count);
    s->agent = (egg_grid_cell){(uint8_t)a.x, (uint8_t)a.y};
    s->direction = (uint8_t)a.direction;
    s->carried = tile_of(a.carried);
}

/* The layout that grid.h describes, made from the recorded view. */
static void check_observation(const fixture *f, const float *observation, int direction)
{
    const char *planes = f->env == &egg_env_door_key ? ".#Gk/dD" : f->env == &egg_env_four_rooms ? ".#G" : ".#Go";
    size_t plane_count = strlen(planes), n = EGG_GRID_VIEW_CELLS * plane_count + 4;
    float expected[1024] = {0};
    for (size_t column = 0; column < 7; column++) {
        for (size_t row = 0; row < 7; row++) {
            char c = f->view[7 * column + row];
            if (c == '?') continue;
            assert_non_null(strchr(planes, c));
            expected[(7 * row + column) * plane_count + (size_t)(strchr(planes, c) - planes)] = 1;
        }
    }
    expected[49 * plane_count + (size_t)direction] = 1;
    assert_int_equal(f->env->observations, n);
    for (size_t i = 0; i < n; i++) assert_true(observation[i] == expected[i]);
}

static void check_state(egg_grid *s, const fixture *f, agent a, const float *observation)
{
    uint8_t image[7][7][3];
    assert_int_equal(s->agent.x, a.x);
    assert_int_equal(s->agent.y, a.y);
    assert_int_equal(s->direction, a.direction);
    assert_int_equal(s->carried, tile_of(a.carried));
    egg_grid without_balls = *s;
    for (int i = 0; i < f->ball_count; i++) {
        uint8_t *tile = egg_grid_at(&without_balls, s->balls[i].x, s->balls[i].y);
        assert_int_equal(*tile, EGG_TILE_BALL);
        *tile = EGG_TILE_EMPTY;
    }
    for (size_t i = 0; f->grid[i]; i++) assert_int_equal(without_balls.tiles[i], tile_of(f->grid[i]));

    egg_grid_image(s, image);
    for (int i = 0; i < EGG_GRID_VIEW_CELLS; i++)
        assert_memory_equal(image[i / 7][i % 7], f->code[f->view[i] & 127], 3);
    check_observation(f, observation, a.direction);
}

/*
 * One step; balls go where they were seen to go. The whole step, with moves of its own, must agree in what does not
 * depend on where balls go: the direction, the reward, the end.
 */
static bool replay_step(const fixture *f, egg_grid *s, int action, float *observation, float *reward)
{
    float as_float = (float)action, own_reward;
    if (f->env != &egg_env_dynamic_obstacles) return f->env->step(s, &as_float, observation, reward);

    egg_grid whole = *s;
    egg_tile ahead = (egg_tile)*egg_grid_ahead(s);
    bool own_end = f->env->step(&whole, &as_float, observation, &own_reward);
    put_balls(s, f->balls, f->ball_count);
    bool ended = egg_obstacles_act(s, (egg_grid_action)action, ahead, reward);
    egg_grid_observe(s, observation);
    assert_int_equal(own_end, ended);
    assert_true(own_reward == *reward);
    assert_int_equal(whole.direction, s->direction);
    assert_int_equal(whole.steps, s->steps);
    return ended;
}

/* Every ball moves to an empty cell that touches its own; where there was none when its turn came, it stays. */
static void check_moves(const egg_grid *from, const int *balls)
{
    egg_grid s = *from;
    for (int i = 0; i < EGG_GRID_BALLS; i++) {
        egg_grid_cell old = s.balls[i], new = {(uint8_t)balls[2 * i], (uint8_t)balls[2 * i + 1]}, any;
        egg_grid_area around = {old.x - 1u, old.x + 2u, old.y - 1u, old.y + 2u};
        if (old.x == new.x && old.y == new.y) {
            assert_false(egg_grid_draw_cell(&s, around, &any));
            continue;
        }
        assert_true(abs(new.x - old.x) <= 1 && abs(new.y - old.y) <= 1);
        assert_int_equal(*egg_grid_at(&s, new.x, new.y), EGG_TILE_EMPTY);
        *egg_grid_at(&s, old.x, old.y) = EGG_TILE_EMPTY;
        *egg_grid_at(&s, new.x, new.y) = EGG_TILE_BALL;
    }
}

typedef struct tally {
    uint32_t steps, goals, collisions, pick_ups, drops, doors, refusals;
} tally;

static void count_step(tally *t, int action, egg_grid *before, const egg_grid *after, float reward)
{
    t->steps++;
    t->goals += reward > 0;
    t->collisions += reward < 0;
    t->pick_ups += before->carried == EGG_TILE_EMPTY && after->carried != EGG_TILE_EMPTY;
    t->drops += before->carried != EGG_TILE_EMPTY && after->carried == EGG_TILE_EMPTY;
    for (size_t i = 0; i < sizeof after->tiles; i++)
        t->doors += before->tiles[i] != after->tiles[i] && after->tiles[i] >= EGG_TILE_DOOR_OPEN;
    t->refusals += action == EGG_GRID_TOGGLE && *egg_grid_ahead(before) == EGG_TILE_DOOR_LOCKED &&
                   before->carried == EGG_TILE_EMPTY;
}

static tally replay(const char *name)
{
    fixture f;
    agent a;
    tally t = {0};
    egg_grid s;
    float observation[1024], reward, expected_reward;
    int action, expected_end;
    memset(&s, 0, sizeof s);
    open_fixture(&f, name);
    while (next_line(&f)) {
        if (sscanf(f.line, "start %d %d %d %c", &a.x, &a.y, &a.direction, &a.carried) == 4) {
            f.env->reset(&s, t.steps, observation);
            put_state(&s, &f, a);
            egg_grid_observe(&s, observation);
            check_state(&s, &f, a, observation);
        }
        if (sscanf(f.line, "step %d %f %d %d %d %d %c", &action, &expected_reward, &expected_end, &a.x, &a.y,
                   &a.direction, &a.carried) == 7) {
            egg_grid before = s;
            if (f.ball_count) check_moves(&s, f.balls);
            bool ended = replay_step(&f, &s, action, observation, &reward);
            check_state(&s, &f, a, observation);
            assert_int_equal(ended, expected_end);
            assert_true(reward == expected_reward);
            count_step(&t, action, &before, &s, reward);
        }
    }
    return t;
}

/* The tallies keep the fixtures from losing what they are for. */
static void test_door_key_as_recorded(void **state)
{
    (void)state;
    tally t = replay("door_key");
    assert_true(t.steps >= 300 && t.goals >= 10 && t.pick_ups > t.goals && t.drops >= 2 && t.doors > t.goals + 2);
    assert_true(t.refusals >= 2);
}

static void test_four_rooms_as_recorded(void **state)
{
    (void)state;
    tally t = replay("four_rooms");
    assert_true(t.steps >= 300 && t.goals >= 10);
}

static void test_dynamic_obstacles_as_recorded(void **state)
{
    (void)state;
    tally t = replay("dynamic_obstacles");
    assert_true(t.steps >= 300 && t.goals >= 10 && t.collisions >= 10);
}

/* -------------------------------------------------------------------------------------------------- distributions */

enum { SAMPLES = 20000, BINS = 1024 };

/*
 * Chi-square of two samples of SAMPLES each: the sum of (x - y)^2 / (x + y). Bins with fewer than 10 in both together,
 * for which it would not be chi-square, are counted as one.
 */
static double chi_square(const uint32_t *x, const uint32_t *y, uint32_t *degrees)
{
    double sum = 0, rest_x = 0, rest_y = 0;
    uint32_t bins = 0;
    for (uint32_t i = 0; i <= BINS; i++) {
        double a = i < BINS ? x[i] : rest_x, b = i < BINS ? y[i] : rest_y;
        if (i < BINS && a + b < 10) {
            rest_x += a;
            rest_y += b;
        } else if (a + b > 0) {
            sum += (a - b) * (a - b) / (a + b);
            bins++;
        }
    }
    *degrees = bins - 1;
    return sum;
}

/*
 * Whether chance exceeds this in one case of a million (4.753 standard deviations), by the cube root of Wilson and
 * Hilferty. The seeds are fixed, so a test that passed passes again.
 */
static bool is_different(double chi_square, uint32_t degrees)
{
    if (!degrees) return chi_square > 0;
    double spread = 2.0 / (9 * degrees);
    return chi_square > degrees * pow(1 - spread + 4.753 * sqrt(spread), 3);
}

static egg_grid_cell find_tile(egg_grid *s, uint8_t tile)
{
    uint32_t side = s->rules->side;
    for (uint32_t i = 0; i < side * side; i++)
        if (s->tiles[i] == tile) return (egg_grid_cell){(uint8_t)(i % side), (uint8_t)(i / side)};
    fail_msg("no tile '%c'", tile_characters[tile]);
    return (egg_grid_cell){0};
}

static uint32_t place(const egg_grid *s, egg_grid_cell cell)
{
    return cell.y * s->rules->side + cell.x;
}

static uint32_t way(egg_grid_cell from, egg_grid_cell to)
{
    return 16u * (8u + to.x - from.x) + 8u + to.y - from.y;
}

static uint32_t gap(egg_grid *s, uint32_t x, uint32_t y, uint32_t dx, uint32_t dy)
{
    uint32_t i = 0;
    while (*egg_grid_at(s, x + i * dx, y + i * dy) == EGG_TILE_WALL) i++;
    return i;
}

static uint32_t room(egg_grid_cell cell)
{
    return (cell.x > 9) + 2u * (cell.y > 9);
}

/* Into which bin of the histogram of this name a state falls; the same as in the script. */
static uint32_t bin_of(const char *name, egg_grid *s, const egg_grid *before)
{
    const egg_grid_cell *b = s->balls;
    uint32_t shift[EGG_GRID_BALLS];
    for (int i = 0; i < EGG_GRID_BALLS; i++)
        shift[i] = 4u + b[i].x - before->balls[i].x + 3u * ((uint32_t)b[i].y - before->balls[i].y);

    if (!strcmp(name, "direction")) return s->direction;
    if (!strcmp(name, "agent")) return place(s, s->agent);
    if (!strcmp(name, "wall_and_door"))
        return 8u * find_tile(s, EGG_TILE_DOOR_LOCKED).x + find_tile(s, EGG_TILE_DOOR_LOCKED).y;
    if (!strcmp(name, "wall_and_agent")) return 64u * find_tile(s, EGG_TILE_DOOR_LOCKED).x + place(s, s->agent);
    if (!strcmp(name, "wall_and_key"))
        return 64u * find_tile(s, EGG_TILE_DOOR_LOCKED).x + place(s, find_tile(s, EGG_TILE_KEY));
    if (!strcmp(name, "agent_to_key")) return way(s->agent, find_tile(s, EGG_TILE_KEY));
    if (!strcmp(name, "goal")) return place(s, find_tile(s, EGG_TILE_GOAL));
    if (!strcmp(name, "rooms")) return 4 * room(s->agent) + room(find_tile(s, EGG_TILE_GOAL));
    if (!strcmp(name, "gap_up")) return gap(s, 9, 1, 0, 1);
    if (!strcmp(name, "gap_down")) return gap(s, 9, 10, 0, 1);
    if (!strcmp(name, "gap_left")) return gap(s, 1, 9, 1, 0);
    if (!strcmp(name, "gap_right")) return gap(s, 10, 9, 1, 0);
    if (!strncmp(name, "ball_", 5) && name[5] >= '0' && name[5] <= '2') return place(s, b[name[5] - '0']);
    if (!strcmp(name, "ball_to_ball")) return way(b[0], b[1]);
    if (!strcmp(name, "agent_to_ball")) return way(s->agent, b[2]);
    if (!strcmp(name, "shift_0_1")) return 9 * shift[0] + shift[1];
    if (!strncmp(name, "shift_", 6) && name[6] >= '0' && name[6] <= '2') return shift[name[6] - '0'];
    fail_msg("a histogram '%s' that this test does not know", name);
    return 0;
}

/* Fills 'counts' from a line "histogram NAME BIN COUNT BIN COUNT ...". */
static void read_histogram(const char *line, char name[80], uint32_t counts[BINS])
{
    int used = 0, bin, count;
    uint32_t total = 0;
    memset(counts, 0, BINS * sizeof *counts);
    assert_int_equal(sscanf(line, "histogram %79s%n", name, &used), 1);
    for (const char *p = line + used; sscanf(p, "%d %d%n", &bin, &count, &used) == 2; p += used) {
        assert_in_range(bin, 0, BINS - 1);
        counts[bin] = (uint32_t)count;
        total += (uint32_t)count;
    }
    assert_int_equal(total, SAMPLES);
}

/*
 * Histograms of resets come first. Those after a line "moves" are of one step from the state that it tells, in which
 * the agent turns.
 */
static void compare_histograms(const char *fixture_name, uint32_t expected_count)
{
    static const float turn = EGG_GRID_LEFT;
    fixture f;
    agent a = {.carried = '.'};
    bool is_move = false;
    uint32_t compared = 0, degrees;
    open_fixture(&f, fixture_name);
    while (next_line(&f)) {
        int *b = f.balls;
        if (sscanf(f.line, "moves %d %d %d %d %d %d %d %d %d", &a.x, &a.y, &a.direction, &b[0], &b[1], &b[2], &b[3],
                   &b[4], &b[5]) == 9)
            is_move = true;
        if (strncmp(f.line, "histogram ", 10) != 0) continue;
        char name[80];
        uint32_t recorded[BINS], counts[BINS] = {0};
        float observation[1024], reward;
        egg_grid s, before;
        memset(&before, 0, sizeof before);
        read_histogram(f.line, name, recorded);
        for (uint64_t seed = 0; seed < SAMPLES; seed++) {
            f.env->reset(&s, 1000 * compared + seed, observation);
            if (is_move) {
                put_state(&s, &f, a);
                before = s;
                f.env->step(&s, &turn, observation, &reward);
            }
            uint32_t bin = bin_of(name, &s, &before);
            assert_true(bin < BINS);
            counts[bin]++;
        }
        double distance = chi_square(recorded, counts, &degrees);
        if (is_different(distance, degrees))
            fail_msg("%s: %s: chi-square %.1f at %u degrees of freedom", fixture_name, name, distance, degrees);
        compared++;
    }
    assert_int_equal(compared, expected_count);
}

static void test_door_key_is_as_random(void **state)
{
    (void)state;
    compare_histograms("door_key", 5);
}

static void test_four_rooms_is_as_random(void **state)
{
    (void)state;
    compare_histograms("four_rooms", 8);
}

static void test_dynamic_obstacles_is_as_random(void **state)
{
    (void)state;
    compare_histograms("dynamic_obstacles", 7 + 3 * 4);
}

static bool differ(const uint32_t *x, const uint32_t *y)
{
    uint32_t degrees;
    double distance = chi_square(x, y, &degrees);
    return is_different(distance, degrees);
}

/* What the comparison is able to see: an eighth more of one direction, or one case in 400 that should never be. */
static void test_differences_are_noticed(void **state)
{
    (void)state;
    uint32_t even[BINS] = {5000, 5000, 5000, 5000}, uneven[BINS] = {5600, 4800, 4800, 4800};
    uint32_t near[BINS] = {5100, 4950, 4900, 5050}, astray[BINS] = {4994, 4994, 4993, 4994, 25};
    uint32_t far_astray[BINS] = {4988, 4988, 4987, 4987, 50};
    assert_true(differ(even, uneven));
    assert_false(differ(even, near));
    assert_false(differ(even, astray));
    assert_true(differ(even, far_astray));
}

/* ---------------------------------------------------------------------------------------------- names and pictures */

static void test_names_without_the_suite(void **state)
{
    (void)state;
    const egg_env *env;
    egg_error error;
    assert_int_equal(egg_env_find(&env, "MiniGrid-DoorKey-8x8-v0", NULL), EGG_OK);
    assert_ptr_equal(env, &egg_env_door_key);
    assert_int_equal(egg_env_find(&env, "doorkey-8x8", NULL), EGG_OK);
    assert_ptr_equal(env, &egg_env_door_key);
    assert_int_equal(egg_env_find(&env, "FourRooms-v0", NULL), EGG_OK);
    assert_ptr_equal(env, &egg_env_four_rooms);
    assert_int_equal(egg_env_find(&env, "Dynamic-Obstacles-Random-6x6", NULL), EGG_OK);
    assert_ptr_equal(env, &egg_env_dynamic_obstacles);
    assert_int_equal(egg_env_find(&env, "MiniGrid-", NULL), EGG_ERR_ARGUMENT);
    assert_int_equal(egg_env_find(&env, "DynamicObstacles-6x6", &error), EGG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "MiniGrid-Dynamic-Obstacles-Random-6x6-v0"));
    assert_null(env);
}

static void test_picture(void **state)
{
    (void)state;
    static const char grid[] = "########"
                               "#...#..#"
                               "#...#..#"
                               "#...D..#"
                               "#...#..#"
                               "#.k.#..#"
                               "#...#.G#"
                               "########";
    static const char expected[] = "████████████████\n"
                                   "██  · · ██    ██\n"
                                   "██  · · ██    ██\n"
                                   "██  ─►· ╠╣    ██\n"
                                   "██  · · ██    ██\n"
                                   "██  o╖· ██    ██\n"
                                   "██  · · ██  ▒▒██\n"
                                   "████████████████\n"
                                   "step 0 of 640\n";
    egg_grid s;
    float observation[1024];
    char text[512];
    egg_env_door_key.reset(&s, 0, observation);
    for (size_t i = 0; grid[i]; i++) s.tiles[i] = tile_of(grid[i]);
    s.agent = (egg_grid_cell){2, 3};
    s.direction = 0;
    assert_int_equal(egg_env_door_key.render(&s, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);

    for (size_t bytes = 1; bytes <= sizeof expected; bytes++) {   /* a buffer that is too small is not overrun */
        char *exact = malloc(bytes);
        assert_non_null(exact);
        size_t used = egg_env_door_key.render(&s, exact, bytes);
        assert_true(used < bytes);
        assert_int_equal(strlen(exact), used);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_door_key_as_recorded),
        cmocka_unit_test(test_four_rooms_as_recorded),
        cmocka_unit_test(test_dynamic_obstacles_as_recorded),
        cmocka_unit_test(test_door_key_is_as_random),
        cmocka_unit_test(test_four_rooms_is_as_random),
        cmocka_unit_test(test_dynamic_obstacles_is_as_random),
        cmocka_unit_test(test_differences_are_noticed),
        cmocka_unit_test(test_names_without_the_suite),
        cmocka_unit_test(test_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
