/*
 * keys: the table of broker keys (keys.def) by enum and by name.
 *
 * Purpose: one place that says which keys exist. Constant data, no owner. A look-up by name is a
 * linear scan: it happens at start and in admin requests only.
 */
#ifndef CONTROL_CONFIG_KEYS_H
#define CONTROL_CONFIG_KEYS_H

#include "control/config/value.h"

/* Longest key name that is looked up or compared, in bytes. */
#define config_name_bytes_max 256

enum config_key {
#define KEY(symbol, name, type, default_text, rule, importance, mode, use, doc) CONFIG_##symbol,
#include "control/config/keys.def"
#undef KEY
    CONFIG_KEY_COUNT
};

#define CONFIG_KEY_NONE CONFIG_KEY_COUNT

/* Keys that set the same thing in other units: the most that one group has. */
#define config_synonyms_max 3

/* The definition of a key below CONFIG_KEY_COUNT. */
const struct config_def *config_key_def(enum config_key key);

/* CONFIG_KEY_NONE if there is no such key. */
enum config_key config_key_find(struct str name);

/*
 * The group of keys that set the same thing, first the one that comes first: log.retention.ms,
 * log.retention.minutes, log.retention.hours for any of the three (except that
 * log.flush.scheduler.interval.ms stands behind log.flush.interval.ms but has no group of its own,
 * as in Kafka). At least the key itself; the count.
 */
int config_key_synonyms(enum config_key key, enum config_key out[config_synonyms_max]);

/* The name of a listener's own setting: splits listener.name.<listener>.<rest>. */
bool config_key_split_listener(struct str name, struct str *listener, struct str *rest);

/* The known key that looks most like name, if one is close; NULL otherwise. */
const char *config_key_suggest(struct str name);

/* Why a key of older Kafka releases is not one any more; NULL if name never was one. */
const char *config_key_removed(struct str name);

/*
 * Sorts the indexes 0..count-1 of names as a Java HashMap with room for `buckets` (a power of two)
 * iterates over them when they were put in in this order: Kafka's replies list keys so. count is
 * at most CONFIG_KEY_COUNT.
 */
void config_java_order(const char *const *names, uint32_t count, uint32_t buckets, uint16_t *order);

/* The buckets of a Java map into which count names were put one by one. */
uint32_t config_java_buckets(uint32_t count);

#endif
