/*
 * kinds: one request of each kind that the request path knows, as bytes, and its answer: for tests
 * that do not care what is in it.
 */
#ifndef TESTS_UNIT_DATAPLANE_KAFKA_KINDS_H
#define TESTS_UNIT_DATAPLANE_KAFKA_KINDS_H

#include "tests/unit/dataplane/kafka/rig.h"

enum { KIND_PRODUCE, KIND_FETCH, KIND_LIST, KIND_OTHER, kinds_count };

/* To partition 0 of t; the batch's body is noise. */
struct wire kind_produce(struct rig *g, const struct rig_topic *t, int32_t correlation,
                         uint32_t body_bytes);
/* From offset 0 of partition 0; one that waits wants more than there is. */
/* The same with acks=0: nothing is answered. */
struct wire kind_silent(struct rig *g, const struct rig_topic *t, int32_t correlation,
                        uint32_t body_bytes);
struct wire kind_fetch(struct rig *g, const struct rig_topic *t, int32_t correlation,
                       int32_t max_wait_ms);
struct wire kind_list(struct rig *g, const struct rig_topic *t, int32_t correlation);
/* One for control; its client id is kind_client. */
struct wire kind_other(struct rig *g, int32_t correlation);
#define kind_client "a client's name"

struct wire kind_wire(struct rig *g, const struct rig_topic *t, int kind, int32_t correlation);

/* Takes the next answer, checks that it is this one's; false: there is none. */
bool kind_expect(struct rig_client *c, int kind, int32_t correlation);

#endif
