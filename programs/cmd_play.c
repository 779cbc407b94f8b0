/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "command.h"
#include "interrupt.h"
#include "text.h"

struct player {
    bool moves;            /* on a terminal: each frame is drawn over the last */
    double seconds;        /* between frames */
    int lines;             /* of the last frame */
};

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

static void wait_for(double seconds)
{
    struct timespec rest = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&rest, NULL);
}

static bool show(void *context, const char *text, uint32_t steps, double total, bool ended)
{
    struct player *player = context;
    if (player->moves && player->lines) printf("\033[%dA\033[J", player->lines);
    if (text) fputs(text, stdout);
    printf("step %u, return %g%s\n", steps, total, ended ? ", the end" : "");
    player->lines = 1 + (text ? count_lines(text) : 0);
    fflush(stdout);
    if (player->moves && !ended) wait_for(player->seconds);
    return !interrupt_signal();
}

static int play(const struct invocation *invocation)
{
    egg_error error;
    egg_policy *policy;
    double fps = strtod(egg_options_get(invocation->options, "fps"), NULL);
    uint64_t seed = strtoull(egg_options_get(invocation->options, "seed"), NULL, 10);
    struct player player = {.moves = text_columns(stdout) > 0, .seconds = fps > 0 ? 1 / fps : 0};
    interrupt_catch();
    egg_status status = egg_policy_open(&policy, invocation->operands[0], &error);
    if (status == EGG_OK) status = egg_policy_play(policy, seed, show, &player, &error);
    egg_policy_close(policy);
    if (status != EGG_OK) return report(invocation->command, &error);
    return interrupt_signal() ? STATUS_SIGNAL + interrupt_signal() : STATUS_OK;
}

const struct command command_play = {
    .name = "play",
    .summary = "watch a policy play",
    .synopsis = {"RUN [option...]"},
    .operands = {"RUN"},
    .least = 1,
    .description =
        "Plays one episode with the trained policy of RUN, a run folder or a .safetensors file, and draws every step "
        "as text where the environment can be drawn.",
    .examples = {{"eggroll play runs/cartpole --seed 7", "another episode"}},
    .run = play,
};
