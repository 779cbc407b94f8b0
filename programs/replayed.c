/* SPDX-License-Identifier: MIT */
#include "replayed.h"

#include <stdio.h>

void replayed_print(const struct invocation *invocation, const egg_replayed *replayed)
{
    unsigned long long epoch = replayed->epoch, hashes = replayed->hashes, torn = replayed->torn_bytes;
    if (torn)
        fprintf(stderr, "eggroll: the last record of the journal was cut short; its %llu bytes are left out\n", torn);
    if (wants_json(invocation)) {
        printf("{\"epoch\": %llu, \"model_hash\": \"%s\", \"hashes_checked\": %llu, \"torn_bytes\": %llu, "
               "\"seconds\": %.6g, \"run_seconds\": %.6g}\n",
               epoch, replayed->model_hash, hashes, torn, replayed->seconds, replayed->run_seconds);
        return;
    }
    printf("epoch         %llu, rebuilt in %.2f seconds; the run took %.2f\n", epoch, replayed->seconds,
           replayed->run_seconds);
    printf("state hashes  %llu recorded, all equal\n", hashes);
    printf("model hash    %s\n", replayed->model_hash);
}
