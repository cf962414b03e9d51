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
    inode->mtime_ms = s->wall_ms;
    return err;
}

void sim_flush_range(struct sim_inode *inode, int64_t off, int64_t n)
{
    int64_t end = off + n;
    if (end > inode->now.size)
        end = inode->now.size;
    if (end > inode->stable.size)
        image_resize(&inode->stable, end);
    if (end > off)
        memcpy(inode->stable.data + off, inode->now.data + off, (size_t)(end - off));
}

void sim_flush(struct sim_inode *inode)
{
    image_resize(&inode->stable, inode->now.size);
    sim_flush_range(inode, 0, inode->now.size);
}

struct sim_entry *sim_find(struct sim_entry *list, const char *path)
{
    while (list && strcmp(list->path, path) != 0)
        list = list->next;
    return list;
}

static void entry_add(struct sim_entry **list, const char *path, struct sim_inode *inode)
{
    struct sim_entry *e = calloc(1, sizeof(*e));
    CHECK(e != NULL);
    e->path = strdup(path);
    e->inode = inode;
    e->next = *list;
    *list = e;
}

static void entry_remove(struct sim_entry **list, const char *path)
{
    for (; *list; list = &(*list)->next) {
        if (strcmp((*list)->path, path) == 0) {
            struct sim_entry *e = *list;
            *list = e->next;
            free(e->path);
            free(e);
            return;
        }
    }
}

/* Renames the entry and, for a directory, all that is in it. */
static void entries_rename(struct sim_entry **list, const char *from, const char *to)
{
    entry_remove(list, to);
    size_t n = strlen(from);
    for (struct sim_entry *e = *list; e; e = e->next) {
        if (strncmp(e->path, from, n) != 0 || (e->path[n] != '\0' && e->path[n] != '/'))
            continue;
        char *path = malloc(strlen(to) + strlen(e->path + n) + 1);
        CHECK(path != NULL);
        strcpy(path, to);
        strcat(path, e->path + n);
        free(e->path);
        e->path = path;
    }
}

static void change_add(struct io_sim *s, const char *from, const char *to, struct sim_inode *inode)
{
    struct sim_change *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    c->from = from ? strdup(from) : NULL;
    c->to = to ? strdup(to) : NULL;
    c->inode = inode;
    if (s->changes_tail)
        s->changes_tail->next = c;
    else
        s->changes = c;
    s->changes_tail = c;
}

static void change_apply(struct sim_entry **list, const struct sim_change *c)
{
    if (c->from && c->to)
        entries_rename(list, c->from, c->to);
    else if (c->to)
        entry_add(list, c->to, c->inode);
    else
        entry_remove(list, c->from);
}

/*
 * The first n of the changes since the last directory sync reach the medium; the rest stay pending.
 */
void sim_commit_names(struct io_sim *s, uint64_t n)
{
    while (s->changes && n-- > 0) {
        struct sim_change *c = s->changes;
        change_apply(&s->stable, c);
        s->changes = c->next;
        if (s->changes == NULL)
            s->changes_tail = NULL;
        free(c->from);
        free(c->to);
        free(c);
    }
}

struct sim_inode *sim_create(struct io_sim *s, const char *path, bool is_dir)
{
    struct sim_inode *inode = calloc(1, sizeof(*inode));
    CHECK(inode != NULL);
    inode->is_dir = is_dir;
    inode->mtime_ms = s->wall_ms;
    inode->next = s->inodes;
    s->inodes = inode;
    entry_add(&s->now, path, inode);
    change_add(s, NULL, path, inode);
    return inode;
}

void sim_move(struct io_sim *s, const char *from, const char *to)
{
    struct sim_entry *old = sim_find(s->now, to);
    if (old)
        s->bytes -= (uint64_t)old->inode->now.size;
    change_add(s, from, to, NULL);
    entries_rename(&s->now, from, to);
}

void sim_remove(struct io_sim *s, const char *path)
{
    struct sim_entry *e = sim_find(s->now, path);
    s->bytes -= (uint64_t)e->inode->now.size;
    change_add(s, path, NULL, NULL);
    entry_remove(&s->now, path);
}

void io_sim_init(struct io_sim *s, uint64_t seed)
{
    *s = (struct io_sim){.fs = {&sim_fs_ops}, .io = {&sim_io_ops}};
    rng_seed(&s->rng, seed);
}

static void entries_free(struct sim_entry **list)
{
    while (*list)
        entry_remove(list, (*list)->path);
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
    sim_commit_names(s, UINT64_MAX);
    entries_free(&s->now);
    entries_free(&s->stable);
    handles_free(s);
    while (s->inodes) {
        struct sim_inode *inode = s->inodes;
        s->inodes = inode->next;
        free(inode->now.data);
        free(inode->stable.data);
        free(inode);
    }
}

void io_sim_fail(struct io_sim *s, enum sim_op op, uint64_t nth, int err)
{
    CHECK(s->fault_count < sim_faults_max);
    s->faults[s->fault_count++] = (struct sim_fault){op, s->ops[op] + nth, err};
}

/* A write that was under way may have happened in part, from its front. */
static void crash_write(struct io_sim *s, struct io_req *req)
{
    uint64_t left = rng_below(&s->rng, 3) == 0 ? rng_below(&s->rng, req->bytes + 1)
                    : rng_below(&s->rng, 2)    ? req->bytes
                                               : 0;
    int64_t off = req->offset;
    for (uint32_t i = 0; i < req->iov_count && left > 0; i++) {
        size_t n = req->iov[i].iov_len < left ? req->iov[i].iov_len : (size_t)left;
        sim_write(s, req->file->inode, req->iov[i].iov_base, n, off);
        off += (int64_t)n;
        left -= n;
    }
}

/* Any subset of the sectors that differ stays; the length is the old one or the new one. */
static void crash_inode(struct io_sim *s, struct sim_inode *inode)
{
    struct sim_image *now = &inode->now, *old = &inode->stable;
    int64_t size = rng_below(&s->rng, 2) ? now->size : old->size;
    s->bytes -= (uint64_t)now->size;
    if (now->size < size)
        image_resize(now, size);
    for (int64_t at = 0; at < size; at += sim_sector_bytes) {
        if (rng_below(&s->rng, 2))
            continue;
        int64_t n = size - at < sim_sector_bytes ? size - at : sim_sector_bytes;
        int64_t have = old->size - at < 0 ? 0 : old->size - at < n ? old->size - at : n;
        if (have > 0)
            memcpy(now->data + at, old->data + at, (size_t)have);
        memset(now->data + at + have, 0, (size_t)(n - have));
    }
    image_resize(now, size);
    sim_flush(inode);
}

void io_sim_crash_at(struct io_sim *s, uint64_t nth, enum sim_crash crash)
{
    s->die_at = s->calls + nth;
    s->die_how = crash;
}

void io_sim_revive(struct io_sim *s)
{
    CHECK(s->queue == NULL && s->handles == NULL);
    s->dead = false;
}

void io_sim_crash(struct io_sim *s, enum sim_crash crash)
{
    CHECK(!s->dead);
    if (s->current && s->current->op == IO_WRITE)
        crash_write(s, s->current);
    for (struct io_req *req = s->queue; req; req = req->next)
        if (req->op == IO_WRITE)
            crash_write(s, req);
    s->dead = true;
    s->fault_count = 0;
    s->die_at = 0;
    if (crash == SIM_PROCESS_DEATH)
        return;
    uint64_t pending = 0;
    for (struct sim_change *c = s->changes; c; c = c->next)
        pending++;
    sim_commit_names(s, rng_below(&s->rng, pending + 1));
    while (s->changes) {
        struct sim_change *c = s->changes;
        s->changes = c->next;
        free(c->from);
        free(c->to);
        free(c);
    }
    s->changes_tail = NULL;
    entries_free(&s->now);
    for (struct sim_entry *e = s->stable; e; e = e->next)
        entry_add(&s->now, e->path, e->inode);
    for (struct sim_inode *inode = s->inodes; inode; inode = inode->next)
        if (!inode->is_dir)
            crash_inode(s, inode);
    s->bytes = 0;
    for (struct sim_entry *e = s->now; e; e = e->next)
        s->bytes += (uint64_t)e->inode->now.size;
}
