/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "command.h"

static volatile sig_atomic_t noted;

static void note(int number)
{
    if (noted) _exit(STATUS_SIGNAL + number);
    noted = number;
}

void interrupt_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action, before;
        if (sigaction(signals[i], NULL, &before) != 0 || before.sa_handler == SIG_IGN) continue;
        action = (struct sigaction){.sa_handler = note, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
    }
}

int interrupt_signal(void)
{
    return noted;
}

bool interrupt_wanted(void *context)
{
    (void)context;
    return noted != 0;
}
