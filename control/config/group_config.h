/*
 * group_config: the settings that one consumer group can have of its own (GROUP resources, KIP-848).
 *
 * Purpose: the table of keys, their values over the broker's group.consumer.* settings, and the
 * checks against the broker's bounds with Kafka's words. Keys of share and streams groups, which do
 * not exist here, are unknown. Owner: none, values only. Memory: temporary memory is taken and given
 * back inside a call, or from the caller's arena where one is given.
 */
#ifndef CONTROL_CONFIG_GROUP_CONFIG_H
#define CONTROL_CONFIG_GROUP_CONFIG_H

#include "control/config/config.h"

/* In the order in which Kafka describes them. */
enum group_key {
    GROUP_KEY_SESSION_TIMEOUT_MS,
    GROUP_KEY_ASSIGNMENT_INTERVAL_MS,
    GROUP_KEY_HEARTBEAT_INTERVAL_MS,
    GROUP_KEY_COUNT
};

const struct config_def *group_key_def(enum group_key key);

/* GROUP_KEY_COUNT if there is no such key. */
enum group_key group_key_find(struct str name);

/* The broker key that gives the value while the group has none. */
enum config_key group_key_broker_key(enum group_key key);

/*
 * Checks a group's settings as a whole: unknown names, values, the broker's bounds. Returns 0;
 * ERR_INVALID with Kafka's message in *why (memory of the arena); ERR_NO_MEMORY.
 */
int group_config_validate(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct str *why);

/*
 * The effective value of one key, in ms: own (the group's setting, may be null), or the broker's if
 * it has none or one that is no number. A bound of the broker that became narrower since cuts it.
 */
int32_t group_config_value(const struct config *c, enum group_key key, struct str own);

#endif
