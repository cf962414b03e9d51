/*
 * Requests that control answers. The shard lends the body and touches nothing of the message until
 * it is back; a conn that closed meanwhile sends its cancel after it.
 */
#include "dataplane/kafka/forward.h"

#include "dataplane/kafka/kafka_internal.h"

static void forward_done(struct call *call)
{
    struct forward *f = container_of(call, struct forward, call);
    struct request *r = container_of(f, struct request, forward);
    chain_free(&f->body);
    if (f->close || f->reply.bytes == 0) {
        chain_free(&f->reply);
        r->silent = r->close = true;
    }
    request_unpend(r);
}

static void cancel_done(struct call *call)
{
    request_unpend(container_of(call, struct request, forward.cancel));
}

/* The conn of a request that is with control is gone. */
void forward_orphan(struct request *r)
{
    r->pending++;
    r->forward.cancel.run = r->k->o.forward_cancel;
    r->forward.cancel.done = cancel_done;
    agent_call(r->k->self, r->k->o.control, &r->forward.cancel);
}

/* As much of it as is kept, in whole characters: it heads member ids, which clients decode as UTF-8. */
static uint32_t client_id_bytes(struct str id)
{
    if (id.len <= client_id_bytes_max)
        return id.len;
    uint32_t n = client_id_bytes_max;
    while (n > client_id_bytes_max - 3 && ((uint8_t)id.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static void forward_fill(struct conn *c, struct request *r, const struct proto_request_header *h)
{
    struct forward *f = &r->forward;
    f->api_key = h->api_key;
    f->api_version = h->api_version;
    f->correlation_id = h->correlation_id;
    f->client_id_len = -1;
    if (h->client_id.p != NULL) {
        uint32_t n = client_id_bytes(h->client_id);
        memcpy(f->client_id, h->client_id.p, n);
        f->client_id_len = (int32_t)n;
    }
    f->listener = c->listener;
    f->shard = c->k->shard->index;
    f->conn_id = c->tc->id;
    tconn_peer_text(c->tc, f->peer);
    chain_init(&f->body);
    chain_init(&f->reply);
    f->close = false;
    f->work = NULL;
}

enum request_result forward_start(struct conn *c, const struct proto_request_header *h,
                                  uint64_t header_bytes)
{
    struct kafka *k = c->k;
    struct request *r = request_new(c, h);
    if (r == NULL)
        return REQUEST_LATER;
    /* Before the body is moved: the client id may lie in it. */
    forward_fill(c, r, h);
    if (request_keep_body(c, r) < 0) {
        request_drop(r);
        return REQUEST_LATER;
    }
    conn_frame_taken(c, r);
    k->counters.requests[h->api_key & 127]++;
    chain_consume(&r->body, header_bytes);
    chain_join(&r->forward.body, &r->body);
    r->stamps.at[STAMP_PARSED] = kafka_clock(k);
    conn_push(c, r);
    r->forward.call.run = k->o.forward_run;
    r->forward.call.done = forward_done;
    agent_call(k->self, k->o.control, &r->forward.call);
    return REQUEST_TAKEN;
}
