/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "command.h"
#include "text.h"

/* Where rows go as they come. */
struct table {
    bool json;
    size_t rows;
};

static void print_json(const egg_simulated *row, bool first)
{
    printf("%s\n  {\"ranks\": %u, \"members\": %.0f, \"evaluate_seconds\": %.6g, \"shape_seconds\": %.6g, "
           "\"update_seconds\": %.6g, \"exchange_seconds\": %.6g, \"other_seconds\": %.6g, "
           "\"epoch_seconds\": %.6g, \"efficiency\": %.4f, \"bytes_received\": %.0f, \"update_sharding\": \"%s\"}",
           first ? "[" : ",", row->ranks, row->members, row->evaluate_seconds, row->shape_seconds, row->update_seconds,
           row->exchange_seconds, row->other_seconds, row->epoch_seconds, row->efficiency, row->bytes_received,
           row->rows ? "rows" : "none");
}

static void take_row(void *context, const egg_simulated *row)
{
    struct table *table = context;
    char members[TEXT_BYTES], bytes[TEXT_BYTES];
    if (table->json) {
        print_json(row, table->rows++ == 0);
        return;
    }
    if (table->rows++ == 0)
        printf("%8s %9s %10s %9s %9s %10s %9s %10s %9s %6s\n", "ranks", "members", "evaluate s", "shape s", "update s",
               "exchange s",
               "epoch s", "efficiency", "received", "update");
    printf("%8u %9s %10.3g %9.3g %9.3g %10.3g %9.3g %10.3f %9s %6s\n", row->ranks,
           text_scaled(members, row->members, ""),
           row->evaluate_seconds, row->shape_seconds, row->update_seconds, row->exchange_seconds, row->epoch_seconds,
           row->efficiency, text_scaled(bytes, row->bytes_received, "B"), row->rows ? "rows" : "none");
}

static int simulate(const struct invocation *invocation)
{
    egg_error error;
    struct table table = {.json = wants_json(invocation)};
    if (egg_simulate(invocation->operands[0], invocation->options, take_row, &table, &error) != EGG_OK)
        return report(invocation->command, &error);
    if (table.json) puts("\n]");
    return STATUS_OK;
}

const struct command command_simulate = {
    .name = "simulate",
    .summary = "predict a run on many ranks",
    .synopsis = {"RUN [option...]"},
    .operands = {"RUN"},
    .least = 1,
    .description =
        "Predicts what an epoch would take on 1, 2, 4 and more ranks, from the times that the run in the folder RUN "
        "measured of itself on one rank, and from two numbers of the network. docs/distributed.md has the model. "
        "Efficiency is the time of one rank for an epoch over the time that all ranks together spend on it.",
    .examples = {{"eggroll simulate runs/first --ranks 100000", "how far one population goes"},
                 {"eggroll simulate runs/first --weak --ranks 100000 --latency 5e-6",
                  "with as many members on every rank"}},
    .run = simulate,
};
