/*
 * reader: bounded reading of the Kafka protocol's types from a chain of mbufs.
 *
 * Purpose: the primitives under every decoder, generated or written by hand. A reader walks a range
 * of bytes and never leaves it, however the range is cut into mbufs; inside one mbuf each primitive
 * is a compare and a load. Owner: the thread that owns the chain. Memory: nothing is owned; views
 * and in-place strings point into the mbufs and live as long as the chain keeps them. Only a string
 * or bytes value that straddles mbufs is copied, into the arena given.
 * Failure: sticky. The first error stays in `err`, the reader is then empty, every later primitive
 * answers zero or null, and the caller asks once at the end (loops over counts ask every turn).
 * ERR_MALFORMED: the bytes are not what the protocol allows, or they end too early.
 * ERR_NO_MEMORY: the arena is at its limit.
 */
#ifndef DATAPLANE_PROTO_READER_H
#define DATAPLANE_PROTO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "core/chain.h"
#include "dataplane/proto/types.h"

struct reader {
    const uint8_t *p, *end; /* unread bytes of the range that lie in seg */
    struct rte_mbuf *seg;   /* NULL: the range is plain memory, or empty */
    uint64_t more;          /* unread bytes of the range behind seg */
    int err;                /* 0 or the first error */
};

/* Reads the view's bytes. */
void reader_init(struct reader *r, struct chain_view view);

/* Reads a whole chain. */
void reader_init_chain(struct reader *r, const struct chain *c);

/* Reads n bytes of plain memory that outlives what is decoded; reader_view fails on it. */
void reader_init_memory(struct reader *r, const void *p, size_t n);

/* Keeps the first error and empties the reader. */
void reader_fail(struct reader *r, int err);

/* Bytes of the range not read yet. After a whole message: what trails it (Kafka ignores that). */
static inline uint64_t reader_left(const struct reader *r)
{
    return (uint64_t)(r->end - r->p) + r->more;
}

/* Copies n bytes out and moves on; false (and sticky) if fewer are left. The slow path of all. */
bool reader_copy(struct reader *r, void *dst, size_t n);

/* Moves n bytes on. */
void reader_skip(struct reader *r, uint64_t n);

/*
 * n bytes in one piece: in place if one mbuf holds them, else a copy in the arena. Never NULL for
 * n == 0. NULL with err set: fewer are left, or the arena is at its limit.
 */
const uint8_t *reader_piece(struct reader *r, size_t n, struct arena *arena);

/* The next n bytes where they lie; moves past them. {0} on error. */
struct chain_view reader_view(struct reader *r, uint32_t n);

/* The unsigned varint's slow path: it straddles mbufs, is long, or is cut. */
uint32_t reader_uvarint_slow(struct reader *r);

#define READER_INT(name, type, bytes, get)                                                         \
    static inline type reader_##name(struct reader *r)                                             \
    {                                                                                              \
        uint8_t edge[bytes];                                                                       \
        const uint8_t *p = r->p;                                                                   \
        if (__builtin_expect((size_t)(r->end - p) >= (bytes), 1))                                  \
            r->p = p + (bytes);                                                                    \
        else if (reader_copy(r, edge, bytes))                                                      \
            p = edge;                                                                              \
        else                                                                                       \
            return 0;                                                                              \
        return get(p);                                                                             \
    }

static inline int8_t reader_get_i8(const uint8_t *p)
{
    return (int8_t)*p;
}

/* Big-endian integers; 0 on error. */
READER_INT(i8, int8_t, 1, reader_get_i8)
READER_INT(i16, int16_t, 2, bytes_get_i16)
READER_INT(u16, uint16_t, 2, bytes_get_u16)
READER_INT(i32, int32_t, 4, bytes_get_i32)
READER_INT(u32, uint32_t, 4, bytes_get_u32)
READER_INT(i64, int64_t, 8, bytes_get_i64)
READER_INT(u64, uint64_t, 8, bytes_get_u64)
#undef READER_INT

/* Any byte but 0 is true, as in Kafka. */
static inline bool reader_bool(struct reader *r)
{
    return reader_i8(r) != 0;
}

/* IEEE 754 binary64. */
static inline double reader_f64(struct reader *r)
{
    uint64_t bits = reader_u64(r);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* UNSIGNED_VARINT: at most 5 bytes; bits above 32 are dropped, as Kafka's reader does. */
static inline uint32_t reader_uvarint(struct reader *r)
{
    if (__builtin_expect(r->p < r->end && *r->p < 0x80, 1))
        return *r->p++;
    return reader_uvarint_slow(r);
}

static inline struct uuid reader_uuid(struct reader *r)
{
    struct uuid id = UUID_ZERO;
    if (__builtin_expect((size_t)(r->end - r->p) >= sizeof(id.b), 1)) {
        memcpy(id.b, r->p, sizeof(id.b));
        r->p += sizeof(id.b);
    } else if (!reader_copy(r, id.b, sizeof(id.b))) {
        return UUID_ZERO;
    }
    return id;
}

/* Length prefixes as they stand on the wire; negative means null. */
static inline int32_t reader_compact_len(struct reader *r)
{
    return (int32_t)(reader_uvarint(r) - 1u);
}

/*
 * STRING and COMPACT_STRING, in place or copied to the arena (no NUL added). A null is malformed
 * unless `nullable`; longer than PROTO_STRING_BYTES_MAX is malformed.
 */
struct str reader_str_len(struct reader *r, int32_t len, bool nullable, struct arena *arena);

static inline struct str reader_str(struct reader *r, bool nullable, struct arena *arena)
{
    return reader_str_len(r, reader_i16(r), nullable, arena);
}

static inline struct str reader_compact_str(struct reader *r, bool nullable, struct arena *arena)
{
    return reader_str_len(r, reader_compact_len(r), nullable, arena);
}

/* BYTES and COMPACT_BYTES in one piece, in place or copied to the arena. */
struct proto_bytes reader_bytes_len(struct reader *r, int32_t len, bool nullable,
                                    struct arena *arena);

static inline struct proto_bytes reader_bytes(struct reader *r, bool nullable, struct arena *arena)
{
    return reader_bytes_len(r, reader_i32(r), nullable, arena);
}

static inline struct proto_bytes reader_compact_bytes(struct reader *r, bool nullable,
                                                      struct arena *arena)
{
    return reader_bytes_len(r, reader_compact_len(r), nullable, arena);
}

/* RECORDS and COMPACT_RECORDS: a view, never copied. */
struct proto_records reader_records_len(struct reader *r, int32_t len, bool nullable);

static inline struct proto_records reader_records(struct reader *r, bool nullable)
{
    return reader_records_len(r, reader_i32(r), nullable);
}

static inline struct proto_records reader_compact_records(struct reader *r, bool nullable)
{
    return reader_records_len(r, reader_compact_len(r), nullable);
}

/*
 * The element count of an array; -1 for null, which is malformed unless `nullable`. Each element
 * takes at least element_bytes_min (> 0) bytes, so a count that the bytes left cannot hold is
 * malformed before anything is allocated for it.
 */
int32_t reader_count(struct reader *r, int32_t len, bool nullable, uint32_t element_bytes_min);

static inline int32_t reader_array_len(struct reader *r, bool nullable, uint32_t element_bytes_min)
{
    return reader_count(r, reader_i32(r), nullable, element_bytes_min);
}

static inline int32_t reader_compact_array_len(struct reader *r, bool nullable,
                                               uint32_t element_bytes_min)
{
    return reader_count(r, reader_compact_len(r), nullable, element_bytes_min);
}

/* Room for count elements of size bytes, not cleared; NULL if count <= 0 or on error (set). */
void *reader_alloc(struct reader *r, struct arena *arena, int32_t count, size_t size);

/* One tagged field: its number, its size in bytes, and where it began. */
struct reader_tag {
    uint32_t number, size;
    uint64_t left; /* reader_left at the value's first byte */
};

static inline struct reader_tag reader_tag_begin(struct reader *r)
{
    struct reader_tag tag;
    tag.number = reader_uvarint(r);
    tag.size = reader_uvarint(r);
    tag.left = reader_left(r);
    return tag;
}

/* A value longer or shorter than its tag said is malformed (Kafka would read on behind it). */
static inline void reader_tag_end(struct reader *r, struct reader_tag tag)
{
    if (r->err == 0 && tag.left - reader_left(r) != tag.size)
        reader_fail(r, ERR_MALFORMED);
}

/* Skips a whole section of tagged fields. */
void reader_skip_tags(struct reader *r);

#endif
