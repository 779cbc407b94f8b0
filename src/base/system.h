/* SPDX-License-Identifier: MIT */
/* What this process holds and what the machine has left. 0 where the system does not tell. */
#ifndef EGG_BASE_SYSTEM_H
#define EGG_BASE_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

uint64_t egg_system_resident_bytes(void);    /* of this process, now */
uint64_t egg_system_available_bytes(void);   /* that could still be allocated: free memory, within the control group */

/* The processor's name for people, and how many of it this process may use: "AMD EPYC, 2 processors". */
void egg_system_processor_name(char *name, size_t size);

#endif
