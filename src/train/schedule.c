/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "train/schedule.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The record: 8 bytes that name it, then one little-endian uint32 an epoch; 0 where none is known. */
static const char record_name[8] = {'E', 'G', 'G', 'R', 'A', 'T', 'E', '1'};

double egg_schedule_progress(const egg_schedule *schedule, uint64_t epoch, double elapsed)
{
    double by_epochs = schedule->epochs ? (double)epoch / (double)schedule->epochs : 0;
    double by_time = schedule->seconds > 0 ? elapsed / schedule->seconds : 0;
    double progress = by_epochs > by_time ? by_epochs : by_time;
    return progress < 1 ? progress : 1;
}

bool egg_schedule_finished(const egg_schedule *schedule, uint64_t epoch, double elapsed)
{
    return (schedule->epochs && epoch >= schedule->epochs) || (schedule->seconds > 0 && elapsed >= schedule->seconds);
}

static off_t record_offset(uint64_t epoch)
{
    return (off_t)(sizeof record_name + 4 * epoch);
}

static uint32_t recorded(const egg_schedule *schedule, uint64_t epoch)
{
    uint8_t bytes[4];
    if (schedule->record < 0 ||
        pread(schedule->record, bytes, sizeof bytes, record_offset(epoch)) != sizeof bytes) return 0;
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* A full disk leaves a hole: should the run be killed before its next save, that epoch's rate comes from the clock. */
static void record(const egg_schedule *schedule, uint64_t epoch, uint32_t rate24)
{
    const uint8_t bytes[4] = {(uint8_t)rate24, (uint8_t)(rate24 >> 8), (uint8_t)(rate24 >> 16),
                              (uint8_t)(rate24 >> 24)};
    if (schedule->record < 0) return;
    ssize_t written = pwrite(schedule->record, bytes, sizeof bytes, record_offset(epoch));
    (void)written;
}

uint32_t egg_schedule_rate24(const egg_schedule *schedule, uint64_t epoch, double elapsed)
{
    uint64_t initial = schedule->initial24, rate = initial;
    uint32_t known = recorded(schedule, epoch);
    if (known) return known;
    if (schedule->epochs) {
        uint64_t left = schedule->epochs > epoch ? schedule->epochs - epoch : 0;
        rate = initial * left / schedule->epochs;   /* initial < 2^29, epochs < 2^32 */
    }
    if (schedule->seconds > 0) {
        double left = elapsed < schedule->seconds ? 1 - elapsed / schedule->seconds : 0;
        uint64_t by_time = (uint64_t)((double)initial * left);
        if (by_time < rate) rate = by_time;
    }
    if (rate == 0) rate = 1;
    record(schedule, epoch, (uint32_t)rate);
    return (uint32_t)rate;
}

double egg_schedule_alpha(const egg_schedule *schedule, uint64_t epoch)
{
    return schedule->alpha > 0 ? schedule->alpha : 1000.0 / (15.0 * (double)epoch + 1000.0);
}

egg_status egg_schedule_open_record(egg_schedule *schedule, const char *path, bool anew, egg_error *error)
{
    char name[sizeof record_name];
    schedule->record = -1;
    if (schedule->seconds <= 0 || schedule->rule != EGG_RULE_FRACTIONAL) return EGG_OK;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (anew ? O_TRUNC : 0), 0666);
    if (file < 0) return egg_fail_errno(error, "%s: cannot open the record of learning rates", path);
    ssize_t got = pread(file, name, sizeof name, 0);
    if (got == 0 && pwrite(file, record_name, sizeof record_name, 0) != sizeof record_name) {
        egg_status status = egg_fail_errno(error, "%s: cannot write the record of learning rates", path);
        close(file);
        return status;
    }
    if (got != 0 && (got != sizeof name || memcmp(name, record_name, sizeof name) != 0)) {
        close(file);
        return egg_fail(error, EGG_ERR_FORMAT, "%s: not a record of learning rates", path);
    }
    schedule->record = file;
    return EGG_OK;
}

void egg_schedule_close_record(egg_schedule *schedule)
{
    if (schedule->record >= 0) close(schedule->record);
    schedule->record = -1;
}
