/*
 * record: the entries of the metadata log.
 *
 * Purpose: everything that changes the image is one of these records; the log (store.h) is a
 * sequence of them, a snapshot is another. Pure: encode to bytes, decode from bytes.
 * Owner: values only. Memory: a decoded record's strings point into the bytes that it was read
 * from;
 * its configs are in an array of the caller.
 * Format (all integers big-endian): type u8, version u8, payload length u32, payload. Strings are a
 * length u32 and bytes. A reader refuses types and versions that it does not know: metadata
 * that is half understood must not be acted upon.
 * Failure: ERR_NEED_MORE (cut), ERR_MALFORMED (lengths disagree), ERR_UNSUPPORTED (newer format),
 * ERR_TOO_LARGE (over a limit below).
 */
#ifndef CONTROL_META_RECORD_H
#define CONTROL_META_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

#define meta_record_bytes_max (4 * 1024 * 1024) /* one encoded record */
#define meta_configs_max      256               /* entries of one config set */

enum meta_record_type {
    META_CLUSTER = 1,   /* id: the cluster's */
    META_BOOT = 2,      /* value: number of this start, counted from 1; os_durability */
    META_TOPIC = 3,     /* id, name, internal */
    META_PARTITION = 4, /* id of the topic, partition (the next index), directory, epochs */
    META_PARTITION_DIRECTORY = 5, /* id, partition, directory: it was found in another log dir */
    META_TOPIC_CONFIGS = 6,       /* id, configs: the whole new set */
    META_TOPIC_REMOVING = 7,      /* id: gone for clients, its files not yet */
    META_TOPIC_REMOVED = 8,       /* id: its files are gone too */
    META_BROKER_CONFIGS = 9,      /* configs: the whole new set of this broker */
    META_CLUSTER_CONFIGS = 10,    /* configs: the whole new set of cluster-wide defaults */
    META_PRODUCER_IDS = 11,       /* value: ids below it may have been given away */
    META_GROUP_CONFIGS = 12,      /* name of the group, configs: the whole new set, empty: none */
};

struct meta_config {
    struct str name, value;
};

struct meta_record {
    enum meta_record_type type;
    struct uuid id;
    struct str name;
    bool internal;
    int32_t partition;
    struct uuid directory;
    int32_t leader_epoch, partition_epoch;
    int64_t value;
    bool os_durability; /* acks since the last clean stop may have meant the system only */
    const struct meta_config *configs;
    uint32_t config_count;
};

/* Name of a type for dumps; "unknown" for anything else. */
const char *meta_record_type_name(enum meta_record_type type);

/*
 * Bytes that meta_record_encode writes, at most meta_record_bytes_max; ERR_TOO_LARGE, ERR_INVALID.
 */
int64_t meta_record_size(const struct meta_record *r);

/* Writes to out, which has room for meta_record_size bytes; returns the bytes written. */
size_t meta_record_encode(const struct meta_record *r, uint8_t *out);

/*
 * Reads one record from n bytes at p. configs has room for meta_configs_max entries. Returns the
 * bytes consumed or an error; *out untouched on error.
 */
int64_t meta_record_decode(const uint8_t *p, size_t n, struct meta_record *out,
                           struct meta_config *configs);

#endif
