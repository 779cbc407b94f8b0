/* SPDX-License-Identifier: MIT */
/* Event files: the bytes that TensorBoard's own writer makes, whole records whatever happens to the disk. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "scratch.h"
#include "train/tfevents.h"

/* ------------------------------------------------------------------------------------------------------- encoding */

static void to_hex(char *out, const uint8_t *data, size_t bytes)
{
    out[0] = '\0';
    for (size_t i = 0; i < bytes; i++) sprintf(out + 2 * i, "%02x", data[i]);
}

/* tests/gen/tfevents_kat.py */
static void test_records_are_tensorboards(void **state)
{
    (void)state;
    FILE *file = fopen(EGG_TEST_SOURCE_DIR "/kat/tfevents.txt", "r");
    assert_non_null(file);
    char line[1024], tag[128], expected[512], found[2 * EGG_TFEVENTS_RECORD_BYTES + 1];
    int cases = 0;
    while (fgets(line, sizeof line, file)) {
        uint8_t record[EGG_TFEVENTS_RECORD_BYTES];
        double seconds;
        long long step;
        uint32_t bits;
        float value;
        if (line[0] == '#') continue;
        assert_int_equal(sscanf(line, "%lf %lld %127s %x %511s", &seconds, &step, tag, &bits, expected), 5);
        memcpy(&value, &bits, sizeof value);
        memset(record, 0xca, sizeof record);
        size_t bytes = egg_tfevents_encode_scalar(seconds, step, tag, value, record);
        assert_in_range(bytes, 1, sizeof record);
        to_hex(found, record, bytes);
        assert_string_equal(found, expected);
        for (size_t i = bytes; i < sizeof record; i++) assert_int_equal(record[i], 0xca);
        cases++;
    }
    fclose(file);
    assert_int_equal(cases, 7);
}

static void test_a_long_tag_is_cut(void **state)
{
    (void)state;
    char tag[301];
    uint8_t whole[EGG_TFEVENTS_RECORD_BYTES], cut[EGG_TFEVENTS_RECORD_BYTES];
    memset(tag, 'x', 300);
    tag[300] = '\0';
    size_t cut_bytes = egg_tfevents_encode_scalar(1, -1, tag, 1, cut);
    tag[64] = '\0';
    assert_int_equal(egg_tfevents_encode_scalar(1, -1, tag, 1, whole), cut_bytes);
    assert_memory_equal(cut, whole, cut_bytes);
}

/* ----------------------------------------------------------------------------------------------------------- files */

static egg_tfevents *open_in(const char *name)
{
    egg_tfevents *events;
    egg_error error = {0};
    assert_int_equal(egg_directory_create(scratch_path(name), NULL), EGG_OK);
    if (egg_tfevents_open(&events, scratch_path(name), &error) != EGG_OK) fail_msg("%s", error.text);
    return events;
}

/* The one file in scratch folder 'name', relative to the scratch folder. */
static const char *event_file(const char *name)
{
    static char path[512];
    DIR *entries = opendir(scratch_path(name));
    int count = 0;
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        count++;
    }
    closedir(entries);
    assert_int_equal(count, 1);
    return path;
}

static double wall_time_of(const uint8_t *record)
{
    double seconds;
    assert_int_equal(record[12], 9);   /* field 1, 64 bits */
    memcpy(&seconds, record + 13, sizeof seconds);
    assert_in_range((int64_t)seconds, time(NULL) - 3600, time(NULL));
    return seconds;
}

/* Takes one record of the file at '*at': the one of this scalar at the time it is stamped with. */
static void assert_scalar(const uint8_t **at, const uint8_t *end, int64_t step, const char *tag, float value)
{
    uint8_t expected[EGG_TFEVENTS_RECORD_BYTES];
    assert_true(end - *at > 24);
    size_t bytes = egg_tfevents_encode_scalar(wall_time_of(*at), step, tag, value, expected);
    assert_true((size_t)(end - *at) >= bytes);
    assert_memory_equal(*at, expected, bytes);
    *at += bytes;
}

static void assert_version(const uint8_t **at, const uint8_t *end)
{
    assert_true(end - *at >= 40);
    assert_memory_equal(*at, "\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12);   /* 24 bytes, and the checksum of that */
    wall_time_of(*at);
    assert_memory_equal(*at + 21, "\x1a\x0d" "brain.Event:2", 15);
    *at += 40;
}

static void test_scalars_are_written_at_once(void **state)
{
    (void)state;
    egg_tfevents *events = open_in("once");
    for (int round = 0; round < 2; round++) {
        size_t bytes;
        if (round) {
            egg_tfevents_scalar(events, 0, "loss", 2.5f);
            egg_tfevents_scalar(events, 1000000, "a/b", -1e-30f);
        }
        uint8_t *data = scratch_read(event_file("once"), &bytes);
        const uint8_t *at = data;
        assert_version(&at, data + bytes);
        if (round) {
            assert_scalar(&at, data + bytes, 0, "loss", 2.5f);
            assert_scalar(&at, data + bytes, 1000000, "a/b", -1e-30f);
        }
        assert_ptr_equal(at, data + bytes);
        free(data);
    }
    assert_int_equal(egg_tfevents_flush(events, NULL), EGG_OK);
    egg_tfevents_close(events);
    egg_tfevents_close(NULL);
}

static void test_the_name_tells_when_where_and_who(void **state)
{
    (void)state;
    char expected[512], host[64] = "";
    long long before = (long long)time(NULL), seconds = 0;
    egg_tfevents_close(open_in("name"));
    const char *found = event_file("name");
    assert_int_equal(sscanf(found, "name/events.out.tfevents.%lld.", &seconds), 1);
    assert_in_range(seconds, before, time(NULL));
    gethostname(host, sizeof host - 1);
    snprintf(expected, sizeof expected, "name/events.out.tfevents.%lld.%s.%ld", seconds, host, (long)getpid());
    assert_string_equal(found, expected);
}

/* Two runs of one process within a second share a file. */
static void test_opened_again_it_goes_on(void **state)
{
    (void)state;
    for (int64_t run = 0; run < 2; run++) {
        egg_tfevents *events = open_in("again");
        egg_tfevents_scalar(events, run, "x", 1);
        egg_tfevents_close(events);
    }
    size_t files = 0, records = 0, bytes = 0;
    DIR *entries = opendir(scratch_path("again"));
    for (struct dirent *entry; (entry = readdir(entries));) {
        char name[512];
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "again/%s", entry->d_name);
        uint8_t *data = scratch_read(name, &bytes);
        for (const uint8_t *at = data; at < data + bytes; records++) {
            assert_version(&at, data + bytes);
            int64_t run = at[22];
            assert_scalar(&at, data + bytes, run, "x", 1);
        }
        free(data);
        files++;
    }
    closedir(entries);
    assert_in_range(files, 1, 2);
    assert_int_equal(records, 2);
}

static void test_a_full_disk_costs_whole_records(void **state)
{
    (void)state;
    egg_tfevents *events = open_in("full");
    egg_error error = {0};
    size_t bytes, before;
    egg_tfevents_scalar(events, 1, "x", 1);
    free(scratch_read(event_file("full"), &before));
    for (size_t room = 0; room < 39; room++) {   /* too little for one of these records */
        scratch_limit_files(before + room);
        egg_tfevents_scalar(events, 2, "x", 2);
        egg_tfevents_scalar(events, 3, "x", 3);
        scratch_unlimit_files();
        char expected[5000];
        assert_int_equal(egg_tfevents_flush(events, &error), EGG_ERR_IO);
        snprintf(expected, sizeof expected, "%s: cannot write: File too large", scratch_path(event_file("full")));
        assert_string_equal(error.text, expected);
        assert_int_equal(egg_tfevents_flush(events, &error), EGG_OK);   /* it is told once */
        free(scratch_read(event_file("full"), &bytes));
        assert_int_equal(bytes, before);
    }
    egg_tfevents_scalar(events, 4, "x", 4);
    assert_int_equal(egg_tfevents_flush(events, NULL), EGG_OK);
    egg_tfevents_close(events);

    uint8_t *data = scratch_read(event_file("full"), &bytes);
    const uint8_t *at = data;
    assert_version(&at, data + bytes);
    assert_scalar(&at, data + bytes, 1, "x", 1);
    assert_scalar(&at, data + bytes, 4, "x", 4);
    assert_ptr_equal(at, data + bytes);
    free(data);
}

static void test_failures_to_open_are_reported(void **state)
{
    (void)state;
    egg_tfevents *events = (egg_tfevents *)state;
    egg_error error = {0};
    assert_int_equal(egg_tfevents_open(&events, scratch_path("absent"), &error), EGG_ERR_IO);
    assert_null(events);
    assert_non_null(strstr(error.text, "absent/events.out.tfevents."));
    assert_non_null(strstr(error.text, ": cannot write: No such file or directory"));

    assert_int_equal(egg_directory_create(scratch_path("no-room"), NULL), EGG_OK);
    scratch_limit_files(30);
    egg_status status = egg_tfevents_open(&events, scratch_path("no-room"), &error);
    scratch_unlimit_files();
    assert_int_equal(status, EGG_ERR_IO);
    assert_null(events);
    assert_non_null(strstr(error.text, ": cannot write: "));

    egg_alloc_fail_at(1);
    assert_int_equal(egg_tfevents_open(&events, scratch_folder(), &error), EGG_ERR_NOMEM);
    assert_null(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_are_tensorboards),
        cmocka_unit_test(test_a_long_tag_is_cut),
        cmocka_unit_test(test_scalars_are_written_at_once),
        cmocka_unit_test(test_the_name_tells_when_where_and_who),
        cmocka_unit_test(test_opened_again_it_goes_on),
        cmocka_unit_test(test_a_full_disk_costs_whole_records),
        cmocka_unit_test(test_failures_to_open_are_reported),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
