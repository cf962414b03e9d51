/*
 * topic_config: the configuration keys of a topic, and what they come to for one topic.
 *
 * Purpose: the table topic_keys.def by enum and name; the effective values that the log works with
 * (the topic's own settings over the broker's); the check of a topic's settings with Kafka's words.
 * Owner: none, values only; a struct topic_config can be copied to any thread. Memory: temporary
 * memory is taken and given back inside a call, or from the caller's arena where one is given.
 */
#ifndef CONTROL_CONFIG_TOPIC_CONFIG_H
#define CONTROL_CONFIG_TOPIC_CONFIG_H

#include "control/config/config.h"

enum topic_key {
#define TOPIC_KEY(symbol, name, type, default_text, rule, broker, use, doc) TOPIC_##symbol,
#include "control/config/topic_keys.def"
#undef TOPIC_KEY
    TOPIC_KEY_COUNT
};

enum topic_compression {
    TOPIC_COMPRESSION_PRODUCER, /* keep what the producer chose */
    TOPIC_COMPRESSION_NONE,
    TOPIC_COMPRESSION_GZIP,
    TOPIC_COMPRESSION_SNAPPY,
    TOPIC_COMPRESSION_LZ4,
    TOPIC_COMPRESSION_ZSTD,
};

/* Effective values. Times in milliseconds, sizes in bytes. */
struct topic_config {
    int64_t segment_bytes; /* internal.segment.bytes when set; at least 1 */
    int64_t segment_ms, segment_jitter_ms;
    int32_t segment_index_bytes, index_interval_bytes;
    int64_t flush_messages, flush_ms;
    int64_t retention_bytes, retention_ms; /* negative: no limit */
    int32_t max_message_bytes;
    int64_t delete_retention_ms, file_delete_delay_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms;
    double min_cleanable_dirty_ratio;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    int32_t min_insync_replicas;
    int32_t gzip_level, lz4_level, zstd_level;
    enum topic_compression compression;
    bool is_compacted, is_deleted; /* cleanup.policy; neither: records stay for ever */
    bool is_append_time;           /* message.timestamp.type=LogAppendTime */
    bool is_unclean_election_allowed, is_preallocated;
};

const struct config_def *topic_key_def(enum topic_key key);

/* TOPIC_KEY_COUNT if there is no such key. */
enum topic_key topic_key_find(struct str name);

/* The broker key that gives the value while the topic has none; CONFIG_KEY_NONE: none. */
enum config_key topic_key_broker_key(enum topic_key key);

/*
 * The effective value of one key: own (the topic's setting, may be null) or the broker's.
 * ERR_INVALID with Kafka's message in *why if own is wrong; ERR_NO_MEMORY.
 */
int topic_config_value(const struct config *c, enum topic_key key, struct str own,
                       struct arena *arena, struct config_value *out, struct str *why);

/*
 * Checks a topic's settings as a whole: unknown names, values, relations. Returns 0; ERR_INVALID
 * with Kafka's message in *why (memory of the arena); ERR_NO_MEMORY.
 */
int topic_config_validate(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct str *why);

/* The effective values. A setting that is wrong or unknown counts as not set. ERR_NO_MEMORY. */
int topic_config_build(const struct config *c, struct config_pairs own, struct topic_config *out);

#endif
