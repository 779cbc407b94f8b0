/* SPDX-License-Identifier: MIT */
#include "base/system.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/threads.h"

uint64_t egg_system_resident_bytes(void)
{
    uint64_t total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) != 2) resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t read_number(const char *path)
{
    uint64_t value = 0;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fscanf(file, "%" SCNu64, &value) != 1) value = 0;   /* "max": no limit */
    fclose(file);
    return value;
}

static uint64_t machine_available(void)
{
    char line[128];
    uint64_t kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kilobytes) == 1) break;
    fclose(file);
    return kilobytes * 1024;
}

uint64_t egg_system_available_bytes(void)
{
    uint64_t available = machine_available();
    uint64_t limit = read_number("/sys/fs/cgroup/memory.max"), used = read_number("/sys/fs/cgroup/memory.current");
    if (limit > used && limit - used < available) available = limit - used;
    return available;
}

void egg_system_processor_name(char *name, size_t size)
{
    char line[256], model[128] = "unknown processor";
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %127[^\n]", model) == 1) break;
    if (file) fclose(file);
    uint32_t count = egg_processor_count();
    snprintf(name, size, "%s, %u processor%s", model, count, count == 1 ? "" : "s");
}
