/*
 * reply: the frame around a response body: length, response header, body.
 *
 * Purpose: shared by the request path and by control. Usage: reply_begin, encode the body with the
 * writer, reply_end. Memory: mbufs of the pool given to the writer. Failure: the writer's sticky
 * error; then reply_end frees everything and returns it.
 */
#ifndef DATAPLANE_KAFKA_REPLY_H
#define DATAPLANE_KAFKA_REPLY_H

#include <stdint.h>

#include "core/chain.h"
#include "dataplane/proto/writer.h"

struct rte_mempool;

/* Response header version by API and version (ApiVersions: always 0). */
void reply_begin(struct writer *w, struct rte_mempool *pool, struct rte_mempool *ref_pool,
                 int16_t api_key, int16_t api_version, int32_t correlation_id);

/* Patches the length and moves the frame to *out. */
int reply_end(struct writer *w, struct chain *out);

#endif
