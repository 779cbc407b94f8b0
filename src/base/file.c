/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

#define TEMPORARY_MARK ".tmp-"   /* then the number of the process */

enum { BUFFER_BYTES = 1 << 18, PATH_BYTES = 4096 };

/* -------------------------------------------------------------------------------------------------------- reading */

egg_status egg_mapping_open_fd(egg_mapping *mapping, int fd, const char *name, egg_error *error)
{
    struct stat info;
    *mapping = (egg_mapping){0};
    if (fstat(fd, &info) != 0) return egg_fail_errno(error, "%s: cannot read", name);
    if (S_ISDIR(info.st_mode)) return egg_fail(error, EGG_ERR_IO, "%s: is a directory, expected a file", name);
    if (!S_ISREG(info.st_mode)) return egg_fail(error, EGG_ERR_IO, "%s: is no regular file", name);
    if (info.st_size == 0) return EGG_OK;
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return egg_fail_errno(error, "%s: cannot map %lld bytes", name, (long long)info.st_size);
    *mapping = (egg_mapping){.data = data, .bytes = (size_t)info.st_size};
    return EGG_OK;
}

egg_status egg_mapping_open(egg_mapping *mapping, const char *path, egg_error *error)
{
    *mapping = (egg_mapping){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a pipe is refused, not waited for */
    if (fd < 0) return egg_fail_errno(error, "%s: cannot open", path);
    egg_status status = egg_mapping_open_fd(mapping, fd, path, error);
    close(fd);
    return status;
}

void egg_mapping_close(egg_mapping *mapping)
{
    if (mapping->data) munmap((void *)(uintptr_t)mapping->data, mapping->bytes);
    *mapping = (egg_mapping){0};
}

static int open_nameless(const char *folder, egg_error *error)
{
    char path[PATH_BYTES];
    if (egg_path_join(path, sizeof path, folder, "memory-XXXXXX", error) != EGG_OK) return -1;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) egg_fail_errno(error, "%s: cannot create a temporary file", folder);
    else unlink(path);
    return fd;
}

egg_status egg_file_memory_open(void **memory, size_t bytes, const char *folder, egg_error *error)
{
    egg_status status = EGG_OK;
    *memory = NULL;
    int fd = open_nameless(folder, error);
    if (fd < 0) return EGG_ERR_IO;
    errno = posix_fallocate(fd, 0, (off_t)bytes);
    void *mapped = errno ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) status = egg_fail_errno(error, "%s: no room for a temporary file of %zu bytes", folder,
                                                      bytes);
    else *memory = mapped;
    close(fd);
    return status;
}

void egg_file_memory_close(void *memory, size_t bytes)
{
    if (memory) munmap(memory, bytes);
}

bool egg_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool egg_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

egg_status egg_path_join(char *out, size_t size, const char *folder, const char *name, egg_error *error)
{
    size_t length = strlen(folder);
    const char *between = length == 0 || folder[length - 1] == '/' ? "" : "/";
    int needed = snprintf(out, size, "%s%s%s", folder, between, name);
    if (needed < 0 || (size_t)needed >= size)
        return egg_fail(error, EGG_ERR_ARGUMENT, "'%.60s%s%.60s': the path has %d bytes, expected at most %zu", folder,
                        between, name, needed, size - 1);
    return EGG_OK;
}

egg_status egg_directory_create(const char *path, egg_error *error)
{
    char part[PATH_BYTES];
    if (!*path) return egg_fail(error, EGG_ERR_ARGUMENT, "cannot create a folder without a name");
    egg_status status = egg_path_join(part, sizeof part, "", path, error);
    if (status != EGG_OK) return status;
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char ending = *at;
        *at = '\0';
        int failure = mkdir(part, 0777) == 0 ? 0 : errno;
        if (failure && !egg_path_is_directory(part)) {   /* one that is there may also fail with EROFS or EACCES */
            errno = failure;
            return egg_fail_errno(error, "%s: cannot create the folder", part);
        }
        *at = ending;
        if (!ending) return EGG_OK;
    }
}

/* -------------------------------------------------------------------------------------------------------- writing */

struct egg_file_writer {
    int fd;
    int failure;               /* errno of the first failure, 0 = none */
    size_t used;
    char path[PATH_BYTES];
    char temporary[PATH_BYTES];
    char buffer[BUFFER_BYTES];
};

egg_status egg_file_writer_open(egg_file_writer **out, const char *path, egg_error *error)
{
    *out = NULL;
    egg_file_writer *writer = egg_alloc(sizeof *writer);
    if (!writer) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a write buffer", path);
    snprintf(writer->path, sizeof writer->path, "%s", path);
    int length = snprintf(writer->temporary, sizeof writer->temporary, "%s" TEMPORARY_MARK "%ld", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof writer->temporary) {
        egg_free(writer);
        return egg_fail(error, EGG_ERR_ARGUMENT, "'%.60s...': the path has %zu bytes, too many", path, strlen(path));
    }
    unlink(writer->temporary);   /* of a process that had this number and died */
    writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        egg_status status = egg_fail_errno(error, "%s: cannot write", path);
        egg_free(writer);
        return status;
    }
    *out = writer;
    return EGG_OK;
}

static void write_all(egg_file_writer *writer, const char *data, size_t bytes)
{
    while (bytes && !writer->failure) {
        ssize_t written = write(writer->fd, data, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            writer->failure = written < 0 ? errno : EIO;
            return;
        }
        data += written;
        bytes -= (size_t)written;
    }
}

static void flush_buffer(egg_file_writer *writer)
{
    write_all(writer, writer->buffer, writer->used);
    writer->used = 0;
}

void egg_file_writer_write(egg_file_writer *writer, const void *data, size_t bytes)
{
    if (bytes > BUFFER_BYTES - writer->used) flush_buffer(writer);
    if (bytes > BUFFER_BYTES) {
        write_all(writer, data, bytes);
        return;
    }
    if (bytes) memcpy(writer->buffer + writer->used, data, bytes);
    writer->used += bytes;
}

/* A rename is lasting once the folder that records it is on the disk. Returns 0 or an errno. */
static int flush_folder(const char *path)
{
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;   /* a folder may be writable and yet not readable */
    int failure = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;   /* EINVAL: this file system cannot, or need not */
    close(fd);
    return failure;
}

egg_status egg_file_writer_commit(egg_file_writer *writer, egg_error *error)
{
    flush_buffer(writer);
    if (!writer->failure && fsync(writer->fd) != 0) writer->failure = errno;
    if (close(writer->fd) != 0 && !writer->failure) writer->failure = errno;
    if (!writer->failure && rename(writer->temporary, writer->path) != 0) writer->failure = errno;
    if (writer->failure) unlink(writer->temporary);
    else writer->failure = flush_folder(writer->path);
    egg_status status = EGG_OK;
    if (writer->failure) {
        errno = writer->failure;
        status = egg_fail_errno(error, "%s: cannot write", writer->path);
    }
    egg_free(writer);
    return status;
}

void egg_file_writer_abort(egg_file_writer *writer)
{
    if (!writer) return;
    close(writer->fd);
    unlink(writer->temporary);
    egg_free(writer);
}

egg_status egg_file_replace(const char *path, const void *data, size_t bytes, egg_error *error)
{
    egg_file_writer *writer;
    egg_status status = egg_file_writer_open(&writer, path, error);
    if (status != EGG_OK) return status;
    egg_file_writer_write(writer, data, bytes);
    return egg_file_writer_commit(writer, error);
}

static bool is_temporary(const char *name)
{
    const char *mark = strstr(name, TEMPORARY_MARK);
    const char *number = mark ? mark + strlen(TEMPORARY_MARK) : "";
    return *number && number[strspn(number, "0123456789")] == '\0';
}

void egg_directory_remove_temporaries(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (is_temporary(entry->d_name)) unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
}
