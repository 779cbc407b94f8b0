/* SPDX-License-Identifier: MIT */
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static const struct {
    uint32_t level;
    const char *name;
} levels[] = {   /* from weak to strong */
    {0, "ref"},
    {EGG_CPU_NEON, "neon"},
    {EGG_CPU_AVX2, "avx2"},
    {EGG_CPU_AVX512VNNI, "avx512vnni"},
};

uint32_t egg_cpu_detect(void)
{
    uint32_t found = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found |= EGG_CPU_AVX2;
    if (found && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
        found |= EGG_CPU_AVX512VNNI;
#elif defined(__aarch64__) && defined(__linux__)
    enum { HAS_DOTPROD = 1 << 20 };   /* HWCAP_ASIMDDP of the Arm ELF ABI */
    if (getauxval(AT_HWCAP) & HAS_DOTPROD) found |= EGG_CPU_NEON;
#endif
    return found;
}

bool egg_cpu_levels_up_to(const char *strongest, uint32_t *up_to)
{
    uint32_t allowed = 0;
    for (size_t i = 0; i < EGG_COUNT(levels); i++) {
        allowed |= levels[i].level;
        if (strcmp(levels[i].name, strongest) != 0) continue;
        *up_to = egg_cpu_detect() & allowed;
        return true;
    }
    return false;
}

uint32_t egg_cpu_levels(const char **unknown)
{
    uint32_t found = egg_cpu_detect();
    const char *strongest = getenv("EGGROLL_ISA");
    *unknown = NULL;
    if (strongest && *strongest && !egg_cpu_levels_up_to(strongest, &found)) *unknown = strongest;
    return found;
}

const char *egg_cpu_level_name(uint32_t level)
{
    for (size_t i = 0; i < EGG_COUNT(levels); i++)
        if (levels[i].level == level) return levels[i].name;
    return "unknown";
}
