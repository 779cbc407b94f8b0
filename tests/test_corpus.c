/* SPDX-License-Identifier: MIT */
/* Text from everywhere it may come from, as one stream of bytes. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef EGG_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef EGG_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/compiler.h"
#include "base/memory.h"
#include "data/corpus.h"
#include "data/jsonl.h"
#include "scratch.h"

enum { LARGE = 300 * 1000 };   /* bytes of a file that is mapped, and of text that takes several buffers */

/* ---------------------------------------------------------------------------------------------- files for the tests */

static char spool[512];        /* a folder in the test's own, which takes the decoded text */

static int open_folder(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(spool, sizeof spool, "%s/spool", scratch_folder());
    return mkdir(spool, 0777);
}

static const char *put(const char *name, const void *data, size_t bytes)
{
    scratch_write(name, data, bytes);
    return scratch_path(name);
}

static const char *put_text(const char *name, const char *text)
{
    return put(name, text, strlen(text));
}

static void put_folder(const char *name)
{
    assert_int_equal(mkdir(scratch_path(name), 0777), 0);
}

/* Lines of letters, different for every seed. */
static char *make_text(size_t bytes, uint32_t seed)
{
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = seed >> 28 == 0 ? '\n' : (char)('a' + (seed >> 16) % 26);
    }
    text[bytes] = '\0';
    return text;
}

/* A JSON line around a text of make_text(). */
static char *make_line(const char *text)
{
    char *line = malloc(2 * strlen(text) + 32), *at = line + sprintf(line, "{\"text\": \"");
    for (; *text; text++) {
        if (*text == '\n') *at++ = '\\';
        *at++ = *text == '\n' ? 'n' : *text;
    }
    strcpy(at, "\"}\n");
    return line;
}

/* ------------------------------------------------------------------------------------------------- what is expected */

static egg_status try_open_many(egg_corpus **corpus, const char *const *paths, size_t count, egg_error *error)
{
    return egg_corpus_open(corpus, paths, count, NULL, spool, error);
}

static egg_corpus *open_many(const char *const *paths, size_t count)
{
    egg_error error = {0};
    egg_corpus *corpus;
    if (try_open_many(&corpus, paths, count, &error) != EGG_OK) fail_msg("%s", error.text);
    return corpus;
}

static egg_corpus *open_one(const char *path)
{
    return open_many(&path, 1);
}

static void expect_failure(const char *const *paths, size_t count, const char *field, egg_status status,
                           const char *const *words, size_t word_count)
{
    egg_error error = {0};
    egg_corpus *corpus = (egg_corpus *)&error;
    assert_int_equal(egg_corpus_open(&corpus, paths, count, field, spool, &error), status);
    assert_null(corpus);
    assert_int_equal(error.status, status);
    for (size_t i = 0; i < word_count; i++)
        if (!strstr(error.text, words[i])) fail_msg("'%s' does not speak of '%s'", error.text, words[i]);
}

#define WORDS(...) (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void expect_failure_of(const char *path, egg_status status, const char *word)
{
    expect_failure(&path, 1, NULL, status, WORDS(path, word));
}

/* The corpus is the stream 'bytes' long, and is closed. */
static void expect_stream(egg_corpus *corpus, const void *stream, size_t bytes)
{
    assert_int_equal(egg_corpus_bytes(corpus), bytes);
    uint8_t *got = malloc(bytes);
    egg_corpus_read(corpus, 0, bytes, got);
    assert_memory_equal(got, stream, bytes);
    egg_hash hash = egg_corpus_hash(corpus), whole = egg_hash_bytes(stream, bytes);
    assert_true(hash.high == whole.high && hash.low == whole.low);
    free(got);
    egg_corpus_close(corpus);
}

#define EXPECT_STREAM(corpus, literal) expect_stream(corpus, literal, sizeof(literal) - 1)

/* ---------------------------------------------------------------------------------------------------------- memory */

static egg_corpus *open_memory(const void *const *documents, const size_t *lengths, size_t count)
{
    egg_error error = {0};
    egg_corpus *corpus;
    if (egg_corpus_open_memory(&corpus, documents, lengths, count, &error) != EGG_OK) fail_msg("%s", error.text);
    return corpus;
}

static void test_every_range_of_a_small_stream(void **state)
{
    (void)state;
    static const char stream[] = "\0one\0\xff\0three";
    enum { BYTES = sizeof stream - 1 };
    egg_corpus *corpus = open_memory((const void *[]){"one", "", "\xff", "three"}, (size_t[]){3, 0, 1, 5}, 4);
    assert_int_equal(egg_corpus_bytes(corpus), BYTES);
    assert_int_equal(egg_corpus_documents(corpus), 3);
    assert_int_equal(egg_corpus_resident_bytes(corpus), 0);
    for (uint64_t offset = 0; offset < 3 * BYTES; offset++) {
        for (size_t bytes = 0; bytes < 3 * BYTES; bytes++) {
            uint8_t out[3 * BYTES + 1];
            memset(out, 0xca, sizeof out);
            egg_corpus_read(corpus, offset, bytes, out);
            for (size_t i = 0; i < bytes; i++) assert_int_equal(out[i], (uint8_t)stream[(offset + i) % BYTES]);
            assert_int_equal(out[bytes], 0xca);
        }
    }
    uint8_t last;
    egg_corpus_read(corpus, UINT64_MAX, 1, &last);
    assert_int_equal(last, (uint8_t)stream[UINT64_MAX % BYTES]);
    EXPECT_STREAM(corpus, "\0one\0\xff\0three");
}

static void test_a_zero_byte_separates(void **state)
{
    (void)state;
    egg_corpus *corpus = open_memory((const void *[]){"one\0\0two", "\0three\0"}, (size_t[]){8, 7}, 2);
    assert_int_equal(egg_corpus_documents(corpus), 3);
    EXPECT_STREAM(corpus, "\0one\0\0two\0\0three\0");
}

static void test_memory_without_text(void **state)
{
    (void)state;
    egg_error error = {0};
    egg_corpus *corpus;
    assert_int_equal(egg_corpus_open_memory(&corpus, NULL, NULL, 0, &error), EGG_ERR_FORMAT);
    assert_null(corpus);
    assert_int_equal(egg_corpus_open_memory(&corpus, (const void *[]){"\0\0"}, (size_t[]){2}, 1, &error),
                     EGG_ERR_FORMAT);
    assert_null(corpus);
    assert_non_null(strstr(error.text, "no text"));
}

/* ----------------------------------------------------------------------------------------------------- compression */

#ifdef EGG_HAVE_ZLIB
static size_t gzip(const void *data, size_t bytes, uint8_t *out, size_t size)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)bytes;
    stream.next_out = out;
    stream.avail_out = (uInt)size;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t used = size - stream.avail_out;
    deflateEnd(&stream);
    return used;
}
#endif

#ifdef EGG_HAVE_ZSTD
static size_t zstd(const void *data, size_t bytes, uint8_t *out, size_t size)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t used = ZSTD_compress2(context, out, size, data, bytes);
    ZSTD_freeCCtx(context);
    assert_false(ZSTD_isError(used));
    return used;
}
#endif

typedef size_t compress_fn(const void *data, size_t bytes, uint8_t *out, size_t size);

static const struct {
    const char *ending;
    compress_fn *compress;
} compressions[] = {
#ifdef EGG_HAVE_ZLIB
    {".gz", gzip},
#endif
#ifdef EGG_HAVE_ZSTD
    {".zst", zstd},
#endif
    {NULL, NULL},
};

static const char *put_compressed(const char *name, compress_fn *compress, const void *data, size_t bytes)
{
    size_t size = bytes + bytes / 8 + 1024;
    uint8_t *packed = malloc(size);
    const char *path = put(name, packed, compress(data, bytes, packed, size));
    free(packed);
    return path;
}

static void test_members_and_frames_are_joined(void **state)
{
    (void)state;
    for (size_t i = 0; compressions[i].ending; i++) {
        char name[32];
        uint8_t packed[4096];
        size_t used = 0;
        for (int part = 0; part < 3; part++)   /* the second one holds nothing */
            used += compressions[i].compress("one two", part == 1 ? 0 : 7, packed + used, sizeof packed - used);
        snprintf(name, sizeof name, "joined%s", compressions[i].ending);
        EXPECT_STREAM(open_one(put(name, packed, used)), "\0one twoone two");
    }
}

/* A small file that becomes much text: the decoder holds output back when it has no more input. */
static void test_text_much_larger_than_its_file(void **state)
{
    (void)state;
    enum { BYTES = 5 * 1000 * 1000 };
    char *stream = malloc(BYTES + 1);
    memset(stream, 'x', BYTES + 1);
    stream[0] = 0;
    for (size_t i = 0; compressions[i].ending; i++) {
        char name[32];
        snprintf(name, sizeof name, "large%s", compressions[i].ending);
        expect_stream(open_one(put_compressed(name, compressions[i].compress, stream + 1, BYTES)), stream, BYTES + 1);
    }
    free(stream);
}

static void test_cut_or_changed_compressed_files(void **state)
{
    (void)state;
    for (size_t i = 0; compressions[i].ending; i++) {
        char name[32];
        char *text = make_text(2000, 1);
        uint8_t packed[4096];
        size_t used = compressions[i].compress(text, 2000, packed, sizeof packed);
        snprintf(name, sizeof name, "cut%s", compressions[i].ending);
        for (size_t bytes = 1; bytes < used; bytes += bytes < 40 || used - bytes < 40 ? 1 : 37)
            expect_failure_of(put(name, packed, bytes), EGG_ERR_FORMAT, "cut short");
        for (size_t at = used / 2; at < used; at += 29) {
            packed[at] ^= 0x55;
            expect_failure_of(put(name, packed, used), EGG_ERR_FORMAT, "not valid");
            packed[at] ^= 0x55;
        }
        expect_failure_of(put_text(name, "plain text under a wrong name"), EGG_ERR_FORMAT, "not valid");
        expect_failure_of(put_text(name, ""), EGG_ERR_FORMAT, "no text");
        free(text);
    }
}

static void test_compression_this_build_lacks(void **state)
{
    (void)state;
#ifndef EGG_HAVE_ZLIB
    expect_failure_of(put_text("text.gz", "x"), EGG_ERR_UNSUPPORTED, "zlib");
#endif
#ifndef EGG_HAVE_ZSTD
    expect_failure_of(put_text("text.jsonl.zst", "x"), EGG_ERR_UNSUPPORTED, "zstd");
#endif
#if defined(EGG_HAVE_ZLIB) && defined(EGG_HAVE_ZSTD)
    print_message("this build has both libraries\n");
    skip();
#endif
}

/* ---------------------------------------------------------------------------------------------------- ways to store */

static void test_storage_does_not_show(void **state)
{
    (void)state;
    enum { DOCUMENTS = 4 };
    static const size_t lengths[DOCUMENTS] = {LARGE, 10, 1, LARGE + 1};
    char *texts[DOCUMENTS], *lines = calloc(1, 5 * LARGE);
    char *plain[DOCUMENTS];
    size_t bytes = 0;
    for (int i = 0; i < DOCUMENTS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.txt", i);
        texts[i] = make_text(lengths[i], (uint32_t)i);
        plain[i] = strdup(put(name, texts[i], lengths[i]));
        char *line = make_line(texts[i]);
        strcat(lines, line);
        free(line);
        bytes += 1 + lengths[i];
    }
    char *stream = malloc(bytes), *at = stream;
    for (int i = 0; i < DOCUMENTS; i++) {
        *at = 0;
        memcpy(at + 1, texts[i], lengths[i]);
        at += 1 + lengths[i];
    }

    expect_stream(open_memory((const void *const *)texts, lengths, DOCUMENTS), stream, bytes);
    egg_corpus *corpus = open_many((const char *const *)plain, DOCUMENTS);
    assert_int_equal(egg_corpus_documents(corpus), DOCUMENTS);
    assert_int_equal(egg_corpus_resident_bytes(corpus), bytes - 2);   /* separators of mapped files lie in no file */
    expect_stream(corpus, stream, bytes);
    corpus = open_one(put_text("all.jsonl", lines));
    assert_int_equal(egg_corpus_documents(corpus), DOCUMENTS);
    assert_int_equal(egg_corpus_resident_bytes(corpus), bytes);
    expect_stream(corpus, stream, bytes);
    expect_stream(open_one(put_text("UPPER.JSONL", lines)), stream, bytes);
    for (size_t i = 0; compressions[i].ending; i++) {
        char name[32];
        snprintf(name, sizeof name, "all.jsonl%s", compressions[i].ending);
        expect_stream(open_one(put_compressed(name, compressions[i].compress, lines, strlen(lines))), stream, bytes);
        snprintf(name, sizeof name, "0.txt%s", compressions[i].ending);
        const char *mixed[DOCUMENTS] = {put_compressed(name, compressions[i].compress, texts[0], lengths[0]),
                                        plain[1], plain[2], plain[3]};
        expect_stream(open_many(mixed, DOCUMENTS), stream, bytes);
    }
    for (int i = 0; i < DOCUMENTS; i++) {
        free(plain[i]);
        free(texts[i]);
    }
    free(stream);
    free(lines);
}

static void test_ranges_across_files(void **state)
{
    (void)state;
    char *first = make_text(LARGE, 1), *second = make_text(LARGE, 2), *stream = malloc(2 * LARGE + 16);
    size_t bytes = 0;
    const char *paths[] = {put("1", first, LARGE), put_text("2.jsonl", "{\"text\":\"mid\"}\n{\"text\":\"dle\"}"),
                           put("3", second, LARGE), put_text("4", "end")};
    bytes += (size_t)sprintf(stream, "%c%s%cmid%cdle%c%s%cend", 0, first, 0, 0, 0, second, 0);
    assert_int_equal(bytes, 2 * LARGE + 14);
    egg_corpus *corpus = open_many(paths, 4);
    uint8_t *out = malloc(3 * bytes);
    for (uint64_t offset = 1; offset < 2 * bytes; offset += 77777) {
        for (size_t n = 1; n < 3 * bytes; n = 3 * n + 1) {
            egg_corpus_read(corpus, offset, n, out);
            for (size_t i = 0; i < n; i++)
                if (out[i] != (uint8_t)stream[(offset + i) % bytes]) fail_msg("offset %zu", (size_t)offset + i);
        }
    }
    expect_stream(corpus, stream, bytes);
    free(out);
    free(stream);
    free(second);
    free(first);
}

typedef struct reading {
    const egg_corpus *corpus;
    uint8_t sum;
} reading;

static void *read_all(void *argument)
{
    reading *self = argument;
    uint8_t block[1000];
    for (uint64_t at = 0; at < egg_corpus_bytes(self->corpus); at += sizeof block) {
        egg_corpus_read(self->corpus, at, sizeof block, block);
        for (size_t i = 0; i < sizeof block; i++) self->sum = (uint8_t)(self->sum * 31 + block[i]);
    }
    return NULL;
}

static void test_threads_read_the_same(void **state)
{
    (void)state;
    pthread_t threads[3];
    char *text = make_text(LARGE, 7);
    egg_corpus *corpus = open_many((const char *[]){put("large", text, LARGE), put_text("small", "text")}, 2);
    reading readings[EGG_COUNT(threads)] = {{corpus, 0}, {corpus, 0}, {corpus, 0}};
    for (size_t i = 0; i < EGG_COUNT(threads); i++) pthread_create(&threads[i], NULL, read_all, &readings[i]);
    for (size_t i = 0; i < EGG_COUNT(threads); i++) pthread_join(threads[i], NULL);
    assert_int_equal(readings[0].sum, readings[1].sum);
    assert_int_equal(readings[0].sum, readings[2].sum);
    egg_corpus_close(corpus);
    free(text);
}

/* --------------------------------------------------------------------------------------------------------- folders */

static void test_a_folder_is_sorted_by_path(void **state)
{
    (void)state;
    char binary[9000];
    memset(binary, 'b', sizeof binary);
    put_folder("d");
    put_folder("d/a");
    put_folder("d/a/deep");
    put_folder("d/.hidden");
    put_text("d/a.txt", "2");
    put_text("d/a/1", "3");
    put_text("d/a/deep/x", "4");
    put_text("d/a-b", "1");
    put_text("d/\xc3\xa9", "7");
    put_text("d/b.jsonl", "{\"text\":\"5\"}\n{\"text\":\"6\"}\n");
    put_text("d/.secret", "no");
    put_text("d/.hidden/file", "no");
    put_text("d/empty", "");
    binary[8191] = 0;
    put("d/binary", binary, sizeof binary);
    EXPECT_STREAM(open_one(scratch_path("d")), "\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0" "7");
    EXPECT_STREAM(open_one(scratch_path("d/")), "\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0" "7");

    binary[8191] = 'b';
    binary[8192] = 0;   /* too far behind to be noticed */
    put("d/binary", binary, sizeof binary);
    egg_corpus *corpus = open_one(scratch_path("d"));
    assert_int_equal(egg_corpus_bytes(corpus), 14 + 1 + sizeof binary);
    assert_int_equal(egg_corpus_documents(corpus), 7 + 2);
    egg_corpus_close(corpus);

    /* Whoever names a file has decided that it is text. */
    EXPECT_STREAM(open_one(put("d/named", "\0x", 2)), "\0\0x");
    EXPECT_STREAM(open_one(scratch_path("d/.hidden")), "\0no");
}

static void test_links_in_a_folder(void **state)
{
    (void)state;
    put_folder("d");
    put_folder("d/sub");
    put_folder("elsewhere");
    put_text("d/sub/file", "1");
    put_text("elsewhere/other", "2");
    assert_int_equal(symlink("..", scratch_path("d/sub/up")), 0);
    assert_int_equal(symlink(".", scratch_path("d/sub/self")), 0);
    assert_int_equal(symlink("loop", scratch_path("d/loop")), 0);
    assert_int_equal(symlink("nowhere", scratch_path("d/dangling")), 0);
    assert_int_equal(symlink("../elsewhere", scratch_path("d/there")), 0);         /* a folder: passed over */
    assert_int_equal(symlink("../elsewhere/other", scratch_path("d/that")), 0);    /* a file: read */
    EXPECT_STREAM(open_one(scratch_path("d")), "\0" "1\0" "2");
    EXPECT_STREAM(open_one(scratch_path("d/there")), "\0" "2");                     /* named by the user: read */
}

static void test_a_folder_without_text(void **state)
{
    (void)state;
    put_folder("d");
    expect_failure_of(scratch_path("d"), EGG_ERR_FORMAT, "no text in this folder");
    put_text("d/empty", "");
    put_text("d/.hidden", "x");
    put("d/binary", "\0", 1);
    expect_failure_of(scratch_path("d"), EGG_ERR_FORMAT, "2 files");
    const char *paths[] = {put_text("text", "x"), scratch_path("d")};
    expect_failure(paths, 2, NULL, EGG_ERR_FORMAT, WORDS(paths[1], "no text"));
}

static size_t count_mappings(void)
{
    size_t lines = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    if (!file) return 0;
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

static void test_many_files_take_few_descriptors_and_mappings(void **state)
{
    (void)state;
    enum { SMALL = 1500, MAPPED = 40 };
    char *text = make_text(LARGE, 3);
    struct rlimit before, tight;
    put_folder("d");
    for (int i = 0; i < SMALL + MAPPED; i++) {
        char name[32];
        snprintf(name, sizeof name, "d/%d", i);
        put(name, text, i < SMALL ? 100 : 70 * 1000);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = 20;
    size_t mappings = count_mappings();
    setrlimit(RLIMIT_NOFILE, &tight);
    egg_corpus *corpus = open_one(scratch_path("d"));
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(egg_corpus_documents(corpus), SMALL + MAPPED);
    assert_true(count_mappings() < mappings + MAPPED + 50);
    egg_corpus_close(corpus);
    free(text);
}

/* -------------------------------------------------------------------------------------------- standard input, pipes */

static void test_standard_input(void **state)
{
    (void)state;
    int saved = dup(STDIN_FILENO), pipes[2];
    char *text = make_text(1000, 5);
    const char *twice[] = {"-", "-"}, *between[] = {put_text("a", "1"), "-", put_text("b", "2")};
    char stream[1100];
    int bytes = sprintf(stream, "%c1%c%s%c2", 0, 0, text, 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(dup2(pipes[0], STDIN_FILENO), STDIN_FILENO);
        if (round == 0) assert_int_equal(write(pipes[1], text, 1000), 1000);
        close(pipes[0]);
        close(pipes[1]);
        if (round == 0) expect_stream(open_many(between, 3), stream, (size_t)bytes);
        if (round == 1) expect_failure(twice, 2, NULL, EGG_ERR_ARGUMENT, WORDS("standard input", "twice"));
        if (round == 2) expect_failure(twice, 1, NULL, EGG_ERR_FORMAT, WORDS("no text", "'-'"));
    }
    close(STDIN_FILENO);
    expect_failure(twice, 1, NULL, EGG_ERR_IO, WORDS("standard input", "cannot read"));
    dup2(saved, STDIN_FILENO);
    close(saved);
    free(text);
}

static void *feed_pipe(void *argument)
{
    FILE *file = fopen(argument, "w");
    fputs("{\"text\": \"through a pipe\"}\n", file);
    fclose(file);
    return NULL;
}

static void test_a_named_pipe(void **state)
{
    (void)state;
    pthread_t thread;
    char *path = strdup(scratch_path("pipe.jsonl"));
    assert_int_equal(mkfifo(path, 0666), 0);
    pthread_create(&thread, NULL, feed_pipe, path);
    EXPECT_STREAM(open_one(path), "\0through a pipe");
    pthread_join(thread, NULL);
    free(path);
}

/* -------------------------------------------------------------------------------------------------------- failures */

static void test_paths_that_cannot_be_read(void **state)
{
    (void)state;
    expect_failure(NULL, 0, NULL, EGG_ERR_ARGUMENT, WORDS("no text given"));
    expect_failure_of(scratch_path("missing.txt"), EGG_ERR_IO, strerror(ENOENT));
    expect_failure_of(scratch_path("missing/folder.jsonl"), EGG_ERR_IO, strerror(ENOENT));
    expect_failure_of("/dev/zero", EGG_ERR_IO, "neither a file, a folder nor a pipe");
    const char *empty = "";
    expect_failure(&empty, 1, NULL, EGG_ERR_IO, WORDS(strerror(ENOENT)));
}

static void test_empty_files(void **state)
{
    (void)state;
    const char *paths[] = {put_text("empty.txt", ""), put_text("some.txt", "text"), put_text("empty.jsonl", "\n \r\n")};
    EXPECT_STREAM(open_many(paths, 3), "\0text");
    put_text("some.txt", "");
    expect_failure(paths, 3, NULL, EGG_ERR_FORMAT, WORDS("no text", paths[0], paths[1], paths[2]));
    put("some.txt", "\0\0", 2);
    expect_failure(paths, 3, NULL, EGG_ERR_FORMAT, WORDS("no text", paths[0], paths[1], paths[2]));
    put_text("empty.jsonl", "{\"text\": \"\"}");
    expect_failure(paths + 2, 1, NULL, EGG_ERR_FORMAT, WORDS("no text", paths[2]));
    const char *many[50];
    for (size_t i = 0; i < EGG_COUNT(many); i++) many[i] = paths[0];
    expect_failure(many, EGG_COUNT(many), NULL, EGG_ERR_FORMAT, WORDS(paths[0], "..."));
}

static void test_no_permission(void **state)
{
    (void)state;
    put_folder("d");
    const char *file = put_text("d/file", "x"), *inner = scratch_path("d/inner");
    put_folder("d/inner");
    assert_int_equal(chmod(file, 0), 0);
    assert_int_equal(chmod(inner, 0), 0);
    if (access(file, R_OK) == 0) {
        print_message("permissions do not bind this user\n");
        skip();
    }
    expect_failure_of(file, EGG_ERR_IO, strerror(EACCES));
    const char *parent = scratch_path("d");
    expect_failure(&parent, 1, NULL, EGG_ERR_IO, WORDS(inner, strerror(EACCES)));
    assert_int_equal(chmod(inner, 0777), 0);
    expect_failure(&parent, 1, NULL, EGG_ERR_IO, WORDS(file, strerror(EACCES)));
}

static void test_nowhere_to_put_decoded_text(void **state)
{
    (void)state;
    const char *path = put_text("some.txt", "text");
    egg_error error = {0};
    egg_corpus *corpus;
    assert_int_equal(egg_corpus_open(&corpus, &path, 1, NULL, scratch_path("missing"), &error), EGG_ERR_IO);
    assert_non_null(strstr(error.text, scratch_path("missing")));
    assert_null(strstr(error.text, "TMPDIR"));

    char *saved = getenv("TMPDIR");
    setenv("TMPDIR", scratch_path("missing"), 1);
    assert_int_equal(egg_corpus_open(&corpus, &path, 1, NULL, NULL, &error), EGG_ERR_IO);
    assert_non_null(strstr(error.text, scratch_path("missing")));
    assert_non_null(strstr(error.text, "TMPDIR"));
    setenv("TMPDIR", spool, 1);
    assert_int_equal(egg_corpus_open(&corpus, &path, 1, NULL, NULL, &error), EGG_OK);
    EXPECT_STREAM(corpus, "\0text");
    if (saved)
        setenv("TMPDIR", saved, 1);
    else
        unsetenv("TMPDIR");
}

static void test_a_full_disk(void **state)
{
    (void)state;
    char *text = make_text(2 * LARGE, 4), *line = make_line(text);
    const char *path = put_text("large.jsonl", line);
    egg_error error = {0};
    egg_corpus *corpus;
    scratch_limit_files(100 * 1000);
    egg_status status = try_open_many(&corpus, &path, 1, &error);
    scratch_unlimit_files();
    assert_int_equal(status, EGG_ERR_IO);
    assert_non_null(strstr(error.text, spool));
    assert_non_null(strstr(error.text, "100000 bytes"));
    assert_non_null(strstr(error.text, strerror(EFBIG)));
    free(line);
    free(text);
}

static void test_the_spool_has_no_name(void **state)
{
    (void)state;
    egg_corpus *corpus = open_one(put_text("some.txt", "text"));
    assert_int_equal(rmdir(spool), 0);   /* works on an empty folder only */
    EXPECT_STREAM(corpus, "\0text");
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    char *text = make_text(LARGE, 6), *line = make_line(text);
    put_folder("d");
    put_folder("d/sub");
    put("d/large", text, LARGE);
    put_text("d/sub/lines.jsonl", line);
    size_t count = 1;
    const char *paths[3] = {scratch_path("d")};
    for (size_t i = 0; compressions[i].ending; i++) {
        char name[32];
        snprintf(name, sizeof name, "x%s", compressions[i].ending);
        paths[count++] = put_compressed(name, compressions[i].compress, text, LARGE);
    }
    for (uint64_t nth = 1;; nth++) {
        egg_error error = {0};
        egg_corpus *corpus;
        egg_alloc_fail_at(nth);
        egg_status status = try_open_many(&corpus, paths, count, &error);
        egg_alloc_fail_at(0);
        if (status == EGG_OK) {
            assert_true(nth > 10);
            egg_corpus_close(corpus);
            break;
        }
        assert_int_equal(status, EGG_ERR_NOMEM);
        assert_int_not_equal(error.text[0], '\0');
        assert_null(corpus);
    }
    free(line);
    free(text);
}

/* ------------------------------------------------------------------------------------------------------ JSON lines */

static void test_json_lines_are_read(void **state)
{
    (void)state;
    EXPECT_STREAM(open_one(put_text("lf.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n")), "\0a\0b");
    EXPECT_STREAM(open_one(put_text("no-end.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}")), "\0a\0b");
    EXPECT_STREAM(open_one(put_text("crlf.jsonl", "{\"text\":\"a\"}\r\n\r\n \t\n{\"text\":\"b\"}\r\n")), "\0a\0b");
    EXPECT_STREAM(open_one(put_text("bom.jsonl", "\xef\xbb\xbf{\"text\":\"a\"}\n")), "\0a");
    EXPECT_STREAM(open_one(put_text("bom-blank.jsonl", "\xef\xbb\xbf\n{\"text\":\"a\"}\n")), "\0a");
    EXPECT_STREAM(open_one(put_text("escapes.jsonl", "{\"text\":\"\\n\\\"\\u00e9\\ud83d\\ude00\xc3\xa9\"}")),
                  "\0\n\"\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9");
    EXPECT_STREAM(open_one(put_text("empty.jsonl", "{\"text\":\"\"}\n{\"text\":\"b\"}\n")), "\0b");
    EXPECT_STREAM(open_one(put_text("rest.jsonl", "{\"id\":123456789012345678901234567890,\"a\":[{}],\"text\":\"a\"}")),
                  "\0a");
}

static void test_json_lines_from_another_field(void **state)
{
    (void)state;
    const char *path = put_text("qa.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}\n{\"question\":\"r\"}\n");
    egg_error error = {0};
    egg_corpus *corpus;
    assert_int_equal(egg_corpus_open(&corpus, &path, 1, "question", spool, &error), EGG_OK);
    EXPECT_STREAM(corpus, "\0q\0r");
    expect_failure(&path, 1, NULL, EGG_ERR_FORMAT,
                   WORDS(path, "line 1", "no field 'text'", "'question', 'answer'"));
    expect_failure(&path, 1, "answer", EGG_ERR_FORMAT, WORDS(path, "line 2", "no field 'answer'", "'question'"));
}

static void test_json_lines_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *second, *words;
    } cases[] = {
        {"{\"text\": \"open", "column 14"},
        {"{\"text\": \"a\"} {}", "end of file expected"},
        {"{text: 1}", "string or '}' expected"},
        {"\"text\"", "'[' or '{' expected"},
        {"text", "'[' or '{' expected"},
        {"[\"text\"]", "line 2 is an array, expected an object with the field 'text'"},
        {"{}", "has no field 'text'; its fields are: none"},
        {"{\"Text\": \"a\"}", "has no field 'text'; its fields are: 'Text'"},
        {"{\"text\": 1}", "field 'text' is a number, expected a string"},
        {"{\"text\": 1.5}", "field 'text' is a number, expected a string"},
        {"{\"text\": null}", "field 'text' is null, expected a string"},
        {"{\"text\": true}", "field 'text' is true, expected a string"},
        {"{\"text\": false}", "field 'text' is false, expected a string"},
        {"{\"text\": [\"a\"]}", "field 'text' is an array, expected a string"},
        {"{\"text\": {}}", "field 'text' is an object, expected a string"},
        {"{\"text\": \"a\\u0000b\"}", "\\u0000"},
        {"{\"text\": \"\xff\"}", "0xff"},
        {"{\"text\": \"\xed\xa0\x80\"}", "0xed"},
        {"{\"text\": \"\\ud800\"}", "Unicode"},
        {"{\"text\": \"\t\"}", "control character"},
        {"\xef\xbb\xbf{\"text\": \"a\"}", "line 2, column"},
    };
    for (size_t i = 0; i < EGG_COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"text\": \"first\"}\n%s\n{\"text\": \"third\"}\n", cases[i].second);
        const char *path = put_text("wrong.jsonl", text);
        expect_failure(&path, 1, NULL, EGG_ERR_FORMAT, WORDS(path, "line 2", cases[i].words));
    }
    expect_failure_of(put("zero.jsonl", "{\"text\": \"\0\"}\n", 14), EGG_ERR_FORMAT, "line 1");
}

static void test_an_error_names_the_line(void **state)
{
    (void)state;
    const char *path = put_text("wrong.jsonl", "\n{\"text\":\"a\"}\n\n{\"text\":1}\n");
    egg_error error = {0};
    egg_corpus *corpus;
    assert_int_equal(try_open_many(&corpus, &path, 1, &error), EGG_ERR_FORMAT);
    assert_int_equal(error.offset, 4);
    assert_non_null(strstr(error.text, "line 4"));
    assert_int_equal(try_open_many(&corpus, &path, 1, NULL), EGG_ERR_FORMAT);
}

typedef struct received {
    char text[256];            /* each document and a '|' */
    size_t bytes;
    int failing;               /* number of the document that is refused */
} received;

static egg_status receive(void *context, const char *text, size_t bytes, egg_error *error)
{
    received *self = context;
    if (self->failing && --self->failing == 0) return egg_fail(error, EGG_ERR_IO, "refused");
    memcpy(self->text + self->bytes, text, bytes);
    self->text[self->bytes + bytes] = '|';
    self->bytes += bytes + 1;
    return EGG_OK;
}

static egg_status push_in_steps(const char *text, size_t bytes, size_t step, size_t max_line, received *got,
                                egg_error *error)
{
    egg_jsonl *reader;
    assert_int_equal(egg_jsonl_open(&reader, "lines", "text", max_line, receive, got, error), EGG_OK);
    egg_status status = EGG_OK;
    for (size_t at = 0; at < bytes && status == EGG_OK; at += step)
        status = egg_jsonl_push(reader, text + at, bytes - at < step ? bytes - at : step, error);
    if (status == EGG_OK) status = egg_jsonl_finish(reader, error);
    egg_jsonl_close(reader);
    return status;
}

static void test_json_lines_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const char lines[] = "\xef\xbb\xbf{\"text\":\"one\"}\r\n\n{\"text\":\"\"}\n{\"text\":\"\xc3\xa9\"}\n"
                                "{\"text\":\"last\"}";
    for (size_t step = 1; step <= sizeof lines; step++) {
        received got = {.bytes = 0};
        egg_error error = {0};
        if (push_in_steps(lines, sizeof lines - 1, step, 1000, &got, &error) != EGG_OK) fail_msg("%s", error.text);
        assert_string_equal(got.text, "one||\xc3\xa9|last|");
    }
}

static void test_a_failing_receiver_ends_the_reading(void **state)
{
    (void)state;
    received got = {.failing = 2};
    egg_error error = {0};
    static const char lines[] = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n";
    assert_int_equal(push_in_steps(lines, sizeof lines - 1, 100, 1000, &got, &error), EGG_ERR_IO);
    assert_string_equal(error.text, "refused");
    assert_string_equal(got.text, "a|");
}

static void test_a_line_has_a_limit(void **state)
{
    (void)state;
    static const char lines[] = "{\"text\":\"a\"}\n{\"text\":\"bcdefg\"}\n";
    for (size_t step = 1; step <= sizeof lines; step++) {
        received got = {.bytes = 0};
        egg_error error = {0};
        assert_int_equal(push_in_steps(lines, sizeof lines - 1, step, 17, &got, &error), EGG_OK);
        assert_int_equal(push_in_steps(lines, sizeof lines - 1, step, 16, &got, &error), EGG_ERR_FORMAT);
        assert_string_equal(error.text, "lines: line 2 is longer than 16 bytes");
        assert_int_equal(error.offset, 2);
    }
}

/* ------------------------------------------------------------------------------------------------------- real text */

static const char *data_file(const char *name)
{
    const char *given = getenv("EGGROLL_TEST_DATA");
#ifdef EGG_TEST_DATA_DIR
    if (!given) given = EGG_TEST_DATA_DIR;
#endif
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", given ? given : ".", name);
    if (access(path, R_OK) == 0) return path;
    print_message("%s is not there\n", path);
    skip();
    return NULL;
}

static void test_tiny_shakespeare(void **state)
{
    (void)state;
    egg_corpus *corpus = open_one(data_file("tinyshakespeare.txt"));
    assert_int_equal(egg_corpus_bytes(corpus), 1 + 1115394);
    assert_int_equal(egg_corpus_documents(corpus), 1);
    char head[15];
    egg_corpus_read(corpus, 1, 14, (uint8_t *)head);
    head[14] = '\0';
    assert_string_equal(head, "First Citizen:");
    egg_corpus_close(corpus);
}

static void test_movie_reviews(void **state)
{
    (void)state;
    const char *path = data_file("movie-reviews.jsonl");
    egg_corpus *corpus = open_one(path);
    assert_int_equal(egg_corpus_documents(corpus), 2000);
    uint64_t bytes = egg_corpus_bytes(corpus);
    egg_hash hash = egg_corpus_hash(corpus);
    uint8_t *stream = malloc(bytes);
    egg_corpus_read(corpus, 0, bytes, stream);
    egg_corpus_close(corpus);

    /* Each review on its own in memory is the same corpus. */
    const void *documents[2000];
    size_t lengths[2000], count = 0;
    for (uint64_t at = 0, end; at < bytes; at = end) {
        const uint8_t *next = memchr(stream + at + 1, 0, bytes - at - 1);
        end = next ? (uint64_t)(next - stream) : bytes;
        assert_true(count < 2000);
        documents[count] = stream + at + 1;
        lengths[count++] = end - at - 1;
    }
    corpus = open_memory(documents, lengths, count);
    egg_hash again = egg_corpus_hash(corpus);
    assert_true(again.high == hash.high && again.low == hash.low);
    egg_corpus_close(corpus);
    free(stream);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_folder, scratch_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_range_of_a_small_stream),
        cmocka_unit_test(test_a_zero_byte_separates),
        cmocka_unit_test(test_memory_without_text),
        IN_FOLDER(test_members_and_frames_are_joined),
        IN_FOLDER(test_text_much_larger_than_its_file),
        IN_FOLDER(test_cut_or_changed_compressed_files),
        IN_FOLDER(test_compression_this_build_lacks),
        IN_FOLDER(test_storage_does_not_show),
        IN_FOLDER(test_ranges_across_files),
        IN_FOLDER(test_threads_read_the_same),
        IN_FOLDER(test_a_folder_is_sorted_by_path),
        IN_FOLDER(test_links_in_a_folder),
        IN_FOLDER(test_a_folder_without_text),
        IN_FOLDER(test_many_files_take_few_descriptors_and_mappings),
        IN_FOLDER(test_standard_input),
        IN_FOLDER(test_a_named_pipe),
        IN_FOLDER(test_paths_that_cannot_be_read),
        IN_FOLDER(test_empty_files),
        IN_FOLDER(test_no_permission),
        IN_FOLDER(test_nowhere_to_put_decoded_text),
        IN_FOLDER(test_a_full_disk),
        IN_FOLDER(test_the_spool_has_no_name),
        IN_FOLDER(test_every_allocation_may_fail),
        IN_FOLDER(test_json_lines_are_read),
        IN_FOLDER(test_json_lines_from_another_field),
        IN_FOLDER(test_json_lines_that_are_wrong),
        IN_FOLDER(test_an_error_names_the_line),
        cmocka_unit_test(test_json_lines_in_pieces_of_any_size),
        cmocka_unit_test(test_a_failing_receiver_ends_the_reading),
        cmocka_unit_test(test_a_line_has_a_limit),
        IN_FOLDER(test_tiny_shakespeare),
        IN_FOLDER(test_movie_reviews),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
