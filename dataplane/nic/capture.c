#include "dataplane/nic/capture.h"

#include <errno.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"

/* The classic format with nanoseconds (pcap-savefile(5)), in this machine's byte order. */
struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, sigfigs, snap, link;
};

struct frame_header {
    uint32_t seconds, nanoseconds, kept, length;
};

#define magic_nanoseconds 0xa1b23c4d
#define link_ethernet     1

struct capture {
    FILE *file;
    struct capture_options options;
    struct capture_counters counters;
};

int capture_open(struct capture **out, const struct capture_options *options)
{
    struct capture *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->options = *options;
    c->options.path = NULL; /* the caller's, not kept */
    if (c->options.bytes_max == 0)
        c->options.bytes_max = capture_bytes_default;
    if (c->options.snap_bytes == 0)
        c->options.snap_bytes = UINT32_MAX;
    c->file = fopen(options->path, "we");
    struct file_header head = {magic_nanoseconds, 2, 4, 0, 0, 262144, link_ethernet};
    if (c->file == NULL || fwrite(&head, sizeof(head), 1, c->file) != 1) {
        int err = err_from_errno(errno);
        if (c->file != NULL)
            fclose(c->file);
        free(c);
        return err;
    }
    c->counters.bytes = sizeof(head);
    *out = c;
    return 0;
}

void capture_close(struct capture *c)
{
    if (c == NULL)
        return;
    fclose(c->file);
    free(c);
}

/* True for a first (or whole) TCP packet with the port on either side. */
static bool matches(const struct rte_mbuf *m, uint16_t port)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    size_t n = m->data_len, at = 14;
    if (n < at)
        return false;
    uint16_t type = bytes_get_u16(p + 12);
    if (type == 0x8100 && n >= 18) {
        type = bytes_get_u16(p + 16);
        at = 18;
    }
    size_t next = at;
    if (type == 0x0800 && n >= at + 20 && p[at + 9] == 6)
        next += (size_t)(p[at] & 15) * 4;
    else if (type == 0x86dd && n >= at + 40 && p[at + 6] == 6)
        next += 40;
    return next > at && n >= next + 4 &&
           (bytes_get_u16(p + next) == port || bytes_get_u16(p + next + 2) == port);
}

static void write_frame(struct capture *c, const struct rte_mbuf *m, int64_t wall_ns)
{
    uint32_t kept = m->pkt_len < c->options.snap_bytes ? m->pkt_len : c->options.snap_bytes;
    struct frame_header head = {(uint32_t)(wall_ns / CLOCK_NS_PER_S),
                                (uint32_t)(wall_ns % CLOCK_NS_PER_S), kept, m->pkt_len};
    if (c->counters.bytes + sizeof(head) + kept > c->options.bytes_max) {
        c->counters.ended = true;
        return;
    }
    bool ok = fwrite(&head, sizeof(head), 1, c->file) == 1;
    for (uint32_t left = kept; ok && left > 0 && m != NULL; m = m->next) {
        uint32_t n = m->data_len < left ? m->data_len : left;
        ok = fwrite(rte_pktmbuf_mtod(m, const void *), 1, n, c->file) == n;
        left -= n;
    }
    c->counters.ended = !ok;
    c->counters.written++;
    c->counters.bytes += sizeof(head) + kept;
}

void capture_frames(struct capture *c, struct rte_mbuf *const *frames, uint32_t n, int64_t wall_ns)
{
    for (uint32_t i = 0; i < n && !c->counters.ended; i++) {
        c->counters.seen++;
        if (c->options.port == 0 || matches(frames[i], c->options.port))
            write_frame(c, frames[i], wall_ns);
    }
}

const struct capture_counters *capture_counters(const struct capture *c)
{
    return &c->counters;
}
