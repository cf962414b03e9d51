/* Files, names and crashes of the simulated disk. */
#include "storage/io/sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/io/sim_internal.h"

static void image_resize(struct sim_image *image, int64_t size)
{
    if (size > image->room) {
        int64_t room = image->room ? image->room : 4096;
        while (room < size)
            room *= 2;
        image->data = realloc(image->data, (size_t)room);
        CHECK(image->data != NULL);
        image->room = room;
    }
    if (size > image->size)
        memset(image->data + image->size, 0, (size_t)(size - image->size));
    image->size = size;
}

int sim_fault(struct io_sim *s, enum sim_op op)
{
    if (s->dead)
        return ERR_CANCELLED;
    sim_late_may_land(s);
    s->ops[op]++;
    if (++s->calls == s->die_at) {
        io_sim_crash(s, s->die_how);
        return ERR_CANCELLED;
    }
    for (uint32_t i = 0; i < s->fault_count; i++) {
        if (s->faults[i].op == op && s->faults[i].at == s->ops[op]) {
            int err = s->faults[i].err;
            s->faults[i] = s->faults[--s->fault_count];
            return err;
        }
    }
    return 0;
}

void io_sim_point(struct io_sim *s)
{
    if (!s->dead && ++s->calls == s->die_at)
        io_sim_crash(s, s->die_how);
}

void sim_resize(struct io_sim *s, struct sim_inode *inode, int64_t size)
{
    s->bytes += (uint64_t)(size - inode->now.size);
    image_resize(&inode->now, size);
}

/* Writes what fits under the limit of bytes. */
int sim_write(struct io_sim *s, struct sim_inode *inode, const void *p, size_t n, int64_t off)
{
    int64_t end = off + (int64_t)n;
    int err = 0;
    if (end > inode->now.size) {
        uint64_t grow = (uint64_t)(end - inode->now.size);
        if (s->bytes_limit && s->bytes + grow > s->bytes_limit) {
            uint64_t room = s->bytes_limit > s->bytes ? s->bytes_limit - s->bytes : 0;
            end = inode->now.size + (int64_t)room;
            n = end > off ? (size_t)(end - off) : 0;
            err = ERR_NO_SPACE;
        }
        if (end > inode->now.size)
            sim_resize(s, inode, end);
    }
    if (n)
        memcpy(inode->now.data + off, p, n);
    for (size_t k = (size_t)off / sim_sector_bytes;
         n && k < inode->lost_sectors && (int64_t)k * sim_sector_bytes < end; k++)
        inode->lost[k] = 0;
    inode->mtime_ms = s->wall_ms;
    return err;
}

static bool is_lost(const struct sim_inode *inode, int64_t at)
{
    size_t k = (size_t)at / sim_sector_bytes;
    return k < inode->lost_sectors && inode->lost[k];
}

/* From at to the end of its sector, or to end. */
static int64_t piece(int64_t at, int64_t end)
{
    int64_t n = sim_sector_bytes - at % sim_sector_bytes;
    return n < end - at ? n : end - at;
}

void sim_flush_range(struct sim_inode *inode, int64_t off, int64_t n)
{
    int64_t end = off + n;
    if (end > inode->now.size)
        end = inode->now.size;
    if (end > inode->stable.size)
        image_resize(&inode->stable, end);
    if (end > off && inode->lost_sectors == 0) {
        memcpy(inode->stable.data + off, inode->now.data + off, (size_t)(end - off));
        return;
    }
    for (int64_t at = off, some; at < end; at += some) {
        some = piece(at, end);
        if (!is_lost(inode, at))
            memcpy(inode->stable.data + at, inode->now.data + at, (size_t)some);
    }
}

static void lose(struct sim_inode *inode, int64_t at)
{
    size_t k = (size_t)at / sim_sector_bytes;
    if (k >= inode->lost_sectors) {
        inode->lost = realloc(inode->lost, k + 1);
        CHECK(inode->lost != NULL);
        memset(inode->lost + inode->lost_sectors, 0, k + 1 - inode->lost_sectors);
        inode->lost_sectors = k + 1;
    }
    inode->lost[k] = 1;
}

/* The medium's bytes of [at, at + n), zeros where it has none. */
static void stable_copy(const struct sim_inode *inode, uint8_t *dst, int64_t at, int64_t n)
{
    int64_t have = inode->stable.size - at < n ? inode->stable.size - at : n;
    if (have < 0)
        have = 0;
    if (have > 0)
        memcpy(dst, inode->stable.data + at, (size_t)have);
    memset(dst + have, 0, (size_t)(n - have));
}

void sim_suspect(struct io_sim *s, struct sim_inode *inode, int64_t off, int64_t n)
{
    uint8_t old[sim_sector_bytes];
    int64_t end = off + n < inode->now.size ? off + n : inode->now.size;
    for (int64_t at = off, some; at < end; at += some) {
        some = piece(at, end);
        stable_copy(inode, old, at, some);
        if (memcmp(old, inode->now.data + at, (size_t)some) == 0)
            continue;
        switch (rng_below(&s->rng, 3)) {
        case 0:
            sim_flush_range(inode, at, some);
            break;
        case 1:
            if (inode->direct) {
                memcpy(inode->now.data + at, old, (size_t)some);
                s->taken_back++;
            } else {
                lose(inode, at);
            }
            break;
        default:
            break;
        }
    }
}

void sim_drop_cache(struct io_sim *s, struct sim_inode *inode)
{
    for (size_t k = 0; k < inode->lost_sectors; k++) {
        int64_t at = (int64_t)k * sim_sector_bytes;
        if (inode->lost[k] && at < inode->now.size)
            stable_copy(inode, inode->now.data + at, at, piece(at, inode->now.size));
        inode->lost[k] = 0;
    }
}

void sim_flush(struct sim_inode *inode)
{
    image_resize(&inode->stable, inode->now.size);
    sim_flush_range(inode, 0, inode->now.size);
}

void io_sim_init(struct io_sim *s, uint64_t seed)
{
    *s = (struct io_sim){.fs = {&sim_fs_ops}, .io = {&sim_io_ops}};
    rng_seed(&s->rng, seed);
    s->root = sim_inode_new(s, true);
}

static void handles_free(struct io_sim *s)
{
    while (s->handles) {
        struct io_file *h = s->handles;
        s->handles = h->next;
        free(h);
    }
}

void io_sim_free(struct io_sim *s)
{
    handles_free(s);
    sim_named_free(s);
    sim_late_free(s);
    while (s->inodes) {
        struct sim_inode *inode = s->inodes;
        s->inodes = inode->next;
        sim_inode_free(inode);
    }
}

void io_sim_fail(struct io_sim *s, enum sim_op op, uint64_t nth, int err)
{
    CHECK(s->fault_count < sim_faults_max);
    s->faults[s->fault_count++] = (struct sim_fault){op, s->ops[op] + nth, err};
}

/*
 * A write that was under way may have happened in part: from its front, or, past the operating
 * system's cache, any of its sectors.
 */
static void crash_write(struct io_sim *s, struct io_req *req)
{
    bool direct = req->file->direct;
    uint64_t left = direct || rng_below(&s->rng, 2)
                        ? req->bytes
                        : rng_below(&s->rng, rng_below(&s->rng, 2) ? req->bytes + 1 : 1);
    uint64_t odds = direct ? rng_below(&s->rng, 4) : 0; /* of 3 a sector is left out */
    int64_t off = req->offset;
    for (uint32_t i = 0; i < req->iov_count && left > 0; i++) {
        const uint8_t *p = req->iov[i].iov_base;
        size_t n = req->iov[i].iov_len < left ? req->iov[i].iov_len : (size_t)left;
        left -= n;
        for (int64_t end = off + (int64_t)n, some; off < end; off += some, p += some) {
            some = direct ? piece(off, end) : end - off;
            if (!direct || rng_below(&s->rng, 3) >= odds)
                sim_write(s, req->file->inode, p, (size_t)some, off);
        }
    }
}

/* Any subset of the sectors that differ stays; the length is the old one, the new one or between. */
static void crash_inode(struct io_sim *s, struct sim_inode *inode)
{
    struct sim_image *now = &inode->now, *old = &inode->stable;
    int64_t size = rng_below(&s->rng, 2) ? now->size : old->size;
    if (rng_below(&s->rng, 4) == 0 && now->size > old->size)
        size = old->size + (int64_t)rng_below(&s->rng, (uint64_t)(now->size - old->size));
    uint64_t odds = rng_below(&s->rng, 4); /* of 3 a sector is not there */
    if (now->size < size)
        image_resize(now, size);
    for (int64_t at = 0; at < size; at += sim_sector_bytes)
        if (is_lost(inode, at) || rng_below(&s->rng, 3) < odds)
            stable_copy(inode, now->data + at, at, piece(at, size));
    image_resize(now, size);
    inode->lost_sectors = 0;
    sim_flush(inode);
}

void io_sim_crash_at(struct io_sim *s, uint64_t nth, enum sim_crash crash)
{
    s->die_at = s->calls + nth;
    s->die_how = crash;
}

void io_sim_crash(struct io_sim *s, enum sim_crash crash)
{
    CHECK(!s->dead);
    if (s->current && s->current->op == IO_WRITE)
        crash_write(s, s->current);
    for (struct io_req *req = s->queue; req; req = req->next) {
        if (req->op != IO_WRITE)
            continue;
        if (crash == SIM_PROCESS_DEATH && req->file->direct && rng_below(&s->rng, 2))
            sim_late_add(s, req);
        else
            crash_write(s, req);
    }
    s->dead = true;
    s->fault_count = 0;
    s->die_at = 0;
    s->die_how = crash;
    sim_named_crash(s, crash);
    if (crash == SIM_PROCESS_DEATH)
        return;
    sim_late_free(s);
    sim_names_crash(s);
    s->bytes = 0;
    for (struct sim_inode *inode = s->inodes; inode; inode = inode->next) {
        if (inode->is_dir || !inode->reachable)
            continue;
        crash_inode(s, inode);
        s->bytes += (uint64_t)inode->now.size;
    }
}

void io_sim_revive(struct io_sim *s)
{
    CHECK(s->queue == NULL && s->handles == NULL);
    sim_named_revive(s);
    s->dead = false;
    if (s->die_how == SIM_PROCESS_DEATH)
        return;
    for (struct sim_inode **at = &s->inodes; *at;) {
        struct sim_inode *inode = *at;
        if (inode->reachable) {
            at = &inode->next;
            continue;
        }
        *at = inode->next;
        sim_inode_free(inode);
    }
}
