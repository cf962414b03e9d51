/*
 * consumer_names: the values that a consumer group's state is made of: name sets, texts, partitions.
 *
 * Purpose: copies into one block each, comparison, sharing of equal name sets within a group.
 * Owner and memory: as consumer_group.h. Failure: NULL or ERR_NO_MEMORY, nothing changed.
 */
#ifndef CONTROL_GROUP_CONSUMER_NAMES_H
#define CONTROL_GROUP_CONSUMER_NAMES_H

#include "control/group/consumer_group.h"

/* The group's set with these names (in order, each once), with one reference more. */
struct consumer_names *consumer_names_get(struct consumer_group *g, const struct str *v,
                                          uint32_t n);
/* Gives a reference back. NULL is accepted. */
void consumer_names_put(struct consumer_group *g, struct consumer_names *set);
/* The names of two members are the same. */
bool consumer_names_equal(const struct consumer_meta *a, const struct consumer_meta *b);

/* A copy in one block, to be freed with free; its names are the set's. */
struct consumer_meta *consumer_meta_copy(const struct consumer_meta *m, struct consumer_names *set);

/* out->v is malloc'd. */
int consumer_parts_copy(struct consumer_parts *out, const struct consumer_parts *in);

#endif
