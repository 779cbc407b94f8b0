/* SPDX-License-Identifier: MIT */
#include "run_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(int good, const char *what)
{
    if (good) return;
    perror(what);
    abort();
}

void folder_path(char path[RUN_FOLDER_BYTES], const char *folder, const char *name)
{
    check(snprintf(path, RUN_FOLDER_BYTES, "%s/%s", folder, name) < RUN_FOLDER_BYTES, name);
}

void folder_make(char folder[RUN_FOLDER_BYTES])
{
    const char *base = getenv("TMPDIR");
    folder_path(folder, base && *base ? base : "/tmp", "eggroll-test-XXXXXX");
    check(mkdtemp(folder) != NULL, folder);
}

void folder_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    check(dir != NULL, folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[RUN_FOLDER_BYTES];
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        folder_path(path, folder, entry->d_name);
        check(lstat(path, &info) == 0, path);
        if (S_ISDIR(info.st_mode)) folder_remove(path);
        else check(unlink(path) == 0, path);
    }
    closedir(dir);
    check(rmdir(folder) == 0, folder);
}

void file_copy(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char buffer[4096];
    size_t n;
    check(in && out, from);
    while ((n = fread(buffer, 1, sizeof buffer, in)) > 0) check(fwrite(buffer, 1, n, out) == n, to);
    fclose(in);
    check(fclose(out) == 0, to);
}

void folder_copy(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    check(dir != NULL && mkdir(to, 0777) == 0, to);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char source[RUN_FOLDER_BYTES], target[RUN_FOLDER_BYTES];
        if (entry->d_name[0] == '.') continue;
        folder_path(source, from, entry->d_name);
        folder_path(target, to, entry->d_name);
        file_copy(source, target);
    }
    closedir(dir);
}

void text_make(const char *folder, char path[RUN_FOLDER_BYTES])
{
    static const char *const words[] = {"egg", "roll", "rank", "pair", "noise", "fitness", "member", "sigma"};
    folder_path(path, folder, "text.txt");
    FILE *file = fopen(path, "wb");
    check(file != NULL, path);
    unsigned state = 1;
    for (int i = 0; i < 1500; i++) {
        state = state * 1103515245 + 12345;
        fprintf(file, "%s%c", words[state >> 16 & 7], state >> 20 & 15 ? ' ' : '\n');
        if (i % 211 == 210) fputc(0, file);
    }
    check(fclose(file) == 0, path);
}
