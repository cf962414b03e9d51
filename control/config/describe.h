/*
 * describe: settings as DescribeConfigs and CreateTopics show them.
 *
 * Purpose: for a topic, this broker, or the cluster-wide settings: every key with value, source,
 * synonyms, type and documentation, in the order and by the rules of stock Kafka. Owner: the control
 * thread. Memory: everything in the result is in the caller's arena or belongs to the config.
 * Failure: ERR_NO_MEMORY; outputs untouched. Which of the keys a request wants, and whether it
 * wants synonyms and documentation, is the caller's to apply.
 */
#ifndef CONTROL_CONFIG_DESCRIBE_H
#define CONTROL_CONFIG_DESCRIBE_H

#include "control/config/config.h"

struct config_synonym {
    struct str name, value; /* value null if sensitive */
    enum config_source source;
};

struct config_entry {
    struct str name;
    struct str value;         /* null: no value, or sensitive */
    struct str documentation; /* null for names that are no keys */
    enum config_source source;
    enum config_type type;
    bool is_read_only, is_sensitive;
    const struct config_synonym *synonyms; /* in the order in which they count */
    uint32_t synonym_count;
};

struct config_entries {
    struct config_entry *items;
    uint32_t count;
};

/* This broker: every key of the table, and what else was set. */
int config_describe_broker(const struct config *c, struct arena *arena, struct config_entries *out);

/* The cluster-wide dynamic settings. */
int config_describe_cluster(const struct config *c, struct arena *arena,
                            struct config_entries *out);

/* A group with these settings of its own; whether anybody knows the group does not matter. */
int config_describe_group(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct config_entries *out);

/* A topic with these settings of its own. */
int config_describe_topic(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct config_entries *out);

/*
 * The settings in CreateTopics' reply: sorted by name, values as they were written, no synonyms and
 * no documentation.
 */
int config_describe_created(const struct config *c, struct config_pairs own, struct arena *arena,
                            struct config_entries *out);

#endif
