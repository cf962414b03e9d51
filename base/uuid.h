/*
 * uuid: Kafka's 128-bit ids (topic id, directory id, cluster id).
 *
 * Purpose: hold, compare, make and print. The text form is URL-safe base64 without padding, 22
 * characters, as Kafka's Uuid.toString. Values only; no ownership.
 */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct rng;

#define UUID_TEXT_LEN 22

struct uuid {
    uint8_t b[16]; /* big-endian, as on the wire */
};

#define UUID_ZERO ((struct uuid){{0}})

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, 16) == 0;
}

static inline bool uuid_is_zero(const struct uuid *a)
{
    static const struct uuid zero;
    return uuid_eq(a, &zero);
}

/* A random version 4 id whose text does not start with '-', as Kafka's Uuid.randomUuid. */
struct uuid uuid_random(struct rng *rng);

/* Writes 22 characters and a NUL. */
void uuid_format(const struct uuid *id, char out[UUID_TEXT_LEN + 1]);

/* Parses the text form. ERR_INVALID: wrong length or character; *out untouched. */
int uuid_parse(struct str text, struct uuid *out);

#endif
