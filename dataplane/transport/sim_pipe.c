/* One direction of a simulated connection. */
#include "dataplane/transport/sim_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

int sim_pipe_init(struct sim_pipe *p, uint32_t size)
{
    *p = (struct sim_pipe){.size = size, .fin_at = sim_never, .reset_at = sim_never};
    p->bytes = malloc(size);
    return p->bytes != NULL ? 0 : ERR_NO_MEMORY;
}

void sim_pipe_free(struct sim_pipe *p)
{
    free(p->bytes);
    p->bytes = NULL;
    p->size = 0;
}

uint32_t sim_pipe_room(const struct sim_pipe *p)
{
    return p->size - (uint32_t)(p->written - p->taken);
}

static void mark(struct sim_pipe *p, int64_t at)
{
    uint32_t last = (p->mark_first + p->mark_count - 1) % sim_marks_max;
    if (p->mark_count == 0 || (p->marks[last].at != at && p->mark_count < sim_marks_max)) {
        last = (p->mark_first + p->mark_count) % sim_marks_max;
        p->mark_count++;
    }
    p->marks[last].end = p->written;
    p->marks[last].at = at; /* with all marks in use the last one's bytes come together, later */
}

void sim_pipe_write(struct sim_pipe *p, const void *src, uint32_t n, int64_t at)
{
    CHECK(n <= sim_pipe_room(p));
    uint32_t off = (uint32_t)(p->written % p->size);
    uint32_t first = n < p->size - off ? n : p->size - off;
    memcpy(p->bytes + off, src, first);
    memcpy(p->bytes, (const uint8_t *)src + first, n - first);
    p->written += n;
    if (n > 0)
        mark(p, at);
}

void sim_pipe_advance(struct sim_pipe *p, int64_t now_ns)
{
    while (p->mark_count > 0 && p->marks[p->mark_first].at <= now_ns) {
        p->arrived = p->marks[p->mark_first].end;
        p->mark_first = (p->mark_first + 1) % sim_marks_max;
        p->mark_count--;
    }
}

void sim_pipe_take(struct sim_pipe *p, void *dst, uint32_t n)
{
    CHECK(n <= p->arrived - p->taken);
    if (dst != NULL && n > 0) {
        uint32_t off = (uint32_t)(p->taken % p->size);
        uint32_t first = n < p->size - off ? n : p->size - off;
        memcpy(dst, p->bytes + off, first);
        memcpy((uint8_t *)dst + first, p->bytes, n - first);
    }
    p->taken += n;
}

int64_t sim_pipe_next(const struct sim_pipe *p, int64_t now_ns)
{
    int64_t next = p->mark_count > 0 ? p->marks[p->mark_first].at : sim_never;
    if (p->fin_at > now_ns && p->fin_at < next)
        next = p->fin_at;
    if (p->reset_at > now_ns && p->reset_at < next)
        next = p->reset_at;
    return next;
}
