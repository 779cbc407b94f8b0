/* SPDX-License-Identifier: MIT */
#include "data/decompress.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#ifdef EGG_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef EGG_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/memory.h"

enum { INPUT_BYTES = 1 << 17 };

/* Decodes some of the input into 'out'; makes progress unless the input is empty and nothing is pending inside. */
typedef egg_status egg_decode_fn(egg_decompressor *from, void *out, size_t size, size_t *got, egg_error *error);

struct egg_decompressor {
    int fd;
    const char *name;
    egg_decode_fn *decode;     /* NULL: no compression */
    uint8_t *input;            /* (INPUT_BYTES) of which [at, end) is not decoded yet */
    size_t at, end;
    bool drained;              /* the file has no more bytes */
    bool inside;               /* a member or frame has begun and not ended */
#ifdef EGG_HAVE_ZLIB
    z_stream gzip;
#endif
#ifdef EGG_HAVE_ZSTD
    ZSTD_DStream *zstd;
#endif
};

egg_compression egg_compression_of(const char *name, size_t *stem)
{
    static const struct {
        const char *ending;
        egg_compression compression;
    } known[] = {{".gz", EGG_COMPRESSION_GZIP}, {".zst", EGG_COMPRESSION_ZSTD}};
    size_t length = strlen(name);
    for (size_t i = 0; i < EGG_COUNT(known); i++) {
        size_t ending = strlen(known[i].ending);
        if (length > ending && strcasecmp(name + length - ending, known[i].ending) == 0) {
            *stem = length - ending;
            return known[i].compression;
        }
    }
    *stem = length;
    return EGG_COMPRESSION_NONE;
}

static egg_status read_some(const egg_decompressor *from, void *out, size_t size, size_t *got, egg_error *error)
{
    ssize_t n;
    do n = read(from->fd, out, size);
    while (n < 0 && errno == EINTR);
    *got = n < 0 ? 0 : (size_t)n;
    return n < 0 ? egg_fail_errno(error, "%s: cannot read", from->name) : EGG_OK;
}

/* ----------------------------------------------------------------------------------------------------------- gzip */

#ifdef EGG_HAVE_ZLIB
static egg_status decode_gzip(egg_decompressor *from, void *out, size_t size, size_t *got, egg_error *error)
{
    z_stream *gzip = &from->gzip;
    if (!from->inside) inflateReset(gzip);
    gzip->next_in = from->input + from->at;
    gzip->avail_in = (uInt)(from->end - from->at);
    gzip->next_out = out;
    gzip->avail_out = size < INPUT_BYTES ? (uInt)size : INPUT_BYTES;   /* uInt may be narrower than size_t */
    int code = inflate(gzip, Z_NO_FLUSH);
    from->at = from->end - gzip->avail_in;
    *got = (size_t)(gzip->next_out - (Bytef *)out);
    from->inside = code != Z_STREAM_END;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return EGG_OK;
    if (code == Z_MEM_ERROR) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to decompress", from->name);
    return egg_fail(error, EGG_ERR_FORMAT, "%s: not valid gzip data: %s", from->name,
                    gzip->msg ? gzip->msg : "a dictionary is needed");
}

static egg_status open_gzip(egg_decompressor *from, egg_error *error)
{
    enum { WINDOW_BITS = 15, GZIP_ONLY = 16 };
    if (inflateInit2(&from->gzip, WINDOW_BITS + GZIP_ONLY) != Z_OK)
        return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to decompress", from->name);
    from->decode = decode_gzip;
    return EGG_OK;
}
#else
static egg_status open_gzip(egg_decompressor *from, egg_error *error)
{
    return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s: this build cannot read gzip, it was made without the library zlib",
                    from->name);
}
#endif

/* ----------------------------------------------------------------------------------------------------------- zstd */

#ifdef EGG_HAVE_ZSTD
static egg_status decode_zstd(egg_decompressor *from, void *out, size_t size, size_t *got, egg_error *error)
{
    ZSTD_inBuffer input = {.src = from->input, .size = from->end, .pos = from->at};
    ZSTD_outBuffer output = {.dst = out, .size = size};
    size_t code = ZSTD_decompressStream(from->zstd, &output, &input);
    if (ZSTD_isError(code))
        return egg_fail(error, EGG_ERR_FORMAT, "%s: not valid zstd data: %s", from->name, ZSTD_getErrorName(code));
    from->at = input.pos;
    from->inside = code != 0;
    *got = output.pos;
    return EGG_OK;
}

static egg_status open_zstd(egg_decompressor *from, egg_error *error)
{
    from->zstd = ZSTD_createDStream();
    if (!from->zstd) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to decompress", from->name);
    from->decode = decode_zstd;
    return EGG_OK;
}
#else
static egg_status open_zstd(egg_decompressor *from, egg_error *error)
{
    return egg_fail(error, EGG_ERR_UNSUPPORTED, "%s: this build cannot read zstd, it was made without the library zstd",
                    from->name);
}
#endif

/* --------------------------------------------------------------------------------------------------------- either */

egg_status egg_decompressor_open(egg_decompressor **out, int fd, const char *name, egg_compression compression,
                                 egg_error *error)
{
    egg_status status = EGG_OK;
    egg_decompressor *from = egg_alloc(sizeof *from);
    if (!from) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to read it", name);
        goto out;
    }
    *from = (egg_decompressor){.fd = fd, .name = name};
    if (compression == EGG_COMPRESSION_NONE) goto out;
    from->input = egg_alloc(INPUT_BYTES);
    if (!from->input) {
        status = egg_fail(error, EGG_ERR_NOMEM, "%s: no memory to decompress", name);
        goto out;
    }
    status = compression == EGG_COMPRESSION_GZIP ? open_gzip(from, error) : open_zstd(from, error);
out:
    if (status != EGG_OK) {
        egg_decompressor_close(from);
        from = NULL;
    }
    *out = from;
    return status;
}

egg_status egg_decompressor_read(egg_decompressor *from, void *out, size_t size, size_t *got, egg_error *error)
{
    egg_status status = EGG_OK;
    *got = 0;
    if (!from->decode) return read_some(from, out, size, got, error);
    for (;;) {
        if (from->at == from->end && !from->drained) {
            from->at = 0;
            EGG_TRY(read_some(from, from->input, INPUT_BYTES, &from->end, error));
            from->drained = from->end == 0;
        }
        if (from->drained && !from->inside) break;
        EGG_TRY(from->decode(from, out, size, got, error));
        if (*got) break;
        if (from->drained && from->inside)
            return egg_fail(error, EGG_ERR_FORMAT, "%s: the file is cut short: it ends inside compressed data",
                            from->name);
    }
out:
    return status;
}

void egg_decompressor_close(egg_decompressor *from)
{
    if (!from) return;
#ifdef EGG_HAVE_ZLIB
    inflateEnd(&from->gzip);   /* one that never began is refused, without harm */
#endif
#ifdef EGG_HAVE_ZSTD
    ZSTD_freeDStream(from->zstd);
#endif
    egg_free(from->input);
    egg_free(from);
}
