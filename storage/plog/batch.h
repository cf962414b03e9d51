/*
 * batch: the header of a record batch, format 2 (Kafka's DefaultRecordBatch), and readers of bytes
 * in pieces.
 *
 * Purpose: names for the header's fields and checks of what can be told from the header alone.
 * Pure. Memory: a reader looks at bytes that its maker keeps.
 */
#ifndef STORAGE_PLOG_BATCH_H
#define STORAGE_PLOG_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "core/chain.h"

/*
 * Byte offsets of the fields; the length counts what follows it, the checksum covers from the
 * attributes on.
 */
enum batch_field {
    BATCH_BASE_OFFSET = 0,
    BATCH_LENGTH = 8,
    BATCH_LEADER_EPOCH = 12,
    BATCH_MAGIC = 16,
    BATCH_CRC = 17,
    BATCH_ATTRIBUTES = 21,
    BATCH_LAST_DELTA = 23,
    BATCH_BASE_TIMESTAMP = 27,
    BATCH_MAX_TIMESTAMP = 35,
    BATCH_PRODUCER_ID = 43,
    BATCH_PRODUCER_EPOCH = 51,
    BATCH_BASE_SEQUENCE = 53,
    BATCH_COUNT = 57,
};

#define batch_overhead_bytes   12 /* base offset and length: what the length does not count */
#define batch_length_min       14 /* the smallest length any format could have */
#define batch_to_magic_bytes   17
#define batch_codec_mask       0x07
#define batch_log_append_time  0x08
#define batch_transactional    0x10
#define batch_control          0x20
#define batch_attributes_known 0x7f /* what Kafka keeps when it writes the attributes anew */

enum batch_codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_COUNT };

struct batch_header {
    int64_t base_offset, base_timestamp, max_timestamp, producer_id;
    uint32_t bytes; /* of the whole batch */
    int32_t leader_epoch, last_delta, base_sequence, count;
    uint32_t crc;
    int16_t attributes, producer_epoch;
};

/* Decodes batch_header_bytes bytes. The length is taken as it is. */
void batch_decode(const uint8_t *p, struct batch_header *out);

static inline int64_t batch_last_offset(const struct batch_header *h)
{
    return h->base_offset + h->last_delta;
}

static inline enum batch_codec batch_codec(const struct batch_header *h)
{
    return (enum batch_codec)(h->attributes & batch_codec_mask);
}

/* Sequence numbers wrap from 2^31 - 1 to 0. */
int32_t batch_sequence_add(int32_t sequence, int32_t n);

struct batch_rules {
    bool from_client;
    bool zstd_refused; /* Produce before version 7 */
    int64_t max_bytes; /* max.message.bytes */
};

/*
 * What a produce request's bytes must be before anything is copied: exactly one batch of format 2
 * of allowed size. Fills raw with the header's bytes and *h from them. Returns 0 or Kafka's error;
 * *marks_known then says whether Kafka's answer would carry the log start offset.
 */
int16_t batch_check(struct chain_view records, const struct batch_rules *rules,
                    uint8_t raw[batch_header_bytes], struct batch_header *h, bool *marks_known);

/* What LogValidator.validateBatch demands of the fields once the checksum is known to be right. */
int16_t batch_check_fields(const struct batch_header *h, bool from_client);

/* Bytes in pieces: the piece at hand is [p, end). */
struct reader {
    const uint8_t *p, *end;
    /* Sets p and end to the next piece, not empty. False: no more, or err says what is wrong. */
    bool (*more)(struct reader *r);
    int err;
};

static inline bool reader_more(struct reader *r)
{
    return r->more != NULL && r->err == 0 && r->more(r);
}

/* A reader over one piece. */
static inline void reader_init(struct reader *r, const void *p, size_t n)
{
    *r = (struct reader){.p = p, .end = (const uint8_t *)p + n};
}

/* Moves over n bytes; false at the end. */
bool batch_reader_skip(struct reader *r, uint64_t n);

/* Copies n bytes; false at the end. */
bool batch_reader_copy(struct reader *r, void *dst, size_t n);

#endif
