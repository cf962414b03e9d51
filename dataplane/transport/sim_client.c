/* Connections that a test drives itself. */
#include "dataplane/transport/sim_internal.h"

#include <stdlib.h>

#include "base/err.h"

int sim_connect(struct sim *s, const struct sockaddr *address, struct sim_client **out)
{
    struct sim_listener *l = sim_listener_for(s, address);
    if (l == NULL)
        return ERR_NOT_FOUND;
    struct sim_client *c = calloc(1, sizeof *c);
    if (c == NULL || sim_end_init(&c->end, s) < 0 || sim_end_accepting(l, &c->end) == NULL) {
        if (c != NULL)
            sim_pipe_free(&c->end.in);
        free(c);
        return ERR_NO_MEMORY;
    }
    c->end.state = SIM_OPEN;
    LIST_INSERT_HEAD(&s->clients, c, link);
    *out = c;
    return 0;
}

/* Takes note of what has arrived until now. */
static void refresh(struct sim_client *c)
{
    struct sim_pipe *in = &c->end.in;
    if (c->closed)
        return;
    sim_pipe_advance(in, c->end.net->now_ns);
    if (in->reset_at <= c->end.net->now_ns)
        c->reset = true;
}

size_t sim_client_send(struct sim_client *c, const void *p, size_t n)
{
    refresh(c);
    if (c->closed || c->reset || c->end.fin_sent)
        return 0;
    return sim_end_put(&c->end, p, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX);
}

size_t sim_client_readable(const struct sim_client *c)
{
    const struct sim_pipe *in = &c->end.in;
    uint64_t arrived = in->arrived;
    for (uint32_t i = 0; i < in->mark_count; i++) {
        uint32_t at = (in->mark_first + i) % sim_marks_max;
        if (in->marks[at].at <= c->end.net->now_ns)
            arrived = in->marks[at].end;
    }
    return c->closed ? 0 : (size_t)(arrived - in->taken);
}

size_t sim_client_receive(struct sim_client *c, void *p, size_t n)
{
    refresh(c);
    size_t have = sim_client_readable(c);
    if (n > have)
        n = have;
    sim_pipe_take(&c->end.in, p, (uint32_t)n);
    return n;
}

void sim_client_shutdown(struct sim_client *c)
{
    if (!c->closed)
        sim_end_fin(&c->end);
}

void sim_client_close(struct sim_client *c)
{
    if (c->closed)
        return;
    refresh(c);
    if (sim_client_readable(c) > 0)
        sim_end_reset(&c->end); /* closing over unread bytes resets, as Linux does */
    else
        sim_end_fin(&c->end);
    c->closed = true;
    sim_end_fini(&c->end);
}

void sim_client_reset(struct sim_client *c)
{
    if (c->closed)
        return;
    sim_end_reset(&c->end);
    c->closed = c->reset = true;
    sim_end_fini(&c->end);
}

enum sim_client_state sim_client_state(const struct sim_client *c)
{
    const struct sim_pipe *in = &c->end.in;
    int64_t now = c->end.net->now_ns;
    if (c->reset || in->reset_at <= now)
        return SIM_CLIENT_RESET;
    return in->fin_at <= now && in->taken == in->written ? SIM_CLIENT_ENDED : SIM_CLIENT_OPEN;
}

uint64_t sim_client_undelivered(const struct sim_client *c)
{
    const struct sim_end *peer = c->end.peer;
    return peer == NULL ? 0 : peer->in.written - peer->in.taken;
}
