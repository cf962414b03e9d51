/*
 * writer: encoding of the Kafka protocol's types into a chain of mbufs.
 *
 * Purpose: the primitives under every encoder, generated or written by hand. Bytes are stored into
 * mbufs taken from one pool; records are appended by reference. Owner: one thread. Memory: the
 * writer owns its chain until writer_finish hands it over.
 * Failure: sticky. The first error stays in `err`, later calls do nothing, writer_finish frees what
 * was written and answers it. ERR_NO_MEMORY: the pool is empty. ERR_INVALID: a value that the
 * protocol cannot carry (null where null is not allowed, a string over PROTO_STRING_BYTES_MAX).
 * ERR_UNSUPPORTED: a field is set that the version does not have and that may not be dropped.
 * A counting writer (writer_init_count) stores nothing, only adds up bytes, and needs no memory.
 */
#ifndef DATAPLANE_PROTO_WRITER_H
#define DATAPLANE_PROTO_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "core/chain.h"
#include "dataplane/proto/types.h"

struct rte_mempool;

struct writer {
    uint8_t *p, *end;         /* room in the open mbuf */
    uint8_t *start;           /* the open mbuf's first byte */
    struct rte_mempool *pool; /* NULL: counting */
    struct rte_mempool *refs; /* where mbufs for references come from */
    struct rte_mbuf *open;    /* being filled, not yet in the chain; NULL: none */
    struct chain chain;       /* what is finished */
    uint64_t counted;         /* bytes of a counting writer */
    int err;
};

/* A place of four bytes to be filled in later. */
struct writer_mark {
    uint8_t *at; /* NULL: counting or failed */
};

/* Bytes go into mbufs of pool; so do references, unless writer_set_refs says otherwise. */
void writer_init(struct writer *w, struct rte_mempool *pool);

/* Takes mbufs for references (records, views) from `refs`: they need no data room. */
static inline void writer_set_refs(struct writer *w, struct rte_mempool *refs)
{
    w->refs = refs;
}

void writer_init_count(struct writer *w);

/*
 * Closes the writer. 0: what was written is at the end of *out. Negative: the sticky error, all of
 * it freed, *out untouched. The writer is empty afterwards.
 */
int writer_finish(struct writer *w, struct chain *out);

/* Frees what was written. */
void writer_abort(struct writer *w);

/* Keeps the first error. */
void writer_fail(struct writer *w, int err);

/* Bytes written so far, references included. */
uint64_t writer_bytes(const struct writer *w);

/* The slow path of all: n bytes that do not fit the open mbuf, or a counting or failed writer. */
void writer_raw_slow(struct writer *w, const void *p, size_t n);

/* n bytes as they are. */
static inline void writer_raw(struct writer *w, const void *p, size_t n)
{
    if (__builtin_expect((size_t)(w->end - w->p) >= n && n != 0, 1)) {
        memcpy(w->p, p, n);
        w->p += n;
    } else {
        writer_raw_slow(w, p, n);
    }
}

#define WRITER_INT(name, type, bytes, put, wire)                                                   \
    static inline void writer_##name(struct writer *w, type v)                                     \
    {                                                                                              \
        uint8_t edge[bytes];                                                                       \
        if (__builtin_expect((size_t)(w->end - w->p) >= (bytes), 1)) {                             \
            put(w->p, (wire)v);                                                                    \
            w->p += (bytes);                                                                       \
        } else {                                                                                   \
            put(edge, (wire)v);                                                                    \
            writer_raw_slow(w, edge, bytes);                                                       \
        }                                                                                          \
    }

static inline void writer_put_u8(uint8_t *p, uint8_t v)
{
    *p = v;
}

/* Big-endian integers. */
WRITER_INT(i8, int8_t, 1, writer_put_u8, uint8_t)
WRITER_INT(i16, int16_t, 2, bytes_put_u16, uint16_t)
WRITER_INT(u16, uint16_t, 2, bytes_put_u16, uint16_t)
WRITER_INT(i32, int32_t, 4, bytes_put_u32, uint32_t)
WRITER_INT(u32, uint32_t, 4, bytes_put_u32, uint32_t)
WRITER_INT(i64, int64_t, 8, bytes_put_u64, uint64_t)
WRITER_INT(u64, uint64_t, 8, bytes_put_u64, uint64_t)
#undef WRITER_INT

static inline void writer_bool(struct writer *w, bool v)
{
    writer_i8(w, v ? 1 : 0);
}

/* IEEE 754 binary64. */
static inline void writer_f64(struct writer *w, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    writer_u64(w, bits);
}

/* UNSIGNED_VARINT. */
static inline void writer_uvarint(struct writer *w, uint32_t v)
{
    uint8_t b[VARINT32_BYTES_MAX];
    size_t n = 0;
    while (v >= 0x80) {
        b[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    b[n++] = (uint8_t)v;
    writer_raw(w, b, n);
}

static inline void writer_uuid(struct writer *w, struct uuid id)
{
    writer_raw(w, id.b, sizeof(id.b));
}

/* STRING and COMPACT_STRING; a null needs `nullable`. */
void writer_str(struct writer *w, struct str s, bool nullable);
void writer_compact_str(struct writer *w, struct str s, bool nullable);

/* BYTES and COMPACT_BYTES, copied. */
void writer_bytes_field(struct writer *w, struct proto_bytes b, bool nullable);
void writer_compact_bytes_field(struct writer *w, struct proto_bytes b, bool nullable);

/* Array counts; -1 is null and needs `nullable`. */
void writer_array_len(struct writer *w, int32_t n, bool nullable);
void writer_compact_array_len(struct writer *w, int32_t n, bool nullable);

/* Appends references to the view's bytes (chain_share): nothing is copied. */
void writer_view(struct writer *w, struct chain_view v);

/* Moves a chain's mbufs into the writer; the chain is empty afterwards, on failure too. */
void writer_chain(struct writer *w, struct chain *c);

/* RECORDS and COMPACT_RECORDS: the length, then the bytes by reference. */
void writer_records(struct writer *w, struct proto_records rec, bool nullable);
void writer_compact_records(struct writer *w, struct proto_records rec, bool nullable);

/* An empty section of tagged fields. */
static inline void writer_no_tags(struct writer *w)
{
    writer_i8(w, 0);
}

/* What stands before a tagged field's value: its number and its size in bytes. */
static inline void writer_tag(struct writer *w, uint32_t number, uint32_t size)
{
    writer_uvarint(w, number);
    writer_uvarint(w, size);
}

/* Reserves four bytes (in one mbuf) for a number known later, such as a frame's length. */
struct writer_mark writer_reserve_i32(struct writer *w);

/* Fills a reserved place; before writer_finish. */
void writer_patch_i32(struct writer *w, struct writer_mark mark, int32_t v);

/*
 * A whole frame: writer_frame_begin reserves the length word, writer_frame_end fills it with the
 * bytes written since. Frames may follow each other in one writer.
 */
struct writer_frame {
    struct writer_mark mark;
    uint64_t start; /* writer_bytes behind the length word */
};
struct writer_frame writer_frame_begin(struct writer *w);
void writer_frame_end(struct writer *w, struct writer_frame frame);

#endif
