#include "bench/pack.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/bytes.h"
#include "base/err.h"

#define gzip_window_bits   (15 + 16) /* zlib's way to ask for gzip's framing */
#define gzip_frame_bytes   64
#define snappy_block_bytes 32768
#define xerial_head_bytes  16
#define packed_slack_bytes 64

static const LZ4F_preferences_t lz4_frame = {
    .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent}};

size_t pack_bound(enum pack_codec codec, size_t n)
{
    switch (codec) {
    case PACK_GZIP:
        return compressBound(n) + gzip_frame_bytes;
    case PACK_SNAPPY:
        return xerial_head_bytes + (n / snappy_block_bytes + 1) *
                                       (4 + snappy_max_compressed_length(snappy_block_bytes));
    case PACK_LZ4:
        return LZ4F_compressFrameBound(n, &lz4_frame);
    case PACK_ZSTD:
        return ZSTD_compressBound(n);
    default:
        return n + packed_slack_bytes;
    }
}

static int pack_gzip(const uint8_t *plain, size_t n, uint8_t *out, size_t room, size_t *len)
{
    z_stream z = {
        .next_in = (uint8_t *)plain, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)room};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window_bits, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return ERR_NO_MEMORY;
    int status = deflate(&z, Z_FINISH);
    *len = z.total_out;
    deflateEnd(&z);
    return status == Z_STREAM_END ? 0 : ERR_SYSTEM;
}

static const uint8_t xerial_head[xerial_head_bytes] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                       0,    0,   0,   1,   0,   0,   0,   1};

static int pack_snappy(const uint8_t *plain, size_t n, uint8_t *out, size_t room, size_t *len)
{
    size_t at = xerial_head_bytes;
    memcpy(out, xerial_head, xerial_head_bytes);
    for (size_t off = 0; off < n; off += snappy_block_bytes) {
        size_t take = n - off < snappy_block_bytes ? n - off : snappy_block_bytes;
        size_t got = room - at - 4;
        if (snappy_compress((const char *)plain + off, take, (char *)out + at + 4, &got) !=
            SNAPPY_OK)
            return ERR_SYSTEM;
        bytes_put_u32(out + at, (uint32_t)got);
        at += 4 + got;
    }
    *len = at;
    return 0;
}

int pack(enum pack_codec codec, const uint8_t *plain, size_t n, uint8_t *out, size_t room,
         size_t *len)
{
    size_t got;
    switch (codec) {
    case PACK_GZIP:
        return pack_gzip(plain, n, out, room, len);
    case PACK_SNAPPY:
        return pack_snappy(plain, n, out, room, len);
    case PACK_LZ4:
        got = LZ4F_compressFrame(out, room, plain, n, &lz4_frame);
        if (LZ4F_isError(got))
            return ERR_SYSTEM;
        break;
    case PACK_ZSTD:
        got = ZSTD_compress(out, room, plain, n, ZSTD_CLEVEL_DEFAULT);
        if (ZSTD_isError(got))
            return ERR_SYSTEM;
        break;
    default:
        memcpy(out, plain, n);
        got = n;
    }
    *len = got;
    return 0;
}

/* ---- and back ---- */

static int unpack_gzip(const uint8_t *packed, size_t n, uint8_t *out, size_t room, size_t *len)
{
    z_stream z = {.next_in = (uint8_t *)packed,
                  .avail_in = (uInt)n,
                  .next_out = out,
                  .avail_out = (uInt)room};
    if (inflateInit2(&z, gzip_window_bits) != Z_OK)
        return ERR_NO_MEMORY;
    int status = inflate(&z, Z_FINISH);
    *len = z.total_out;
    inflateEnd(&z);
    if (status == Z_STREAM_END)
        return 0;
    return status == Z_BUF_ERROR && z.avail_out == 0 ? ERR_TOO_LARGE : ERR_CORRUPT;
}

/* One block of Snappy behind what is in out. */
static int unpack_block(const uint8_t *packed, size_t n, uint8_t *out, size_t room, size_t *len)
{
    size_t got;
    if (snappy_uncompressed_length((const char *)packed, n, &got) != SNAPPY_OK)
        return ERR_CORRUPT;
    if (got > room - *len)
        return ERR_TOO_LARGE;
    if (snappy_uncompress((const char *)packed, n, (char *)out + *len, &got) != SNAPPY_OK)
        return ERR_CORRUPT;
    *len += got;
    return 0;
}

static int unpack_snappy(const uint8_t *packed, size_t n, uint8_t *out, size_t room, size_t *len)
{
    size_t at = xerial_head_bytes;
    int err = 0;
    *len = 0;
    if (n < xerial_head_bytes || memcmp(packed, xerial_head, 8) != 0)
        return unpack_block(packed, n, out, room, len);
    while (!err && n - at >= 4) {
        size_t take = bytes_get_u32(packed + at);
        at += 4;
        if (take > n - at)
            return ERR_CORRUPT;
        err = unpack_block(packed + at, take, out, room, len);
        at += take;
    }
    return !err && at != n ? ERR_CORRUPT : err;
}

static int unpack_lz4(const uint8_t *packed, size_t n, uint8_t *out, size_t room, size_t *len)
{
    LZ4F_dctx *dctx;
    size_t at = 0, hint = 1;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&dctx, LZ4F_VERSION)))
        return ERR_NO_MEMORY;
    *len = 0;
    while (hint > 0 && !LZ4F_isError(hint)) {
        size_t in = n - at, made = room - *len;
        hint = LZ4F_decompress(dctx, out + *len, &made, packed + at, &in, NULL);
        at += in;
        *len += made;
        if (hint > 0 && in == 0 && made == 0)
            break; /* no more of it, or no more room */
    }
    LZ4F_freeDecompressionContext(dctx);
    if (hint == 0)
        return at == n ? 0 : ERR_CORRUPT;
    return *len == room ? ERR_TOO_LARGE : ERR_CORRUPT;
}

int unpack(enum pack_codec codec, const uint8_t *packed, size_t n, uint8_t *out, size_t room,
           size_t *len)
{
    switch (codec) {
    case PACK_GZIP:
        return unpack_gzip(packed, n, out, room, len);
    case PACK_SNAPPY:
        return unpack_snappy(packed, n, out, room, len);
    case PACK_LZ4:
        return unpack_lz4(packed, n, out, room, len);
    case PACK_ZSTD:
        *len = ZSTD_decompress(out, room, packed, n);
        if (ZSTD_isError(*len))
            return ZSTD_getErrorCode(*len) == ZSTD_error_dstSize_tooSmall ? ERR_TOO_LARGE
                                                                          : ERR_CORRUPT;
        return 0;
    default:
        return ERR_CORRUPT;
    }
}
