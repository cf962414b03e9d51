/*
 * settings: what the group coordinator is given: numbers, its own limits, look-ups of topics.
 *
 * Purpose: the group.* and offsets.* properties (Kafka's names in the comments), filled by the
 * owner of the coordinator from the broker's configuration; functions through which it sees the
 * metadata. Values only, nothing fails.
 */
#ifndef CONTROL_GROUP_SETTINGS_H
#define CONTROL_GROUP_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

/* Limits of our own: each with the Kafka error that a client sees at it. */
#define group_id_bytes_max        32767  /* Kafka's string limit */
#define group_count_max           100000 /* groups of one coordinator: COORDINATOR_NOT_AVAILABLE */
#define group_members_max         10000  /* members of one group: GROUP_MAX_SIZE_REACHED */
#define group_protocols_max       100    /* of one member: INCONSISTENT_GROUP_PROTOCOL */
#define group_metadata_bytes_max  (1024 * 1024) /* protocols of one member: INVALID_REQUEST */
#define group_offsets_max         200000        /* of one group: INVALID_COMMIT_OFFSET_SIZE */
#define group_waiting_calls_max   100000        /* of one coordinator: COORDINATOR_NOT_AVAILABLE */
#define group_pending_members_max 10000   /* ids given out and not used: GROUP_MAX_SIZE_REACHED */
#define group_append_bytes_chosen 1000000 /* one batch, until the owner says what the log takes */
#define group_assignors_max       8

enum group_migration { /* group.consumer.migration.policy */
                       GROUP_MIGRATION_DISABLED,
                       GROUP_MIGRATION_DOWNGRADE,
                       GROUP_MIGRATION_UPGRADE,
                       GROUP_MIGRATION_BIDIRECTIONAL,
};

enum group_assignor { GROUP_ASSIGNOR_UNIFORM, GROUP_ASSIGNOR_RANGE };

struct group_settings {
    /* classic groups; ms */
    int32_t min_session_timeout_ms;     /* group.min.session.timeout.ms */
    int32_t max_session_timeout_ms;     /* group.max.session.timeout.ms */
    int32_t initial_rebalance_delay_ms; /* group.initial.rebalance.delay.ms */
    int32_t max_size;                   /* group.max.size */
    /* offsets */
    int32_t offset_metadata_max_bytes;  /* offset.metadata.max.bytes */
    int64_t offsets_retention_ms;       /* offsets.retention.minutes */
    int64_t offsets_retention_check_ms; /* offsets.retention.check.interval.ms */
    uint32_t append_bytes_max;          /* records of one batch, without its header */
    /* consumer groups (KIP-848); ms */
    int32_t consumer_session_timeout_ms;     /* group.consumer.session.timeout.ms */
    int32_t consumer_heartbeat_interval_ms;  /* group.consumer.heartbeat.interval.ms */
    int32_t consumer_max_size;               /* group.consumer.max.size */
    int32_t consumer_assignment_interval_ms; /* group.consumer.assignment.interval.ms */
    int32_t consumer_regex_refresh_ms;       /* group.consumer.regex.refresh.interval.ms */
    enum group_assignor consumer_assignors[group_assignors_max]; /* the first is the default */
    uint32_t n_consumer_assignors;
    enum group_migration consumer_migration;
    bool consumer_enabled; /* group.version 1 and `consumer` among the rebalance protocols */
    /* limits of our own, the constants above unless a test lowers them */
    uint32_t groups_max, members_max, offsets_max, waiting_calls_max, pending_members_max;
};

/* Kafka 4.3's defaults. */
void group_settings_init(struct group_settings *s);

/* False if a number makes no sense (a limit of zero, a batch over 1 GiB). */
bool group_settings_valid(const struct group_settings *s);

/* A topic as the metadata has it now. */
struct group_topic {
    struct str name; /* valid until the metadata changes */
    struct uuid id;
    int32_t partition_count;
};

/* Look-ups in the metadata; each returns false if there is no such (live) topic. */
struct group_topics {
    void *ctx;
    bool (*by_name)(void *ctx, struct str name, struct group_topic *out);
    bool (*by_id)(void *ctx, const struct uuid *id, struct group_topic *out);
    /* Calls fn for every live topic, in the order of names. */
    void (*each)(void *ctx, void (*fn)(void *fn_ctx, const struct group_topic *topic),
                 void *fn_ctx);
    /* Changes whenever a topic is created, grown or deleted. */
    uint64_t (*version)(void *ctx);
};

/* The settings that one group has (GROUP config resources); leaves *out as it is when it has none. */
struct group_overrides {
    void *ctx;
    void (*get)(void *ctx, struct str group_id, struct group_settings *inout);
};

#endif
