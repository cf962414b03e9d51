/*
 * Direct writes that a process had under way when it died: the kernel goes on with them, and they
 * come to the file when they like, after the next process has begun to look at it. Who must not be
 * surprised settles the file first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/io/sim_internal.h"

struct sim_late {
    struct sim_inode *inode;
    int64_t offset;
    size_t bytes;
    struct sim_late *next;
    uint8_t data[];
};

#define late_odds 16 /* one in so many calls brings one */

void sim_late_add(struct io_sim *s, const struct io_req *req)
{
    struct sim_late *late = malloc(sizeof(*late) + req->bytes);
    CHECK(late != NULL);
    *late = (struct sim_late){req->file->inode, req->offset, 0, s->late};
    for (uint32_t i = 0; i < req->iov_count; i++) {
        memcpy(late->data + late->bytes, req->iov[i].iov_base, req->iov[i].iov_len);
        late->bytes += req->iov[i].iov_len;
    }
    s->late = late;
}

static void land(struct io_sim *s, struct sim_late **at)
{
    struct sim_late *late = *at;
    *at = late->next;
    if (!late->inode->removed)
        sim_write(s, late->inode, late->data, late->bytes, late->offset);
    free(late);
}

void sim_late_settle(struct io_sim *s, const struct sim_inode *inode)
{
    for (struct sim_late **at = &s->late; *at;)
        if ((*at)->inode == inode)
            land(s, at);
        else
            at = &(*at)->next;
}

void sim_late_may_land(struct io_sim *s)
{
    if (s->late && rng_below(&s->rng, late_odds) == 0)
        land(s, &s->late);
}

void sim_late_free(struct io_sim *s)
{
    while (s->late) {
        struct sim_late *late = s->late;
        s->late = late->next;
        free(late);
    }
}
