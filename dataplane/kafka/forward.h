/*
 * forward: a request that a shard hands to the control thread, and its reply.
 *
 * Purpose: everything but Produce, Fetch and ListOffsets is answered by control. The message is
 * embedded in the shard's request slot; the shard touches nothing of it until it comes back. If the
 * connection closes meanwhile, `cancel` goes after it: what only waits for others is then ended
 * early, everything else goes on and is answered to nobody. The slot is free when both are back.
 * Owner: the shard's conn; control between agent_call and call_finish.
 * Memory: body comes from the shard's rx pool and is freed by the shard; reply is made by control
 * from a pool of its own and travels on as it is.
 */
#ifndef DATAPLANE_KAFKA_FORWARD_H
#define DATAPLANE_KAFKA_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/chain.h"
#include "core/mailbox.h"

#define client_id_bytes_max 256 /* kept; a longer one is cut, between characters */

struct forward {
    struct call call; /* run: the function that control gave in kafka_options.forward_run */
    int16_t api_key, api_version;
    int32_t correlation_id;
    char client_id[client_id_bytes_max];
    int32_t client_id_len; /* -1: null */
    uint32_t listener;
    uint32_t shard;
    uint64_t conn_id;
    char peer[64];     /* "127.0.0.1:54321" */
    struct chain body; /* after the request header */
    /* the answer */
    struct chain reply; /* whole frame with length and response header; empty with close */
    bool close;         /* close the connection instead of answering */
    /* sent while `call` is away */
    struct call cancel;
    void *work; /* control's own: what answers the request; NULL when nothing does any more */
};

#endif
