/*
 * goods: one good request for each API of control at any version, and a look at its answer.
 */
#ifndef TESTS_UNIT_CONTROL_API_GOODS_H
#define TESTS_UNIT_CONTROL_API_GOODS_H

#include "tests/unit/control/api/ask.h"

struct good {
    int16_t key;
    struct ask_bytes (*make)(struct ask *a, int version); /* also what it needs to be there */
    void (*check)(struct ask *a, int version, struct reader *rd);
};

extern const struct good goods[];
extern const size_t goods_count;

/* A fresh topic name, in static memory; the topic, if partitions > 0, is made. */
struct str good_topic(struct ask *a, int32_t partitions);

#endif
