#include "storage/plog/decompress.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "base/check.h"
#include "storage/plog/unzip.h"

#define gzip_memory_bytes (64 * KIB) /* zlib's state and window for inflate: about 44 KiB */
#define lz4_magic         0x184D2204u
#define page_bytes        4096

static uint64_t whole_pages(uint64_t n)
{
    return (n + page_bytes - 1) / page_bytes * page_bytes;
}

int unzip_new(struct unzip **out)
{
    struct unzip *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return ERR_NO_MEMORY;
    u->zstd_bytes = whole_pages(ZSTD_estimateDStreamSize(unzip_window_bytes_max));
    uint64_t fixed = unzip_buffer_bytes + gzip_memory_bytes;
    u->memory_bytes = fixed + 2 * unzip_block_bytes_max + u->zstd_bytes;
    u->memory = mmap(NULL, u->memory_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (u->memory == MAP_FAILED) {
        free(u);
        return ERR_NO_MEMORY;
    }
    u->buffer = u->memory;
    u->gzip_memory = u->memory + fixed - gzip_memory_bytes;
    u->block = u->memory + fixed;
    u->plain = u->block + unzip_block_bytes_max;
    u->zstd_memory = u->plain + unzip_block_bytes_max;
    *out = u;
    return 0;
}

void unzip_free(struct unzip *u)
{
    if (u == NULL)
        return;
    munmap(u->memory, u->memory_bytes);
    free(u);
}

/* A buffer full of output is ready. */
static bool unzip_piece(struct unzip *u, size_t n)
{
    u->out.p = u->buffer;
    u->out.end = u->buffer + n;
    u->produced += n;
    return n > 0;
}

/* --- gzip ------------------------------------------------------------------------------------- */

static voidpf gzip_alloc(voidpf ctx, uInt items, uInt size)
{
    struct unzip *u = ctx;
    size_t n = ((size_t)items * size + 15) / 16 * 16;
    if (n > gzip_memory_bytes - u->gzip_used)
        return Z_NULL;
    u->gzip_used += n;
    return u->gzip_memory + u->gzip_used - n;
}

static void gzip_release(voidpf ctx, voidpf p)
{
}

static bool gzip_open(struct unzip *u)
{
    u->member_ended = false;
    if (u->gzip_ready)
        return inflateReset(&u->gzip) == Z_OK;
    u->gzip = (z_stream){.zalloc = gzip_alloc, .zfree = gzip_release, .opaque = u};
    u->gzip_ready = inflateInit2(&u->gzip, 15 + 16) == Z_OK;
    return u->gzip_ready;
}

/*
 * Members may follow each other; what follows the last one and is no member is ignored, as Java
 * does.
 */
static bool gzip_next_member(struct unzip *u)
{
    if (!unzip_input(u) || *u->in->p != 0x1f)
        return false;
    u->member_ended = false;
    return inflateReset(&u->gzip) == Z_OK;
}

static bool gzip_more(struct reader *r)
{
    struct unzip *u = (struct unzip *)r;
    u->gzip.next_out = u->buffer;
    u->gzip.avail_out = unzip_out_bytes;
    while (u->gzip.avail_out == unzip_out_bytes) {
        if (u->member_ended && !gzip_next_member(u))
            return false;
        if (!unzip_input(u))
            return unzip_fail(u); /* cut short */
        uint64_t have = (uint64_t)(u->in->end - u->in->p);
        u->gzip.next_in = (Bytef *)(uintptr_t)u->in->p;
        u->gzip.avail_in = have > UINT32_MAX ? UINT32_MAX : (uInt)have;
        int ret = inflate(&u->gzip, Z_NO_FLUSH);
        u->in->p = u->gzip.next_in;
        if (ret == Z_STREAM_END)
            u->member_ended = true;
        else if (ret != Z_OK && ret != Z_BUF_ERROR)
            return unzip_fail(u);
    }
    return unzip_piece(u, unzip_out_bytes - u->gzip.avail_out);
}

/* --- LZ4 -------------------------------------------------------------------------------------- */

/* n input bytes in one piece: where they lie, or copied together. NULL: the stream is cut short. */
static const uint8_t *lz4_take(struct unzip *u, size_t n)
{
    if (u->in->p == u->in->end && !unzip_input(u))
        return NULL;
    const uint8_t *p = u->in->p;
    if ((size_t)(u->in->end - p) >= n) {
        u->in->p += n;
        return p;
    }
    return batch_reader_copy(u->in, u->block, n) ? u->block : NULL;
}

static uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The frame descriptor, as Kafka's Lz4BlockInputStream takes it: version 1, independent blocks. */
static bool lz4_begin(struct unzip *u)
{
    uint8_t head[2 + 8];
    const uint8_t *p = lz4_take(u, 4);
    if (p == NULL || get_le32(p) != lz4_magic)
        return false;
    if (!batch_reader_copy(u->in, head, 2))
        return false;
    uint8_t flags = head[0], size = (head[1] >> 4) & 7;
    if (flags >> 6 != 1 || !(flags & 0x20) || (flags & 0x03) || size < 4 || (head[1] & 0x8f))
        return false;
    size_t n = 2;
    if (flags & 0x08) {
        if (!batch_reader_copy(u->in, head + 2, 8))
            return false;
        n += 8;
    }
    p = lz4_take(u, 1);
    if (p == NULL || *p != (uint8_t)(XXH32(head, n, 0) >> 8))
        return false;
    u->lz4 = (struct lz4){
        .started = true,
        .block_checksum = flags & 0x10,
        .content_checksum = flags & 0x04,
        .block_max = 1u << (8 + 2 * size),
    };
    return true;
}

static bool lz4_block(struct unzip *u, uint32_t word)
{
    uint32_t n = word & 0x7fffffffu;
    if (n > u->lz4.block_max)
        return unzip_fail(u);
    const uint8_t *p = lz4_take(u, n);
    if (p == NULL)
        return unzip_fail(u);
    uint32_t hash = u->lz4.block_checksum ? XXH32(p, n, 0) : 0;
    if (word & 0x80000000u) {
        u->out.p = p;
        u->out.end = p + n;
        if (p == u->block || u->lz4.block_checksum) { /* the next look at the input moves on */
            memcpy(u->plain, p, n);
            u->out.p = u->plain;
            u->out.end = u->plain + n;
        }
    } else {
        int got =
            LZ4_decompress_safe((const char *)p, (char *)u->plain, (int)n, (int)u->lz4.block_max);
        if (got < 0)
            return unzip_fail(u);
        u->out.p = u->plain;
        u->out.end = u->plain + got;
    }
    if (u->lz4.block_checksum) {
        p = lz4_take(u, 4);
        if (p == NULL || get_le32(p) != hash)
            return unzip_fail(u);
    }
    u->produced += (uint64_t)(u->out.end - u->out.p);
    return true;
}

static bool lz4_more(struct reader *r)
{
    struct unzip *u = (struct unzip *)r;
    if (!u->lz4.started && !lz4_begin(u))
        return unzip_fail(u);
    u->out.p = u->out.end;
    while (!u->lz4.ended && u->out.p == u->out.end) {
        const uint8_t *p = lz4_take(u, 4);
        if (p == NULL)
            return unzip_fail(u);
        uint32_t word = get_le32(p);
        if ((word & 0x7fffffffu) == 0)
            u->lz4.ended =
                true; /* a content checksum and what follows are not looked at: Kafka's way */
        else if (!lz4_block(u, word))
            return false;
    }
    return u->out.p != u->out.end;
}

/* --- zstd ------------------------------------------------------------------------------------- */

static bool zstd_open(struct unzip *u)
{
    u->frame_open = false;
    if (u->zstd == NULL)
        u->zstd = ZSTD_initStaticDStream(u->zstd_memory, u->zstd_bytes);
    return u->zstd && !ZSTD_isError(ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only));
}

static bool zstd_more(struct reader *r)
{
    struct unzip *u = (struct unzip *)r;
    ZSTD_outBuffer out = {u->buffer, unzip_out_bytes, 0};
    while (out.pos == 0) {
        bool input = unzip_input(u);
        if (u->in->err)
            return unzip_fail(u);
        if (!input && !u->frame_open)
            return false;
        ZSTD_inBuffer in = {u->in->p, (size_t)(u->in->end - u->in->p), 0};
        size_t left = ZSTD_decompressStream(u->zstd, &out, &in);
        if (ZSTD_isError(left))
            return unzip_fail(u);
        if (!input && out.pos == 0 && left > 0)
            return unzip_fail(u); /* cut short */
        u->in->p += in.pos;
        u->frame_open = left > 0;
    }
    return unzip_piece(u, out.pos);
}

/* ---------------------------------------------------------------------------------------------- */

struct reader *unzip_open(struct unzip *u, enum batch_codec codec, struct reader *in)
{
    bool ok = true;
    u->in = in;
    u->produced = 0;
    u->out = (struct reader){0};
    switch (codec) {
    case CODEC_GZIP:
        ok = gzip_open(u);
        u->out.more = gzip_more;
        break;
    case CODEC_SNAPPY:
        u->snappy = (struct snappy){0};
        u->out.more = snappy_more;
        break;
    case CODEC_LZ4:
        u->lz4 = (struct lz4){0};
        u->out.more = lz4_more;
        break;
    case CODEC_ZSTD:
        ok = zstd_open(u);
        u->out.more = zstd_more;
        break;
    default:
        ok = false;
    }
    if (!ok)
        u->out.err = ERR_MALFORMED;
    return &u->out;
}

void unzip_close(struct unzip *u)
{
    if (u->produced <= unzip_keep_bytes)
        return;
    /* a window was touched at most as far as bytes were produced */
    madvise(u->buffer, unzip_buffer_bytes, MADV_DONTNEED);
    madvise(u->zstd_memory, u->zstd_bytes, MADV_DONTNEED);
    madvise(u->block, 2 * unzip_block_bytes_max, MADV_DONTNEED);
    u->zstd = NULL;
    u->produced = 0;
}
