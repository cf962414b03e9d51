/*
 * config_impl: what the files of this folder share about struct config. Nobody else includes it.
 */
#ifndef CONTROL_CONFIG_CONFIG_IMPL_H
#define CONTROL_CONFIG_CONFIG_IMPL_H

#include "control/config/config.h"

/* One assignment of a file or an override. */
struct config_static {
    struct str name; /* null in the table by key while nothing is assigned */
    struct str raw;
    struct str file; /* null: an override */
    uint32_t line;
};

struct config_slot {
    struct config_value value;
    enum config_source source;
};

struct config {
    struct arena arena;
    struct str hostname;
    struct config_static fixed[CONFIG_KEY_COUNT]; /* by key; raw null: not assigned */
    struct config_static *extra;                  /* assigned names that are no keys */
    uint32_t extra_count, extra_room;
    struct config_pairs cluster, broker; /* the dynamic settings on top */
    struct config_slot slots[CONFIG_KEY_COUNT];
    struct config_list log_dirs;
    struct config_listener *listeners;
    uint32_t listener_count;
};

/* Values are cut to this many bytes where a message shows them. */
#define config_shown_bytes_max 200
#define CONFIG_SHOWN(s)                                                                            \
    (int)((s).len < config_shown_bytes_max ? (s).len : config_shown_bytes_max), (s).p ? (s).p : ""

/* Adds a message of printf form to one of the three kinds. */
void config_message(struct config_errors *errs, struct config_messages *kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "server.properties:12" or "--override", where the value of key comes from; "default" otherwise. */
struct str config_where(const struct config *c, enum config_key key, struct arena *arena);

/* The same for one assignment. */
struct str config_static_where(const struct config_static *s, struct arena *arena);

/* An error about the value of key: its place, the key, what was found and what is allowed. */
void config_complain(struct config_errors *errs, const struct config *c, enum config_key key,
                     const char *allowed);

/* The value of a name among pairs, null if it is not there. */
struct str config_pairs_get(struct config_pairs pairs, struct str name);

/* Copies src with all strings. ERR_NO_MEMORY, ERR_TOO_LARGE over config_dynamic_pairs_max. */
int config_pairs_copy(struct arena *arena, struct config_pairs src, struct config_pairs *out);

/*
 * Fills the slots from the static and dynamic assignments. errs NULL: an invalid one counts as not
 * assigned (and in *ignored); otherwise it is an error. ERR_NO_MEMORY.
 */
int config_resolve(struct config *c, struct config_errors *errs, uint32_t *ignored);

/* Parses the listener keys into c->listeners. Errors go to errs; ERR_NO_MEMORY. */
int config_resolve_listeners(struct config *c, struct config_errors *errs);

/* The listener's own setting of key, dynamic before static; null: it has none. */
struct str config_listener_own(const struct config *c, struct str listener, const char *key);

/* Splits "address:count" at its last colon; false without one. */
bool config_override_split(struct str item, struct str *address, struct str *count);

/* An address in text form, IPv6 also in brackets; false for anything else. */
bool config_address_parse(struct str text, uint8_t out[16]);

/* Copies the resolved listeners of another object. ERR_NO_MEMORY. */
int config_copy_listeners(struct config *to, const struct config *from);

/* A condition that does not hold: the key to blame and Kafka's message. */
struct config_fault {
    enum config_key key;
    struct str why;
    bool is_requirement; /* Kafka puts "requirement failed: " before the message */
};

/*
 * Kafka's conditions that relate several keys. Finds the next one that does not hold, beginning at
 * *at (0 at first, moved on); false when there are no more.
 */
bool config_check_next(const struct config *c, unsigned *at, struct arena *arena,
                       struct config_fault *out);

#endif
