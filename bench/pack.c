#include "bench/pack.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

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

static int pack_snappy(const uint8_t *plain, size_t n, uint8_t *out, size_t room, size_t *len)
{
    static const uint8_t head[xerial_head_bytes] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                                    0,    0,   0,   1,   0,   0,   0,   1};
    size_t at = xerial_head_bytes;
    memcpy(out, head, xerial_head_bytes);
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
