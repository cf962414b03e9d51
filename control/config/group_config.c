#include "control/config/group_config.h"

#include "base/check.h"
#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/number.h"
#include "control/config/rules.h"

static const struct config_def defs[GROUP_KEY_COUNT] = {
    [GROUP_KEY_SESSION_TIMEOUT_MS] =
        CONFIG_DEF("consumer.session.timeout.ms", INT, "45000", MIN(1), MEDIUM, CLUSTER_WIDE,
                   HONOURED, "A member that is silent for so long is removed from the group."),
    [GROUP_KEY_ASSIGNMENT_INTERVAL_MS] =
        CONFIG_DEF("consumer.assignment.interval.ms", INT, "1000", MIN(0), MEDIUM, CLUSTER_WIDE,
                   HONOURED, "Least time between two assignments of the group."),
    [GROUP_KEY_HEARTBEAT_INTERVAL_MS] =
        CONFIG_DEF("consumer.heartbeat.interval.ms", INT, "5000", MIN(1), MEDIUM, CLUSTER_WIDE,
                   HONOURED, "How often the group's members are asked to send heartbeats."),
};

static const struct {
    enum config_key value, min, max;
} brokers[GROUP_KEY_COUNT] = {
    [GROUP_KEY_SESSION_TIMEOUT_MS] = {CONFIG_GROUP_CONSUMER_SESSION_TIMEOUT_MS,
                                      CONFIG_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS,
                                      CONFIG_GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS},
    [GROUP_KEY_ASSIGNMENT_INTERVAL_MS] = {CONFIG_GROUP_CONSUMER_ASSIGNMENT_INTERVAL_MS,
                                          CONFIG_GROUP_CONSUMER_MIN_ASSIGNMENT_INTERVAL_MS,
                                          CONFIG_GROUP_CONSUMER_MAX_ASSIGNMENT_INTERVAL_MS},
    [GROUP_KEY_HEARTBEAT_INTERVAL_MS] = {CONFIG_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS,
                                         CONFIG_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS,
                                         CONFIG_GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS},
};

const struct config_def *group_key_def(enum group_key key)
{
    CHECK(key < GROUP_KEY_COUNT);
    return &defs[key];
}

enum group_key group_key_find(struct str name)
{
    for (unsigned i = 0; i < GROUP_KEY_COUNT; i++)
        if (str_eqz(name, defs[i].name))
            return (enum group_key)i;
    return GROUP_KEY_COUNT;
}

enum config_key group_key_broker_key(enum group_key key)
{
    CHECK(key < GROUP_KEY_COUNT);
    return brokers[key].value;
}

/* A value that the broker's bounds forbid; the name of the bound is told, not its number. */
static int check_bounds(const struct config *c, enum group_key key, int64_t value,
                        struct arena *arena, struct str *why)
{
    bool low = value < config_int(c, brokers[key].min);
    if (!low && value <= config_int(c, brokers[key].max))
        return 0;
    *why = arena_printf(arena, "%s must be %s than or equal to %s", defs[key].name,
                        low ? "greater" : "less",
                        config_key_def(low ? brokers[key].min : brokers[key].max)->name);
    return ERR_INVALID;
}

int group_config_validate(const struct config *c, struct config_pairs own, struct arena *arena,
                          struct str *why)
{
    struct config_value values[GROUP_KEY_COUNT];
    bool set[GROUP_KEY_COUNT] = {false};
    for (uint32_t i = 0; i < own.count; i++) {
        if (group_key_find(own.items[i].name) == GROUP_KEY_COUNT) {
            *why =
                arena_printf(arena, "Unknown group config name: %.*s", STR_ARG(own.items[i].name));
            return ERR_INVALID;
        }
    }
    for (unsigned k = 0; k < GROUP_KEY_COUNT; k++) {
        struct str text = config_pairs_get(own, str_from(defs[k].name));
        int err = text.p ? config_value_parse(&defs[k], text, arena, &values[k], why) : 0;
        if (err)
            return err;
        set[k] = text.p != NULL;
    }
    for (unsigned k = 0; k < GROUP_KEY_COUNT; k++) {
        int err = set[k] ? check_bounds(c, (enum group_key)k, values[k].integer, arena, why) : 0;
        if (err)
            return err;
    }
    return 0;
}

int32_t group_config_value(const struct config *c, enum group_key key, struct str own)
{
    int64_t n;
    CHECK(key < GROUP_KEY_COUNT);
    if (own.p == NULL || !number_parse_long(config_trim(own), &n))
        return config_int(c, brokers[key].value);
    int32_t min = config_int(c, brokers[key].min), max = config_int(c, brokers[key].max);
    return n < min ? min : n > max ? max : (int32_t)n;
}
