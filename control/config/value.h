/*
 * value: typed configuration values, their rules, and Kafka's words about wrong ones.
 *
 * Purpose: one definition (struct config_def) for broker keys (keys.def) and topic keys
 * (topic_keys.def); parse a raw text by type and rule as Kafka's ConfigDef does, print it back as
 * Kafka prints it. Owner: none, pure functions. Memory: parsed strings and lists live in the
 * caller's arena. Failure: ERR_INVALID with Kafka's message, ERR_NO_MEMORY; outputs untouched.
 */
#ifndef CONTROL_CONFIG_VALUE_H
#define CONTROL_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* Elements of one list value. */
#define config_list_items_max 1024

/* The numbers are those of DescribeConfigs. */
enum config_type {
    CONFIG_TYPE_UNKNOWN = 0,
    CONFIG_TYPE_BOOLEAN = 1,
    CONFIG_TYPE_STRING = 2,
    CONFIG_TYPE_INT = 3,
    CONFIG_TYPE_SHORT = 4,
    CONFIG_TYPE_LONG = 5,
    CONFIG_TYPE_DOUBLE = 6,
    CONFIG_TYPE_LIST = 7,
    CONFIG_TYPE_CLASS = 8,
    CONFIG_TYPE_PASSWORD = 9,
};

enum config_importance { CONFIG_IMPORTANCE_HIGH, CONFIG_IMPORTANCE_MEDIUM, CONFIG_IMPORTANCE_LOW };

/* How a broker key can be changed while the broker runs. */
enum config_mode { CONFIG_MODE_READ_ONLY, CONFIG_MODE_PER_BROKER, CONFIG_MODE_CLUSTER_WIDE };

enum config_use {
    CONFIG_USE_HONOURED, /* changes what this broker does */
    CONFIG_USE_ACCEPTED, /* checked, kept, described to clients; has no effect here (yet) */
    CONFIG_USE_REFUSED,  /* only its default is possible: ignoring it would be unsafe */
    CONFIG_USE_INTERNAL, /* as ACCEPTED, and described only when set */
    CONFIG_USE_DYNAMIC,  /* exists only as a dynamic setting, described only when set */
};

enum config_rule_kind {
    CONFIG_RULE_ANY,
    CONFIG_RULE_RANGE,
    CONFIG_RULE_CHOICE,
    CONFIG_RULE_CHOICE_NOCASE,
    CONFIG_RULE_LIST,
    CONFIG_RULE_NOT_EMPTY,
    CONFIG_RULE_GZIP_LEVEL,
    CONFIG_RULE_THROTTLED, /* "*" or partition:broker,... */
    CONFIG_RULE_VOTERS,    /* id@host:port,... */
    CONFIG_RULE_SERVERS,   /* host:port,... */
    CONFIG_RULE_SIZE,      /* bytes with k, m, g; min in bytes */
    CONFIG_RULE_CPUS,      /* 0-3,8 */
};

struct config_rule {
    enum config_rule_kind kind;
    bool has_min, has_max;
    bool empty_ok, null_ok; /* lists */
    double min, max;
    const char *choices; /* separated by ", "; NULL: anything */
};

struct config_def {
    const char *name;
    const char *default_text; /* NULL: no value */
    const char *doc;
    struct config_rule rule;
    uint32_t name_len;
    enum config_type type;
    enum config_importance importance;
    enum config_mode mode;
    enum config_use use;
};

struct config_list {
    const struct str *items;
    uint32_t count;
};

struct config_value {
    bool null;
    union {
        bool boolean;
        int64_t integer; /* INT, SHORT, LONG */
        double real;
        struct str string; /* STRING, CLASS, PASSWORD */
        struct config_list list;
    };
};

/*
 * Parses raw, which is not null. On ERR_INVALID *why (may be NULL) gets Kafka's message: "Invalid
 * value abc for configuration retention.ms: Not a number of type LONG".
 */
int config_value_parse(const struct config_def *def, struct str raw, struct arena *arena,
                       struct config_value *out, struct str *why);

/* The definition's default; a definition without one gives a null value. ERR_NO_MEMORY. */
int config_value_default(const struct config_def *def, struct arena *arena,
                         struct config_value *out);

/* The text that Kafka shows for the value; null for a null value, and at the arena's limit. */
struct str config_value_text(const struct config_def *def, const struct config_value *value,
                             struct arena *arena);

/* What a value may be, in words for a person: "a whole number, at least 1". Null at the limit. */
struct str config_rule_text(const struct config_def *def, struct arena *arena);

/*
 * Splits a list as Kafka does: at commas, blanks around each item dropped; an empty text is an empty
 * list, "a," has an empty second item. ERR_TOO_LARGE over config_list_items_max, ERR_NO_MEMORY.
 */
int config_list_split(struct str raw, struct arena *arena, struct config_list *out);

/* Java's String.trim: drops characters up to the blank at both ends. */
struct str config_trim(struct str s);

#endif
