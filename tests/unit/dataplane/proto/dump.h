/*
 * dump: a decoded message as canonical JSON, and random messages; by the tables of fields.h.
 *
 * The JSON is that of tests/golden/README.md: compact, keys in schema order, only fields of the
 * version, bytes and ids in hex. The caller frees the text.
 */
#ifndef TESTS_PROTO_DUMP_H
#define TESTS_PROTO_DUMP_H

#include "fields.h"

struct chain;
struct rng;

char *dump_json(const struct struct_info *info, const void *value, int version);

/* A message with random values in every field of the version, memory from the arena. Records are
 * random slices of `records`. Depth bounds arrays, so that a message has some kilobytes at most. */
void dump_fill(const struct struct_info *info, void *out, int version, struct rng *rng,
               struct arena *arena, const struct chain *records, int depth);

/* Sets one field to something other than its default. */
void dump_set(const struct field_info *field, void *owner, struct rng *rng, struct arena *arena,
              const struct chain *records);

#endif
