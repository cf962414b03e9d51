#include "bench/echo.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/kerr.h"

#define length_bytes 4
#define conn_at      4
#define number_at    8
#define pattern_at   12

struct echo {
    uint32_t frame_bytes;
    struct flow *flow;
    struct result *result;
    uint8_t *sent, *got; /* a frame each */
};

static void number(struct echo *e, uint32_t conn, uint32_t n)
{
    bytes_put_u32(e->sent + conn_at, conn);
    bytes_put_u32(e->sent + number_at, n);
}

static bool put(void *ctx, uint32_t conn, uint32_t n, struct chain *out)
{
    struct echo *e = ctx;
    number(e, conn, n);
    return chain_append_bytes(out, flow_client(e->flow)->cable.mem.tx_pool, e->sent,
                              e->frame_bytes) == 0;
}

static struct flow_worth answer(void *ctx, uint32_t conn, uint32_t n, const struct chain *rx,
                                uint32_t len)
{
    struct echo *e = ctx;
    number(e, conn, n);
    uint32_t body = e->frame_bytes - length_bytes;
    if (len != body || memcmp(chain_peek(rx, body, e->got), e->sent + length_bytes, body) != 0)
        e->result->faults++;
    return (struct flow_worth){.records = 1, .bytes = e->frame_bytes};
}

int echo_run(const struct flow_options *options, uint32_t frame_bytes, struct result *out,
             char *why, size_t why_size)
{
    static const struct flow_ops ops = {put, answer};
    struct echo e = {.frame_bytes = frame_bytes,
                     .result = out,
                     .sent = malloc(frame_bytes),
                     .got = malloc(frame_bytes)};
    int err = e.sent && e.got ? 0 : ERR_NO_MEMORY;
    if (!err)
        err = flow_new(&e.flow, options, &ops, &e, out, why, why_size);
    if (!err) {
        bytes_put_u32(e.sent, frame_bytes - length_bytes);
        rng_fill(flow_rng(e.flow), e.sent + pattern_at, frame_bytes - pattern_at);
        err = flow_run(e.flow, why, why_size);
        flow_free(e.flow);
    }
    free(e.sent);
    free(e.got);
    return err;
}
