#include "bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "core/ring.h"

#define disk_file_bytes  (512 * MIB) /* begins anew at its end */
#define disk_align_bytes 4096
#define fill_bytes       MIB
#define disk_wait_ns     (100 * CLOCK_NS_PER_MS)

struct disk;

struct slot {
    struct ring_req req;
    struct disk *disk;
    uint8_t *block;
    int64_t sent_ns;
};

struct disk {
    const struct disk_options *o;
    struct result *result;
    struct ring ring;
    int fd, error;
    uint64_t at;
    uint32_t under_way;
    bool measuring, stopping;
    struct slot slot[disk_depth_max];
};

static void submit(struct slot *s)
{
    struct disk *d = s->disk;
    if (d->at + d->o->block_bytes > disk_file_bytes)
        d->at = 0;
    struct io_uring_sqe *sqe = ring_sqe(&d->ring, &s->req);
    if (d->o->reads) {
        io_uring_prep_read(sqe, d->fd, s->block, d->o->block_bytes, d->at);
    } else {
        io_uring_prep_write(sqe, d->fd, s->block, d->o->block_bytes, d->at);
        sqe->rw_flags = RWF_DSYNC;
    }
    d->at += d->o->block_bytes;
    d->under_way++;
    s->sent_ns = clock_mono_ns(clock_system());
}

static void on_done(struct ring_req *req, int32_t res, uint32_t flags)
{
    struct slot *s = (struct slot *)req;
    struct disk *d = s->disk;
    int64_t now = clock_mono_ns(clock_system());
    d->under_way--;
    if (res != (int32_t)d->o->block_bytes) {
        d->error = res < 0 ? err_from_errno(res) : ERR_IO;
        return;
    }
    if (d->measuring) {
        result_count(d->result, now, 1, d->o->block_bytes);
        result_latency(d->result, now, s->sent_ns);
    }
    if (!d->stopping)
        submit(s);
}

/*
 * Until the time is over (or, stopping, all is done). It sleeps while it waits: a write that flushes is
 * made by a thread of the kernel, which a polling one keeps off its processor for up to a tick.
 */
static void run(struct disk *d, double seconds)
{
    int64_t end = clock_mono_ns(clock_system()) + (int64_t)(seconds * 1e9);
    while (!d->error && d->under_way && clock_mono_ns(clock_system()) < end &&
           (d->stopping || !crew_stopping(d->o->member))) {
        if (ring_reap(&d->ring, disk_depth_max) == 0)
            ring_park(&d->ring, disk_wait_ns);
    }
}

/* Written once, so that no write has to find room. */
static int make_room(struct disk *d, char *why, size_t why_size)
{
    d->fd = open(d->o->folder, O_TMPFILE | O_RDWR | O_DIRECT, 0600);
    if (d->fd < 0) {
        snprintf(why, why_size, "no file for direct writes in %s: %s", d->o->folder,
                 strerror(errno));
        return errno == EINVAL || errno == EOPNOTSUPP ? ERR_UNSUPPORTED : ERR_IO;
    }
    void *zeros;
    if (posix_memalign(&zeros, disk_align_bytes, fill_bytes) != 0)
        return ERR_NO_MEMORY;
    memset(zeros, 0, fill_bytes);
    int err = 0;
    for (uint64_t at = 0; at < disk_file_bytes && !err; at += fill_bytes)
        if (pwrite(d->fd, zeros, fill_bytes, (off_t)at) != (ssize_t)fill_bytes)
            err = ERR_IO;
    free(zeros);
    if (err || fsync(d->fd) < 0) {
        snprintf(why, why_size, "%s cannot be filled: %s", d->o->folder, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

static int make_slots(struct disk *d)
{
    for (uint32_t i = 0; i < d->o->depth; i++) {
        void *block;
        if (posix_memalign(&block, disk_align_bytes, d->o->block_bytes) != 0)
            return ERR_NO_MEMORY;
        memset(block, (int)i + 1, d->o->block_bytes);
        d->slot[i] = (struct slot){.req.done = on_done, .disk = d, .block = block};
    }
    return 0;
}

static int measure(struct disk *d, char *why, size_t why_size)
{
    const struct disk_options *o = d->o;
    for (uint32_t i = 0; i < o->depth; i++)
        submit(&d->slot[i]);
    run(d, o->warmup_s);
    int64_t begin = clock_mono_ns(clock_system());
    result_window(d->result, begin, o->seconds);
    d->measuring = true;
    run(d, o->seconds);
    d->measuring = false;
    d->stopping = true;
    d->result->seconds = (double)(clock_mono_ns(clock_system()) - begin) / 1e9;
    bool cut = crew_stopping(o->member);
    run(d, 60);
    result_close(d->result);
    if (d->error)
        snprintf(why, why_size, "a request failed: %s", err_text(d->error));
    return d->error ? d->error : cut ? ERR_CANCELLED : d->under_way ? ERR_TIMEOUT : 0;
}

int disk_run(const struct disk_options *options, struct result *out, char *why, size_t why_size)
{
    struct disk *d = calloc(1, sizeof(*d));
    if (!d)
        return ERR_NO_MEMORY;
    *d = (struct disk){.o = options, .result = out, .fd = -1};
    int err = make_room(d, why, why_size);
    if (!err)
        err = make_slots(d);
    if (!err)
        err = ring_init(&d->ring, 2 * disk_depth_max, why, why_size);
    if (!err) {
        err = measure(d, why, why_size);
        ring_fini(&d->ring);
    }
    if (d->fd >= 0)
        close(d->fd);
    for (uint32_t i = 0; i < disk_depth_max; i++)
        free(d->slot[i].block);
    free(d);
    return err;
}
