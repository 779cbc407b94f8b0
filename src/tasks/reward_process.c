/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tasks/reward_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { COMPLAINT_BYTES = 200, CLOSING_MILLISECONDS = 1000 };

extern char **environ;

/* One program. */
typedef struct egg_reward_worker {
    pid_t pid;                   /* 0: not running */
    int in, out, err;            /* its standard streams, this side's ends, nonblocking */
    bool busy;
    size_t request;              /* it works on */
    uint64_t id;
    uint32_t failures;           /* deaths and hangs on this request */
    double deadline;
    char *text;                  /* (text_bytes) the line of the request, sent up to 'sent' */
    size_t text_bytes, sent;
    char *reply;                 /* (max_reply + 1), 'received' there */
    size_t received;
    char complaint[COMPLAINT_BYTES];   /* the end of its standard error */
    size_t complaint_bytes;
} egg_reward_worker;

struct egg_reward_process {
    egg_reward_options options;
    char *command;
    egg_reward_worker *workers;  /* (workers) */
    struct pollfd *polled;       /* (3 * workers) */
    uint64_t next_id, restarts;
};

/* --------------------------------------------------------------------------------------------------- starting, ending
 */

static void close_fd(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Kills whatever the shell started, too. */
static void end_worker(egg_reward_worker *worker)
{
    if (worker->pid) {
        kill(-worker->pid, SIGKILL);
        while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    worker->pid = 0;
    close_fd(&worker->in);
    close_fd(&worker->out);
    close_fd(&worker->err);
}

static bool open_pipes(int pipes[3][2])
{
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC) != 0) return false;
    return true;
}

static int spawn_shell(pid_t *pid, const char *command, int pipes[3][2])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    char *const words[] = {(char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, pipes[0][0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1][1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[2][1], STDERR_FILENO);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failure = posix_spawn(pid, "/bin/sh", &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failure;
}

static egg_status start_worker(const egg_reward_process *process, egg_reward_worker *worker, egg_error *error)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    errno = 0;
    int failure = open_pipes(pipes) ? spawn_shell(&worker->pid, process->command, pipes) : errno;
    close_fd(&pipes[0][0]);
    close_fd(&pipes[1][1]);
    close_fd(&pipes[2][1]);
    worker->in = pipes[0][1];
    worker->out = pipes[1][0];
    worker->err = pipes[2][0];
    worker->received = worker->complaint_bytes = 0;
    if (failure) {
        worker->pid = 0;
        end_worker(worker);
        errno = failure;
        return egg_fail_errno(error, "--reward: cannot start '%s'", process->command);
    }
    fcntl(worker->in, F_SETFL, O_NONBLOCK);
    fcntl(worker->out, F_SETFL, O_NONBLOCK);
    fcntl(worker->err, F_SETFL, O_NONBLOCK);
    return EGG_OK;
}

/* ----------------------------------------------------------------------------------------------------- the streams */

/* Writing to a program that is gone must not end this one: the signal is held back and taken away. */
static ssize_t write_quietly(int fd, const char *data, size_t bytes)
{
    sigset_t pipe_signal, before;
    const struct timespec now = {0};
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t written = write(fd, data, bytes);
    int failure = errno;
    if (written < 0 && failure == EPIPE && !sigismember(&before, SIGPIPE))
        while (sigtimedwait(&pipe_signal, NULL, &now) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    return written;
}

static void send_some(egg_reward_worker *worker)
{
    while (worker->sent < worker->text_bytes) {
        ssize_t n = write_quietly(worker->in, worker->text + worker->sent, worker->text_bytes - worker->sent);
        if (n <= 0) return;   /* full for now; of one that is gone the output tells */
        worker->sent += (size_t)n;
    }
}

/* Keeps the end of what it complains; of one that does nothing else, a part at a time. */
static void read_complaints(egg_reward_worker *worker)
{
    char part[512];
    for (int parts = 0; worker->err >= 0 && parts < 128; parts++) {
        ssize_t n = read(worker->err, part, sizeof part);
        if (n < 0) return;
        if (n == 0) {
            close_fd(&worker->err);
            return;
        }
        size_t bytes = (size_t)n, room = COMPLAINT_BYTES - 1;
        const char *from = bytes > room ? part + bytes - room : part;
        if (bytes > room) bytes = room;
        size_t keep = worker->complaint_bytes + bytes > room ? room - bytes : worker->complaint_bytes;
        memmove(worker->complaint, worker->complaint + worker->complaint_bytes - keep, keep);
        memcpy(worker->complaint + keep, from, bytes);
        worker->complaint_bytes = keep + bytes;
    }
}

typedef enum egg_reading_state { READ_PART, READ_LINE, READ_END, READ_FLOOD } egg_reading_state;

static egg_reading_state read_reply(egg_reward_worker *worker, size_t max_reply)
{
    for (;;) {
        if (memchr(worker->reply, '\n', worker->received)) return READ_LINE;
        if (worker->received > max_reply) return READ_FLOOD;
        ssize_t n = read(worker->out, worker->reply + worker->received, max_reply + 1 - worker->received);
        if (n == 0) return READ_END;
        if (n < 0) return errno == EAGAIN || errno == EINTR ? READ_PART : READ_END;
        worker->received += (size_t)n;
    }
}

/* ---------------------------------------------------------------------------------------------------------- requests
 */

/* 'what' the program did, with the end of its standard error. */
static egg_status complain(const egg_reward_process *process, egg_reward_worker *worker, egg_status status,
                           const char *what, egg_error *error)
{
    read_complaints(worker);
    size_t n = worker->complaint_bytes;
    while (n && (worker->complaint[n - 1] == '\n' || worker->complaint[n - 1] == ' ')) n--;
    worker->complaint[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (worker->complaint[i] == '\n') worker->complaint[i] = ' ';
    return egg_fail(error, status, "--reward: '%.80s' %s%s%s", process->command, what, n ? "; it said: " : "",
                    worker->complaint);
}

static egg_status give_request(egg_reward_process *process, egg_reward_worker *worker,
                               const egg_reward_request *request, egg_error *error)
{
    egg_status status = worker->pid ? EGG_OK : start_worker(process, worker, error);
    if (status != EGG_OK) return status;
    egg_free(worker->text);
    worker->sent = worker->received = 0;
    worker->text = egg_reward_request_text(request, worker->id, &worker->text_bytes);
    if (!worker->text) return egg_fail(error, EGG_ERR_NOMEM, "--reward: no memory for a request");
    worker->deadline = egg_clock_seconds() + process->options.seconds;
    worker->busy = true;
    send_some(worker);
    return EGG_OK;
}

/* How a program came to an end whose output has ended; it may take a moment to be gone. */
static void tell_ending(const egg_reward_worker *worker, char *text, size_t size)
{
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    siginfo_t info = {0};
    for (int i = 0; i < CLOSING_MILLISECONDS && !info.si_pid; i++) {
        if (waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) break;
        if (!info.si_pid) nanosleep(&pause, NULL);
    }
    if (!info.si_pid) snprintf(text, size, "closed its output");
    else if (info.si_code == CLD_EXITED) snprintf(text, size, "ended with status %d", info.si_status);
    else snprintf(text, size, "was ended by signal %d", info.si_status);
}

/* A death or a hang: once more with a new program, or the end of it. */
static egg_status try_again(egg_reward_process *process, egg_reward_worker *worker, const egg_reward_request *request,
                            bool is_late, egg_error *error)
{
    if (++worker->failures >= process->options.attempts) {
        char text[160], what[40] = "gave no reply in time";
        if (!is_late) tell_ending(worker, what, sizeof what);
        snprintf(text, sizeof text, "%s on request %" PRIu64 ", %u times in a row", what, worker->id, worker->failures);
        return complain(process, worker, EGG_ERR_IO, text, error);
    }
    end_worker(worker);
    process->restarts++;
    return give_request(process, worker, request, error);
}

/* What a busy worker has written. */
static egg_status take_reply(egg_reward_process *process, egg_reward_worker *worker, const egg_reward_request *requests,
                             double *rewards, size_t *done, egg_error *error)
{
    char text[400];
    egg_error reason;
    egg_reading_state state = read_reply(worker, process->options.max_reply);
    if (state == READ_PART) return EGG_OK;
    if (state == READ_END) return try_again(process, worker, &requests[worker->request], false, error);
    if (state == READ_FLOOD) {
        snprintf(text, sizeof text, "replied to request %" PRIu64 " with more than %zu bytes without a newline",
                 worker->id, process->options.max_reply);
        return complain(process, worker, EGG_ERR_FORMAT, text, error);
    }
    size_t bytes = (size_t)((char *)memchr(worker->reply, '\n', worker->received) - worker->reply);
    if (egg_reward_reply_parse(worker->reply, bytes, worker->id, &rewards[worker->request], &reason) != EGG_OK)
        return complain(process, worker, EGG_ERR_FORMAT, reason.text, error);
    if (bytes + 1 < worker->received) {
        snprintf(text, sizeof text, "wrote more than one line for request %" PRIu64, worker->id);
        return complain(process, worker, EGG_ERR_FORMAT, text, error);
    }
    worker->busy = false;
    worker->received = 0;
    ++*done;
    return EGG_OK;
}

/* An idle program has nothing to say; one that died while idle is started again when it is needed. */
static egg_status check_idle(egg_reward_process *process, egg_reward_worker *worker, egg_error *error)
{
    char text[100];
    egg_reading_state state = read_reply(worker, process->options.max_reply);
    if (state == READ_END && worker->received == 0) {
        end_worker(worker);
        return EGG_OK;
    }
    if (worker->received == 0) return EGG_OK;
    snprintf(text, sizeof text, "wrote more than one line for request %" PRIu64, worker->id);
    return complain(process, worker, EGG_ERR_FORMAT, text, error);
}

/* Waits until a stream has something, or the next deadline. */
static void wait_for_streams(egg_reward_process *process)
{
    double now = egg_clock_seconds(), first = now + 60;
    nfds_t count = 0;
    for (uint32_t i = 0; i < process->options.workers; i++) {
        egg_reward_worker *worker = &process->workers[i];
        if (!worker->busy) continue;
        if (worker->deadline < first) first = worker->deadline;
        process->polled[count++] = (struct pollfd){.fd = worker->out, .events = POLLIN};
        process->polled[count++] = (struct pollfd){.fd = worker->err, .events = POLLIN};   /* -1 is passed over */
        if (worker->sent < worker->text_bytes)
            process->polled[count++] = (struct pollfd){.fd = worker->in, .events = POLLOUT};
    }
    poll(process->polled, count, first > now ? (int)((first - now) * 1000) + 1 : 0);
}

static egg_status serve(egg_reward_process *process, egg_reward_worker *worker, const egg_reward_request *requests,
                        double *rewards, size_t *done, egg_error *error)
{
    egg_status status = EGG_OK;
    send_some(worker);
    read_complaints(worker);
    EGG_TRY(take_reply(process, worker, requests, rewards, done, error));
    if (worker->busy && egg_clock_seconds() > worker->deadline)
        status = try_again(process, worker, &requests[worker->request], true, error);
out:
    return status;
}

static egg_status run_all(egg_reward_process *process, const egg_reward_request *requests, size_t count,
                          double *rewards, egg_error *error)
{
    egg_status status = EGG_OK;
    size_t next = 0, done = 0;
    while (done < count) {
        for (uint32_t i = 0; i < process->options.workers && next < count; i++) {
            egg_reward_worker *worker = &process->workers[i];
            if (worker->busy) continue;
            if (worker->pid) EGG_TRY(check_idle(process, worker, error));
            worker->request = next++;
            worker->id = process->next_id++;
            worker->failures = 0;
            EGG_TRY(give_request(process, worker, &requests[worker->request], error));
        }
        wait_for_streams(process);
        for (uint32_t i = 0; i < process->options.workers; i++)
            if (process->workers[i].busy)
                EGG_TRY(serve(process, &process->workers[i], requests, rewards, &done, error));
    }
    for (uint32_t i = 0; i < process->options.workers; i++)
        if (process->workers[i].pid) EGG_TRY(check_idle(process, &process->workers[i], error));
out:
    return status;
}

egg_status egg_reward_process_run(egg_reward_process *process, const egg_reward_request *requests, size_t count,
                                  double *rewards, egg_error *error)
{
    egg_status status = run_all(process, requests, count, rewards, error);
    for (uint32_t i = 0; status != EGG_OK && i < process->options.workers; i++) {   /* the next call begins anew */
        end_worker(&process->workers[i]);
        process->workers[i].busy = false;
    }
    return status;
}

/* ----------------------------------------------------------------------------------------------------- the object */

egg_status egg_reward_process_open(egg_reward_process **out, const egg_reward_options *options, egg_error *error)
{
    egg_reward_process *process = egg_alloc(sizeof *process);
    bool fits = process != NULL;
    *out = NULL;
    if (fits) {
        process->options = *options;
        process->next_id = 1;
        process->command = egg_strdup(options->command);
        process->workers = egg_alloc_array(options->workers, sizeof *process->workers);
        process->polled = egg_alloc_array((size_t)3 * options->workers, sizeof *process->polled);
        fits = process->command && process->workers && process->polled;
    }
    for (uint32_t i = 0; fits && i < options->workers; i++) {
        egg_reward_worker *worker = &process->workers[i];
        worker->in = worker->out = worker->err = -1;
        worker->reply = egg_alloc(options->max_reply + 1);
        fits = worker->reply != NULL;
    }
    if (!fits) {
        if (process && !process->workers) process->options.workers = 0;
        egg_reward_process_close(process);
        return egg_fail(error, EGG_ERR_NOMEM, "--reward: no memory for %u workers", options->workers);
    }
    *out = process;
    return EGG_OK;
}

/* Its input has ended: a moment to end by itself. */
static void let_end(egg_reward_worker *worker)
{
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    close_fd(&worker->in);
    for (int i = 0; i < CLOSING_MILLISECONDS; i++) {
        pid_t found = waitpid(worker->pid, NULL, WNOHANG);
        if (found == worker->pid) {
            kill(-worker->pid, SIGKILL);   /* what it left running */
            worker->pid = 0;
            return;
        }
        nanosleep(&pause, NULL);
    }
}

void egg_reward_process_close(egg_reward_process *process)
{
    if (!process) return;
    for (uint32_t i = 0; i < process->options.workers; i++) {
        egg_reward_worker *worker = &process->workers[i];
        if (!worker->reply) break;   /* not opened, and none behind it */
        if (worker->pid) let_end(worker);
        end_worker(worker);
        egg_free(worker->text);
        egg_free(worker->reply);
    }
    egg_free(process->workers);
    egg_free(process->polled);
    egg_free(process->command);
    egg_free(process);
}

uint64_t egg_reward_process_restarts(const egg_reward_process *process)
{
    return process->restarts;
}
