/* unzip: what the codecs of decompress.c and snappy.c share. Private to them. */
#ifndef STORAGE_PLOG_UNZIP_H
#define STORAGE_PLOG_UNZIP_H

#define ZSTD_STATIC_LINKING_ONLY
#include <zlib.h>
#include <zstd.h>

#include "storage/plog/decompress.h"

#define unzip_out_bytes (128 * KIB) /* of one piece */
#define unzip_buffer_bytes                                                                         \
    (2 * unzip_history_bytes) /* snappy: so that history moves once in so many bytes */

enum snappy_state { SNAPPY_START, SNAPPY_FRAME, SNAPPY_RAW, SNAPPY_END };

struct snappy {
    enum snappy_state state;
    bool framed;         /* xerial: frames with a length each; else one block to the end */
    int64_t frame_left;  /* input bytes left in this block; raw: INT64_MAX */
    uint32_t out_left;   /* output bytes that this block still owes */
    uint32_t literal;    /* pending literal bytes */
    uint32_t copy, back; /* pending copy: bytes and distance */
    uint32_t produced;   /* output of this block so far, for distances */
    uint32_t filled;     /* bytes in the buffer: history and new ones */
    uint8_t ahead[3];    /* bytes read to tell frames from a raw block */
    uint32_t ahead_at, ahead_count;
};

struct lz4 {
    bool started, ended, block_checksum, content_checksum;
    uint32_t block_max;
};

struct unzip {
    struct reader out;
    struct reader *in;
    uint8_t *memory;
    uint64_t memory_bytes;
    uint8_t *buffer;        /* unzip_buffer_bytes; of others than snappy, unzip_out_bytes */
    uint8_t *block, *plain; /* LZ4: unzip_block_bytes_max each */
    uint8_t *gzip_memory;
    size_t gzip_used;
    uint8_t *zstd_memory;
    size_t zstd_bytes;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool gzip_ready, member_ended, frame_open;
    uint64_t produced; /* bytes of this batch */
    struct snappy snappy;
    struct lz4 lz4;
};

bool snappy_more(struct reader *r);

/* Marks the stream as broken; for `return unzip_fail(u);`. */
static inline bool unzip_fail(struct unzip *u)
{
    u->out.err = ERR_MALFORMED;
    return false;
}

/* True if at least one input byte is at hand in u->in. */
static inline bool unzip_input(struct unzip *u)
{
    while (u->in->p == u->in->end)
        if (!reader_more(u->in))
            return false;
    return true;
}

#endif
