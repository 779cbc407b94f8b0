/* SPDX-License-Identifier: MIT */
/* What replaying a journal gave, for people or as JSON. */
#ifndef EGG_PROGRAM_REPLAYED_H
#define EGG_PROGRAM_REPLAYED_H

#include "command.h"

void replayed_print(const struct invocation *invocation, const egg_replayed *replayed);

#endif
