/*
 * properties: Java's .properties text, as server.properties is written.
 *
 * Purpose: a pure parser from bytes in memory to keys and values with line numbers: comments with #
 * and !, continued lines, '=', ':' or blanks between key and value, escapes with \uXXXX.
 * Owner: none; a call works on its arguments. Memory: keys and values are copies in the caller's
 * arena, the text may go away. Bytes outside ASCII are taken as they are (UTF-8 stays UTF-8), where
 * Java would read Latin-1; \uXXXX becomes UTF-8, a surrogate pair one character.
 * Invariants: keys are unique in the result, the last assignment counts and gives the line.
 * Failure: an error with its line, outputs untouched. Everything is bounded by the maxima below.
 */
#ifndef CONTROL_CONFIG_PROPERTIES_H
#define CONTROL_CONFIG_PROPERTIES_H

#include <stdint.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/str.h"

#define properties_text_bytes_max  (1 * MIB)
#define properties_entries_max     4096
#define properties_key_bytes_max   1024
#define properties_value_bytes_max (64 * KIB)

struct property {
    struct str key;   /* may be empty: "=x" */
    struct str value; /* never null; blanks at its end are kept, as in Java */
    uint32_t line;    /* 1-based, where the assignment that counts begins */
    uint32_t earlier; /* line of an earlier assignment to the same key that it replaces; 0: none */
};

struct properties {
    struct property *items; /* in the order in which each key first stood */
    uint32_t count;
};

struct properties_error {
    uint32_t line; /* 0 when the text as a whole is refused */
    const char *what;
};

/*
 * Parses text. Returns 0; ERR_MALFORMED (a bad \u escape, a NUL character), ERR_TOO_LARGE (a maximum
 * above) or ERR_NO_MEMORY (the arena's limit), each with *error filled.
 */
int properties_parse(struct str text, struct arena *arena, struct properties *out,
                     struct properties_error *error);

/* No fewer than the keys that text can have, at most properties_entries_max. */
uint32_t properties_entries_bound(struct str text);

#endif
