/*
 * validate: the records inside a batch, checked one by one without being kept.
 *
 * Purpose: Kafka's LogValidator for batches of format 2, over plain or decompressed bytes. Pure,
 * one pass, fixed memory.
 * Failure: a Kafka error; errors of single records are listed up to validate_errors_max.
 */
#ifndef STORAGE_PLOG_VALIDATE_H
#define STORAGE_PLOG_VALIDATE_H

#include "storage/plog/batch.h"

#define validate_errors_max 16

struct validate_rules {
    bool compacted;       /* every record must have a key */
    bool log_append_time; /* the topic's timestamps are the broker's */
    int64_t now_ms, before_max_ms, after_max_ms;
};

enum validate_kind { VALIDATE_NO_KEY, VALIDATE_TIMESTAMP, VALIDATE_TIMESTAMP_TYPE };

struct validate_error {
    enum validate_kind kind;
    int32_t index;
    int64_t timestamp_ms;
    int32_t key_bytes, value_bytes; /* 0 for null too */
};

struct validate_result {
    int64_t max_timestamp_ms; /* over all records; -1 without any */
    uint32_t error_count;     /* of records, may be more than are listed */
    bool timestamp_error;     /* one of them is about a timestamp */
    struct validate_error errors[validate_errors_max];
};

/*
 * Reads the records of batch h from r (decompressed). 0; KERR_INVALID_RECORD for a broken
 * structure; KERR_UNKNOWN_SERVER_ERROR when decompression failed; errors of records leave 0 and
 * error_count > 0.
 */
int16_t validate_records(struct reader *r, const struct batch_header *h,
                         const struct validate_rules *rules, struct validate_result *out);

/* One record's place and time, for look-ups by timestamp. */
struct record_info {
    int32_t offset_delta;
    int64_t timestamp_ms;
    int32_t key_bytes, value_bytes; /* -1: null */
};

/* Reads one record; 0, ERR_NEED_MORE at the end of r or ERR_MALFORMED. */
int record_next(struct reader *r, const struct batch_header *h, struct record_info *out);

#endif
