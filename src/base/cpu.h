/* SPDX-License-Identifier: MIT */
/* Which kernel levels this processor can run. A level is a bundle of instructions that shipped together. */
#ifndef EGG_BASE_CPU_H
#define EGG_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

typedef enum egg_cpu_level {
    EGG_CPU_AVX2 = 1u << 0,         /* with FMA and F16C: x86-64-v3, 2013 on */
    EGG_CPU_AVX512VNNI = 1u << 1,   /* with F, BW, DQ, VL, VBMI: Ice Lake, Zen 4 and later */
    EGG_CPU_NEON = 1u << 2          /* with dotprod: Armv8.2-A, Neoverse N1, Apple M1 and later */
} egg_cpu_level;

/* What the processor and the operating system offer. */
uint32_t egg_cpu_detect(void);

/*
 * The levels to use: those detected, less any above the one that the environment variable EGGROLL_ISA names (ref,
 * avx2, avx512vnni, neon). '*unknown' receives a value that names no level, else NULL; all levels then stay.
 */
uint32_t egg_cpu_levels(const char **unknown);

/* The levels up to the one of this name, as far as this machine has them; false: it names none. */
bool egg_cpu_levels_up_to(const char *strongest, uint32_t *levels);

/* "avx512vnni", ...: the name of one level; "ref" for 0. */
const char *egg_cpu_level_name(uint32_t level);

#endif
