/*
 * types: what decoded messages are made of, beyond base's integers, str and uuid.
 *
 * Purpose: the two shapes of opaque bytes in a message. Values only; who made them owns the memory.
 */
#ifndef DATAPLANE_PROTO_TYPES_H
#define DATAPLANE_PROTO_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/chain.h"

/* The longest string that Kafka reads or writes, in bytes. */
#define PROTO_STRING_BYTES_MAX 0x7fff

/* Opaque bytes in one piece (group metadata, tokens). Null: p == NULL. */
struct proto_bytes {
    const uint8_t *p;
    uint32_t len;
};

/* Record batches where they lie in a chain. Null: is_null (then view is {0}). */
struct proto_records {
    struct chain_view view;
    bool is_null;
};

#define PROTO_BYTES_EMPTY  ((struct proto_bytes){(const uint8_t *)"", 0})
#define PROTO_BYTES_NULL   ((struct proto_bytes){0})
#define PROTO_RECORDS_NULL ((struct proto_records){.is_null = true})

/* All bytes of a chain (less than 4 GiB), lent: the chain stays the caller's. */
static inline struct proto_records proto_records_of(const struct chain *c)
{
    return (struct proto_records){{{c->head, 0}, (uint32_t)c->bytes}, false};
}

#endif
