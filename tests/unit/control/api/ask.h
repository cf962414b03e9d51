/*
 * ask: requests to control's handlers as a shard forwards them, without a network; over the rig of
 * the control tests (simulated disk, stepped shards and workers).
 */
#ifndef TESTS_UNIT_CONTROL_API_ASK_H
#define TESTS_UNIT_CONTROL_API_ASK_H

#include "base/arena.h"
#include "dataplane/proto/apis.h"
#include "tests/unit/control/rig.h"
#include "tests/unit/unit.h"

struct ask {
    struct rig rig;
    struct broker *broker;
    struct rte_mempool *body_pool;
    uint32_t body_free, reply_free; /* mbufs at the start */
    struct arena arena;             /* of the last answer */
    struct chain reply;
    struct rng rng;
};

/* The bytes of a request after its header. */
struct ask_bytes {
    uint8_t *p;
    size_t n;
};

void ask_up(struct ask *a);
void ask_down(struct ask *a); /* asserts that no mbuf leaked */

typedef int ask_encoder(const void *message, struct writer *w, int version);
struct ask_bytes ask_encode(struct ask *a, ask_encoder *encode, const void *message, int version);
#define ASK_BYTES(a, api, message, version)                                                        \
    ask_encode((a), (ask_encoder *)(void *)api##_request_encode, (message), (version))

/* Hands a request to control and waits for its end. False: its connection is to be closed. True: rd
 * stands behind the header of the response. */
bool ask_raw(struct ask *a, int16_t key, int version, const void *bytes, size_t n,
             struct reader *rd);

/* The same for a message; the answer is decoded whole into res, or the test ends. */
#define ASK(a, api, key, version, message, res)                                                    \
    do {                                                                                           \
        struct ask_bytes ask_b_ = ASK_BYTES((a), api, (message), (version));                       \
        struct reader ask_rd_;                                                                     \
        CU_ASSERT_FATAL(ask_raw((a), (key), (version), ask_b_.p, ask_b_.n, &ask_rd_));             \
        free(ask_b_.p);                                                                            \
        ASK_DECODE((a), api, (version), &ask_rd_, (res));                                          \
    } while (0)

#define ASK_DECODE(a, api, version, rd, res)                                                       \
    do {                                                                                           \
        CU_ASSERT_EQUAL_FATAL(api##_response_decode((res), (rd), (version), &(a)->arena), 0);      \
        CU_ASSERT_EQUAL(reader_left(rd), 0);                                                       \
    } while (0)

#endif
