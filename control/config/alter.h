/*
 * alter: changes to the settings of a topic or the broker, checked as Kafka checks them.
 *
 * Purpose: what IncrementalAlterConfigs, AlterConfigs and the settings of CreateTopics come to: the
 * resource's new settings, or Kafka's error code and message. Nothing is stored here. Owner: the
 * control thread. Memory: everything in the result is in the caller's arena.
 *
 * The caller checks before: that a resource stands once in a request ("Each resource must appear at
 * most once.", INVALID_REQUEST), its type, a topic's name. And after a good topic result: that the
 * topic exists ("The topic 'x' does not exist.", UNKNOWN_TOPIC_OR_PARTITION), in Kafka's order.
 */
#ifndef CONTROL_CONFIG_ALTER_H
#define CONTROL_CONFIG_ALTER_H

#include "base/kerr.h"
#include "control/config/config.h"

/* The numbers are those of the request. */
enum config_op_type {
    CONFIG_OP_SET = 0,
    CONFIG_OP_DELETE = 1,
    CONFIG_OP_APPEND = 2,
    CONFIG_OP_SUBTRACT = 3,
};

struct config_op {
    struct str name;
    struct str value; /* null as the request had it */
    int8_t type;      /* unchecked */
};

enum config_alter_kind {
    CONFIG_ALTER_INCREMENTAL, /* IncrementalAlterConfigs: the ops change what is there */
    CONFIG_ALTER_REPLACE,     /* AlterConfigs: the ops (all SET) become the settings */
    CONFIG_ALTER_CREATE,      /* CreateTopics: as REPLACE, with that request's words */
};

struct config_alter_result {
    int16_t error;             /* KERR_NONE or Kafka's code */
    struct str message;        /* null unless there is an error with words */
    struct config_pairs pairs; /* the resource's settings afterwards, when there is no error */
};

/*
 * current: the topic's settings now (none for CREATE). ERR_NO_MEMORY; otherwise 0 with the result.
 */
int config_alter_topic(const struct config *c, enum config_alter_kind kind,
                       struct config_pairs current, const struct config_op *ops, uint32_t op_count,
                       struct arena *arena, struct config_alter_result *out);

/*
 * The same for the settings of a group (none if it has no settings, whether it exists or not). Kinds
 * INCREMENTAL and REPLACE. ERR_NO_MEMORY; otherwise 0 with the result.
 */
int config_alter_group(const struct config *c, enum config_alter_kind kind,
                       struct config_pairs current, const struct config_op *ops, uint32_t op_count,
                       struct arena *arena, struct config_alter_result *out);

/*
 * name: the broker's id, or empty for the cluster-wide settings; c carries those now in force.
 * elr: the feature eligible.leader.replicas.version is on (then min.insync.replicas is guarded).
 * ERR_NO_MEMORY; otherwise 0 with the result.
 */
int config_alter_broker(const struct config *c, enum config_alter_kind kind, struct str name,
                        bool elr, const struct config_op *ops, uint32_t op_count,
                        struct arena *arena, struct config_alter_result *out);

#endif
