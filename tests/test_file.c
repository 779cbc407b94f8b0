/* SPDX-License-Identifier: MIT */
/* Files that are whole or not there: mappings, paths, atomic replacement, full disks. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "scratch.h"

enum { BUFFER_BYTES = 1 << 18, MANY_BYTES = 4 * BUFFER_BYTES };   /* the writer's buffer, and more than it holds */

static void assert_error(const egg_error *error, egg_status status, const char *path, const char *reason)
{
    char expected[5000];
    snprintf(expected, sizeof expected, "%s: %s", path, reason);
    assert_int_equal(error->status, status);
    assert_string_equal(error->text, expected);
}

static void assert_content(const char *name, const void *data, size_t bytes)
{
    size_t found_bytes;
    uint8_t *found = scratch_read(name, &found_bytes);
    assert_int_equal(found_bytes, bytes);
    assert_memory_equal(found, data, bytes);
    free(found);
}

static uint8_t *many_bytes(void)
{
    uint8_t *data = malloc(MANY_BYTES);
    assert_non_null(data);
    for (uint32_t i = 0; i < MANY_BYTES; i++) data[i] = (uint8_t)((i * 2654435761u) >> 24);
    return data;
}

/* ------------------------------------------------------------------------------------------------------- mappings */

static void test_mapping_shows_the_file(void **state)
{
    (void)state;
    egg_mapping mapping;
    egg_error error = {0};
    scratch_write("some", "bytes", 5);
    assert_int_equal(egg_mapping_open(&mapping, scratch_path("some"), &error), EGG_OK);
    assert_int_equal(mapping.bytes, 5);
    assert_memory_equal(mapping.data, "bytes", 5);
    assert_int_equal(egg_file_replace(scratch_path("some"), "other", 5, &error), EGG_OK);
    assert_memory_equal(mapping.data, "bytes", 5);   /* of the file that was there when it was opened */
    egg_mapping_close(&mapping);
    assert_null(mapping.data);
    egg_mapping_close(&mapping);
}

static void test_an_empty_file_is_an_empty_mapping(void **state)
{
    (void)state;
    egg_mapping mapping = {.data = (const uint8_t *)"", .bytes = 1};
    scratch_write("empty", "", 0);
    assert_int_equal(egg_mapping_open(&mapping, scratch_path("empty"), NULL), EGG_OK);
    assert_null(mapping.data);
    assert_int_equal(mapping.bytes, 0);
    egg_mapping_close(&mapping);
}

static void test_a_mapping_leaves_its_descriptor_open(void **state)
{
    (void)state;
    egg_mapping mapping;
    char byte;
    scratch_write("some", "bytes", 5);
    int fd = open(scratch_path("some"), O_RDONLY);
    assert_int_equal(egg_mapping_open_fd(&mapping, fd, "standard input", NULL), EGG_OK);
    assert_int_equal(mapping.bytes, 5);
    egg_mapping_close(&mapping);
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
}

static void test_what_is_no_file_is_not_mapped(void **state)
{
    (void)state;
    egg_mapping mapping;
    egg_error error = {0};
    const char *path = scratch_path("absent");
    assert_int_equal(egg_mapping_open(&mapping, path, &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, path, "cannot open: No such file or directory");
    assert_null(mapping.data);

    assert_int_equal(egg_mapping_open(&mapping, scratch_folder(), &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, scratch_folder(), "is a directory, expected a file");

    path = scratch_path("pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(egg_mapping_open(&mapping, path, &error), EGG_ERR_IO);   /* and does not wait for a writer */
    assert_error(&error, EGG_ERR_IO, path, "is no regular file");
    unlink(path);

    assert_int_equal(egg_mapping_open_fd(&mapping, -1, "standard input", &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, "standard input", "cannot read: Bad file descriptor");
}

/* ---------------------------------------------------------------------------------------------------------- paths */

static void test_paths_are_joined(void **state)
{
    (void)state;
    char out[8];
    egg_error error = {0};
    assert_int_equal(egg_path_join(out, sizeof out, "run", "m", &error), EGG_OK);
    assert_string_equal(out, "run/m");
    assert_int_equal(egg_path_join(out, sizeof out, "run/", "m", &error), EGG_OK);
    assert_string_equal(out, "run/m");
    assert_int_equal(egg_path_join(out, sizeof out, "/", "m", &error), EGG_OK);
    assert_string_equal(out, "/m");
    assert_int_equal(egg_path_join(out, sizeof out, "", "m", &error), EGG_OK);
    assert_string_equal(out, "m");
    assert_int_equal(egg_path_join(out, sizeof out, "run", "mod", &error), EGG_OK);
    assert_string_equal(out, "run/mod");
    assert_int_equal(egg_path_join(out, sizeof out, "run", "mode", &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, "'run/mode': the path has 8 bytes, expected at most 7");
}

static void test_directories_are_created_with_their_parents(void **state)
{
    (void)state;
    assert_int_equal(egg_directory_create(scratch_path("a/b/c"), NULL), EGG_OK);
    assert_true(egg_path_is_directory(scratch_path("a/b/c")));
    assert_int_equal(egg_directory_create(scratch_path("a/b/c"), NULL), EGG_OK);
    assert_int_equal(egg_directory_create(scratch_path("a//d/"), NULL), EGG_OK);
    assert_true(egg_path_is_directory(scratch_path("a/d")));
    assert_int_equal(egg_directory_create("/", NULL), EGG_OK);
    assert_true(egg_path_exists(scratch_path("a")));
    assert_false(egg_path_exists(scratch_path("b")));
    assert_false(egg_path_is_directory(scratch_path("b")));
}

static void test_directories_that_cannot_be(void **state)
{
    (void)state;
    egg_error error = {0};
    char longer[6000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';

    scratch_write("plain", "", 0);
    const char *path = scratch_path("plain");
    assert_false(egg_path_is_directory(path));
    assert_int_equal(egg_directory_create(scratch_path("plain/below"), &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, path, "cannot create the folder: File exists");
    assert_int_equal(egg_directory_create("", &error), EGG_ERR_ARGUMENT);
    assert_string_equal(error.text, "cannot create a folder without a name");
    assert_int_equal(egg_directory_create(longer, &error), EGG_ERR_ARGUMENT);
}

/* -------------------------------------------------------------------------------------------------------- writing */

static void test_pieces_of_any_size_arrive(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 0, 63, BUFFER_BYTES - 64, 1, BUFFER_BYTES, BUFFER_BYTES + 1, 5};
    uint8_t *data = many_bytes();
    egg_file_writer *writer;
    size_t at = 0;
    assert_int_equal(egg_file_writer_open(&writer, scratch_path("pieces"), NULL), EGG_OK);
    for (size_t i = 0; i < EGG_COUNT(pieces); i++) {
        egg_file_writer_write(writer, data + at, pieces[i]);
        at += pieces[i];
    }
    egg_file_writer_write(writer, NULL, 0);
    assert_int_equal(egg_file_writer_commit(writer, NULL), EGG_OK);
    assert_content("pieces", data, at);

    assert_int_equal(egg_file_replace(scratch_path("pieces"), data, MANY_BYTES, NULL), EGG_OK);
    assert_content("pieces", data, MANY_BYTES);
    assert_int_equal(egg_file_replace(scratch_path("pieces"), NULL, 0, NULL), EGG_OK);
    assert_content("pieces", "", 0);
    free(data);
}

static void test_the_old_file_stays_until_commit(void **state)
{
    (void)state;
    uint8_t *data = many_bytes();
    egg_file_writer *writer;
    scratch_write("old", "old", 3);
    size_t count = scratch_count();
    for (int commit = 0; commit <= 1; commit++) {
        assert_int_equal(egg_file_writer_open(&writer, scratch_path("old"), NULL), EGG_OK);
        egg_file_writer_write(writer, data, MANY_BYTES);
        assert_content("old", "old", 3);
        assert_int_equal(scratch_count(), count + 1);   /* the temporary lies in the same folder */
        if (commit) assert_int_equal(egg_file_writer_commit(writer, NULL), EGG_OK);
        else egg_file_writer_abort(writer);
        assert_int_equal(scratch_count(), count);
    }
    assert_content("old", data, MANY_BYTES);
    egg_file_writer_abort(NULL);
    free(data);
}

static void test_the_mask_decides_who_may_read(void **state)
{
    (void)state;
    struct stat info;
    mode_t before = umask(027);
    egg_status status = egg_file_replace(scratch_path("mode"), "x", 1, NULL);
    umask(before);
    assert_int_equal(status, EGG_OK);
    assert_int_equal(stat(scratch_path("mode"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

static void test_a_dead_process_is_no_obstacle(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "left.tmp-%ld", (long)getpid());
    scratch_write(name, "half a file", 11);
    assert_int_equal(egg_file_replace(scratch_path("left"), "whole", 5, NULL), EGG_OK);
    assert_content("left", "whole", 5);
    assert_false(egg_path_exists(scratch_path(name)));
}

static void test_a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    uint8_t *data = many_bytes();
    const char *path = scratch_path("full");
    scratch_write("full", "old", 3);
    size_t count = scratch_count();
    static const size_t limits[] = {0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, MANY_BYTES - 1};
    for (size_t i = 0; i < EGG_COUNT(limits); i++) {
        egg_error error = {0};
        scratch_limit_files(limits[i]);
        egg_status status = egg_file_replace(path, data, MANY_BYTES, &error);
        scratch_unlimit_files();
        assert_int_equal(status, EGG_ERR_IO);
        assert_error(&error, EGG_ERR_IO, path, "cannot write: File too large");
        assert_content("full", "old", 3);
        assert_int_equal(scratch_count(), count);
    }
    free(data);
}

static void test_a_failure_sticks(void **state)
{
    (void)state;
    uint8_t *data = many_bytes();
    egg_error error = {0};
    egg_file_writer *writer;
    const char *path = scratch_path("sticks");
    size_t count = scratch_count();
    assert_int_equal(egg_file_writer_open(&writer, path, NULL), EGG_OK);
    scratch_limit_files(10);
    egg_file_writer_write(writer, data, MANY_BYTES);
    scratch_unlimit_files();
    egg_file_writer_write(writer, data, MANY_BYTES);   /* there is room again, but not for a file with a hole */
    assert_int_equal(egg_file_writer_commit(writer, &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, path, "cannot write: File too large");
    assert_int_equal(scratch_count(), count);
    free(data);
}

static void test_places_that_cannot_be_written(void **state)
{
    (void)state;
    egg_error error = {0};
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    size_t count = scratch_count();

    const char *path = scratch_path("absent/file");
    assert_int_equal(egg_file_replace(path, "x", 1, &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, path, "cannot write: No such file or directory");

    assert_int_equal(egg_directory_create(scratch_path("folder"), NULL), EGG_OK);
    path = scratch_path("folder");
    assert_int_equal(egg_file_replace(path, "x", 1, &error), EGG_ERR_IO);
    assert_error(&error, EGG_ERR_IO, path, "cannot write: Is a directory");
    assert_int_equal(scratch_count(), count + 1);

    assert_int_equal(egg_file_replace(longer, "x", 1, &error), EGG_ERR_ARGUMENT);
}

static void test_missing_memory_is_reported(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_file_writer *writer = (egg_file_writer *)&error;
    size_t count = scratch_count();
    const char *path = scratch_path("memory");
    egg_alloc_fail_at(1);
    assert_int_equal(egg_file_writer_open(&writer, path, &error), EGG_ERR_NOMEM);
    assert_error(&error, EGG_ERR_NOMEM, path, "no memory for a write buffer");
    assert_null(writer);
    assert_int_equal(scratch_count(), count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping_shows_the_file),
        cmocka_unit_test(test_an_empty_file_is_an_empty_mapping),
        cmocka_unit_test(test_a_mapping_leaves_its_descriptor_open),
        cmocka_unit_test(test_what_is_no_file_is_not_mapped),
        cmocka_unit_test(test_paths_are_joined),
        cmocka_unit_test(test_directories_are_created_with_their_parents),
        cmocka_unit_test(test_directories_that_cannot_be),
        cmocka_unit_test(test_pieces_of_any_size_arrive),
        cmocka_unit_test(test_the_old_file_stays_until_commit),
        cmocka_unit_test(test_the_mask_decides_who_may_read),
        cmocka_unit_test(test_a_dead_process_is_no_obstacle),
        cmocka_unit_test(test_a_full_disk_leaves_the_old_file),
        cmocka_unit_test(test_a_failure_sticks),
        cmocka_unit_test(test_places_that_cannot_be_written),
        cmocka_unit_test(test_missing_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
