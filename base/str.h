/*
 * str: a view of characters that somebody else owns.
 *
 * Purpose: names and other short strings, not NUL-terminated, without ownership. A null string of
 * the protocol is p == NULL; an empty one has a non-NULL p. Who made the view says how long the
 * bytes live (a request's arena, a metadata image). Nothing here allocates or fails.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    uint32_t len; /* bytes */
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NULL     ((struct str){NULL, 0})
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

static inline struct str str_from(const char *cstr)
{
    return cstr ? (struct str){cstr, (uint32_t)strlen(cstr)} : STR_NULL;
}

static inline bool str_is_null(struct str s)
{
    return s.p == NULL;
}

/* Equal bytes; null equals only null. */
static inline bool str_eq(struct str a, struct str b)
{
    if (a.p == NULL || b.p == NULL)
        return a.p == b.p;
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

static inline bool str_eqz(struct str a, const char *cstr)
{
    return str_eq(a, str_from(cstr));
}

/* Bytewise order, a shorter prefix first; null before all. */
static inline int str_cmp(struct str a, struct str b)
{
    uint32_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c;
    return a.len < b.len ? -1 : a.len > b.len;
}

#endif
