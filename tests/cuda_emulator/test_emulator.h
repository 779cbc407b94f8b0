/* SPDX-License-Identifier: MIT */
/* What the emulator's own tests share. */
#ifndef EGG_TESTS_CUDA_EMULATOR_TEST_EMULATOR_H
#define EGG_TESTS_CUDA_EMULATOR_TEST_EMULATOR_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/cuda/cuda.h"

static uint32_t failures;

static void expect_true(bool good, const char *what, int line)
{
    if (good) return;
    fprintf(stderr, "line %d: not so: %s\n", line, what);
    failures++;
}
#define EXPECT(condition) expect_true(condition, #condition, __LINE__)

static uint64_t state = 0x9E3779B97F4A7C15;

static uint32_t random_below(uint32_t bound)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * bound >> 32);
}

static void wait_for_device(void)
{
    EXPECT(cudaStreamSynchronize(egg_cuda_stream) == cudaSuccess);
}

/* In a process of its own: 'act' and the wait after it must end it, with 'text' in what it says. */
static void expect_end(void (*act)(void), const char *text, int line)
{
    int ends[2], status;
    char said[16384];
    size_t length = 0;
    if (pipe(ends)) exit(2);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        act();
        cudaStreamSynchronize(egg_cuda_stream);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], said + length, sizeof said - 1 - length)) > 0;) length += (size_t)n;
    close(ends[0]);
    said[length] = 0;
    waitpid(child, &status, 0);
    const bool good = status != 0 && strstr(said, text);
    if (!good) fprintf(stderr, "expected an end with \"%s\", found status %d and: %s\n", text, status, said);
    expect_true(good, text, line);
}
#define EXPECT_END(act, text) expect_end(act, text, __LINE__)

#endif
