/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

/* Makes runs/<UTC>, or runs/<UTC>-2 ... where runs start in the same second: mkdir tells which was first. */
static int claim(struct folder *folder)
{
    char base[64];
    time_t now = time(NULL);
    struct tm utc;
    strftime(base, sizeof base, "runs/%Y%m%d-%H%M%S", gmtime_r(&now, &utc));
    bool there = mkdir("runs", 0777) == 0 || errno == EEXIST;
    snprintf(folder->path, sizeof folder->path, "%s", base);
    for (int i = 2; there && mkdir(folder->path, 0777) != 0; i++) {
        there = errno == EEXIST && i < 1000;
        if (there) snprintf(folder->path, sizeof folder->path, "%s-%d", base, i);
    }
    folder->claimed = there;
    if (there) return STATUS_OK;
    fprintf(stderr, "eggroll: %s: cannot create the folder: %s; name another with --out\n", folder->path,
            strerror(errno));
    return STATUS_FAILURE;
}

int folder_choose(struct folder *folder, const struct command *command, egg_options *options)
{
    egg_error error;
    const char *resume = egg_options_get(options, "resume");
    folder->resumed = *resume != '\0';
    const char *given = folder->resumed ? resume : egg_options_get(options, "out");
    if (*given) {
        if (strlen(given) >= FOLDER_BYTES) return report_usage(command, "the path of the run folder is too long");
        strcpy(folder->path, given);
        return STATUS_OK;
    }
    if (egg_rank()) return STATUS_OK;   /* rank 0 keeps the folder */
    int status = claim(folder);
    if (status == STATUS_OK && egg_options_set(options, "out", folder->path, &error) != EGG_OK)
        status = report(command, &error);
    return status;
}

void folder_unclaim(const struct folder *folder)
{
    if (folder->claimed && rmdir(folder->path) == 0) rmdir("runs");   /* if nothing else is in it */
}

bool folder_goes_on(struct folder *folder, const struct invocation *invocation, egg_options **resuming)
{
    static const char *const kept[] = {"threads", "quiet"};
    egg_error error;
    if (!egg_ranks_remain()) return false;
    /* Only rank 0 looks into the folder, which without --out only it knows. */
    const char *path = *folder->path ? folder->path : ".";
    egg_options_free(*resuming);
    *resuming = egg_options_new(invocation->command->name);
    if (!*resuming || egg_options_set(*resuming, "resume", path, &error) != EGG_OK) return false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const char *value = egg_options_get(invocation->options, kept[i]);
        if (egg_options_set(*resuming, kept[i], value, &error) != EGG_OK) return false;
    }
    folder->claimed = false;
    folder->resumed = true;
    if (egg_rank() == 0) fprintf(stderr, "eggroll: the ranks that are left go on from what is saved\n");
    return true;
}

void folder_print_journal(egg_journal_info info)
{
    if (info.replayed_epochs)
        printf("journal      gave %llu epochs behind the last save\n", (unsigned long long)info.replayed_epochs);
    if (info.torn_bytes)
        printf("journal      the last record was cut short; its %llu bytes are dropped\n",
               (unsigned long long)info.torn_bytes);
}

void folder_print(const struct folder *folder, const char *before, const char *after)
{
    printf("%s", before);
    text_shell_word(stdout, folder->path);
    puts(after);
}
