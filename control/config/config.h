/*
 * config: the broker's configuration, from server.properties, overrides and dynamic settings.
 *
 * Purpose: load and check once, then answer typed questions; say where each value comes from; make
 * a new object when a dynamic setting changes. Owner: the control thread makes and frees objects;
 * an object never changes, so any thread that was given a pointer may read it while it lives.
 * Memory: everything hangs off the object's arena (config_bytes_max); strings returned live as long
 * as the object. Invariants: an object that was returned has passed every check; the listeners are
 * consistent. Failure: config_load answers an err and fills `errors`; outputs untouched.
 */
#ifndef CONTROL_CONFIG_CONFIG_H
#define CONTROL_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/str.h"
#include "control/config/keys.h"

#define config_bytes_max         (32 * MIB) /* memory of one configuration or of its messages */
#define config_overrides_max     1024
#define config_messages_max      64 /* of each kind; further ones are only counted */
#define config_listeners_max     32
#define config_log_dirs_max      64
#define config_dynamic_pairs_max 1024 /* dynamic settings of one resource */

/* What stands in a file or comes from --override. */
struct config_sources {
    const char *path;             /* of server.properties; NULL: defaults only */
    const char *const *overrides; /* "key=value" each; they come before the file */
    uint32_t override_count;
    const char *hostname; /* advertised when a listener has no host; NULL: localhost */
};

struct config_messages {
    struct str items[config_messages_max];
    uint32_t count;
    uint32_t left_out; /* messages beyond the maximum */
};

/*
 * What config_load found. errors stop the start; warnings name unknown keys and the like; notes
 * name keys that are accepted and have no effect here. One line each, without a line end.
 */
struct config_errors {
    struct config_messages errors, warnings, notes;
    struct arena arena;
};

void config_errors_init(struct config_errors *errs);
void config_errors_free(struct config_errors *errs);

/* The numbers are those of DescribeConfigs. */
enum config_source {
    CONFIG_SOURCE_UNKNOWN = 0,
    CONFIG_SOURCE_TOPIC = 1,
    CONFIG_SOURCE_DYNAMIC_BROKER = 2,
    CONFIG_SOURCE_DYNAMIC_DEFAULT = 3, /* cluster-wide */
    CONFIG_SOURCE_STATIC = 4,          /* the file or an override */
    CONFIG_SOURCE_DEFAULT = 5,
    CONFIG_SOURCE_GROUP = 8,
};

struct config_origin {
    enum config_source source;
    struct str file; /* STATIC: the file's path; null for an override */
    uint32_t line;   /* in that file */
};

enum config_protocol {
    CONFIG_PROTOCOL_PLAINTEXT,
    CONFIG_PROTOCOL_SSL,
    CONFIG_PROTOCOL_SASL_PLAINTEXT,
    CONFIG_PROTOCOL_SASL_SSL,
};

enum config_transport { CONFIG_TRANSPORT_URING, CONFIG_TRANSPORT_DPDK };

struct config_listener {
    struct str name; /* upper case */
    struct str host; /* without brackets; empty: every interface */
    int32_t port;    /* 0: the system chooses */
    bool is_ipv6;    /* host is an IPv6 address */
    bool is_controller;
    bool is_inter_broker;
    bool is_advertised;         /* false for a listener that advertised.listeners leaves out */
    struct str advertised_host; /* empty unless advertised */
    int32_t advertised_port;    /* 0: the port that was bound */
    enum config_protocol protocol;
    enum config_transport transport;
};

struct config;

/*
 * Reads, parses and checks. Returns 0 with *out; ERR_INVALID when errs->errors has entries (also
 * for a file that cannot be read); ERR_NO_MEMORY. errs was initialised by the caller.
 */
int config_load(struct config **out, const struct config_sources *src, struct config_errors *errs);

/* The same from a text in memory; src->path is only its name in messages. */
int config_load_text(struct config **out, const struct config_sources *src, struct str text,
                     struct config_errors *errs);

/* A named setting, as configuration records and requests carry it. */
struct config_pair {
    struct str name, value;
};

struct config_pairs {
    const struct config_pair *items;
    uint32_t count;
};

/*
 * A new object: the static settings of c with these dynamic ones on top (cluster-wide, then this
 * broker's). A dynamic setting that is invalid or not dynamic is ignored, as Kafka does with what it
 * finds stored; *ignored (may be NULL) gets their number. ERR_NO_MEMORY, ERR_TOO_LARGE.
 */
int config_with_dynamic(struct config **out, const struct config *c, struct config_pairs cluster,
                        struct config_pairs broker, uint32_t *ignored);

void config_free(struct config *c); /* NULL is accepted */

/* Typed answers; the key must have that type and a value (checked). INT and SHORT: config_int. */
bool config_bool(const struct config *c, enum config_key key);
int32_t config_int(const struct config *c, enum config_key key);
int64_t config_long(const struct config *c, enum config_key key);
double config_double(const struct config *c, enum config_key key);
struct str config_string(const struct config *c, enum config_key key); /* null: no value */
struct config_list config_list(const struct config *c, enum config_key key);

/* False: the key has no value (its default is none). */
bool config_has(const struct config *c, enum config_key key);

/* True if the file, an override or a dynamic setting gave the value. */
bool config_is_set(const struct config *c, enum config_key key);

struct config_origin config_origin(const struct config *c, enum config_key key);

/* Settings that several keys make together. */
int32_t config_node_id(const struct config *c);
int64_t config_retention_ms(const struct config *c);   /* -1: for ever */
int64_t config_roll_ms(const struct config *c);        /* milliseconds, at least 1 */
int64_t config_roll_jitter_ms(const struct config *c); /* milliseconds */
int64_t config_flush_ms(const struct config *c);       /* milliseconds */

/* The directories for data, at least one, no two alike. */
struct config_list config_log_dirs(const struct config *c);

/* The listeners in the order of the file; *count gets their number. */
const struct config_listener *config_listeners(const struct config *c, uint32_t *count);

/* The CPUs of sluice.cpus; their number, 0 when the key is empty. */
int config_cpus(const struct config *c, uint16_t *cpus, int room);

/* The limit of a listener's connections: its own max.connections, or that of the broker. */
int32_t config_listener_connections(const struct config *c, const struct config_listener *l);

/* An address (IPv6, or IPv4 mapped into it) and the limit of connections from it. */
struct config_address_limit {
    uint8_t address[16];
    int32_t limit;
};

/*
 * Those of max.connections.per.ip.overrides, at most room (config_list_items_max is enough for all);
 * of two for one address the last. Returns how many.
 */
uint32_t config_address_limits(const struct config *c, struct config_address_limit *out,
                               uint32_t room);

/*
 * The effective settings as text, one "key=value  # source" a line: every key that is honoured or
 * was set; passwords hidden. ERR_NO_MEMORY.
 */
int config_dump(const struct config *c, struct arena *arena, struct str *out);

/* True if this binary has the transport. */
bool config_transport_built(enum config_transport transport);

#endif
