/*
 * What logs left in the ring. It is the only copy of acknowledged bytes, so it must stay until the next
 * start puts it into its segment; and it must not stop the ring. Where a commit at the ring's tail is
 * kept by nothing else, it is read, and what counts of it is written into a new commit at the head. The
 * old one counts as free when the new one is on the medium: there is a whole copy at any time, and a
 * start that finds both writes the same bytes twice.
 */
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "storage/journal/journal_internal.h"

#define carried_share 4 /* what is carried takes at most this part of the ring */

static uint32_t bytes_of(const struct commit *c)
{
    return journal_data_at(c->left) + c->left_bytes;
}

void journal_carry_add(struct journal *j, struct journal_entry *e)
{
    struct commit *c = e->commit;
    e->left = true;
    c->left++;
    c->left_bytes += e->frame.bytes;
    j->left++;
    uint32_t blocks = journal_blocks_of(bytes_of(c));
    j->left_blocks = blocks > j->left_blocks ? blocks : j->left_blocks;
}

/* Twice: where it does not fit before the ring's end it begins at its start. */
uint32_t journal_carry_room(const struct journal *j)
{
    return 2 * j->left_blocks;
}

/* The commit in p is c as it was written, and the pieces that count are whole. */
static bool whole(const struct journal *j, const struct commit *c, const uint8_t *p)
{
    struct journal_commit head;
    uint32_t at = journal_data_at(c->entries);
    if (!journal_commit_get(p, (size_t)c->blocks * journal_block_bytes, &head) ||
        head.life != j->life || head.sequence != c->sequence || head.frames != c->entries ||
        head.bytes != c->bytes)
        return false;
    for (uint32_t i = 0; i < c->entries; i++) {
        const struct journal_entry *e = entry_of(j, c, i);
        struct journal_frame f;
        uint64_t check;
        journal_frame_get(p, i, &f, &check);
        if (e->left && journal_data_check(p + at, e->frame.bytes) != check)
            return false;
        at += e->frame.bytes;
    }
    return true;
}

/* What counts of c, to the front of p: a commit of it alone. Data first: it may lie over c's table. */
static void pack(const struct journal *j, const struct commit *c, const struct commit *to,
                 uint8_t *p)
{
    uint32_t from = journal_data_at(c->entries), start = journal_data_at(c->left), at = start;
    for (uint32_t i = 0; i < c->entries; i++) {
        const struct journal_entry *e = entry_of(j, c, i);
        if (e->left) {
            memmove(p + at, p + from, e->frame.bytes);
            at += e->frame.bytes;
        }
        from += e->frame.bytes;
    }
    CHECK(at == to->bytes);
    memset(p + at, 0, (size_t)to->blocks * journal_block_bytes - at);
    for (uint32_t i = 0; i < to->entries; i++) {
        const struct journal_entry *e = entry_of(j, to, i);
        journal_frame_put(p, i, &e->frame, p + start);
        start += e->frame.bytes;
    }
}

static void give_up(struct journal *j, struct journal_write *w)
{
    j->stuck = !j->failed;
    j->carrying = NULL;
    journal_write_give(j, w);
}

static void read_done(struct io_req *req, int64_t result)
{
    struct journal_write *w =
        (struct journal_write *)((char *)req - offsetof(struct journal_write, req));
    struct journal *j = w->journal;
    struct commit *c = j->carrying;
    uint32_t skip;
    j->carry = NULL;
    CHECK(!j->building);
    if (j->failed || result != (int64_t)c->blocks * journal_block_bytes ||
        !whole(j, c, w->buffer) ||
        journal_find_room(j, journal_blocks_of(bytes_of(c)), 1, &skip) == 0) {
        give_up(j, w);
        return;
    }
    struct commit build = {.bytes = bytes_of(c), .entries = c->left};
    struct commit *to = journal_commit_place(j, &build);
    for (uint32_t i = 0, n = 0; i < c->entries; i++) {
        const struct journal_entry *e = entry_of(j, c, i);
        if (e->left)
            *entry_of(j, to, n++) =
                (struct journal_entry){.left = true, .commit = to, .frame = e->frame};
    }
    to->left = c->left;
    to->left_bytes = c->left_bytes;
    to->carries = c;
    to->carried = true;
    j->carried_blocks += to->blocks;
    j->left += to->left;
    pack(j, c, to, w->buffer);
    journal_commit_write(j, to, w);
}

void journal_carry_try(struct journal *j)
{
    struct commit *c = commit_at(j, 0);
    uint32_t skip;
    if (j->carrying || j->stuck || j->commit_count == 0 || j->writes_free == NULL || !c->done ||
        c->live == 0 || c->live != c->left)
        return;
    uint32_t blocks = journal_blocks_of(bytes_of(c));
    if (journal_find_room(j, blocks, 1, &skip) == 0 || j->entry_count + c->left > j->entry_max ||
        j->carried_blocks + blocks > j->blocks / carried_share) {
        j->stuck = true;
        return;
    }
    struct journal_write *w = journal_write_take(j);
    uint64_t bytes = (uint64_t)c->blocks * journal_block_bytes;
    j->carrying = c;
    j->carry = w;
    w->iov = (struct iovec){w->buffer, bytes};
    w->req = (struct io_req){.op = IO_READ,
                             .file = j->file,
                             .iov = &w->iov,
                             .iov_count = 1,
                             .offset = (int64_t)c->start * journal_block_bytes,
                             .bytes = bytes,
                             .done = read_done};
    io_submit(j->io, &w->req);
}

void journal_carry_end(struct journal *j, struct commit *c)
{
    struct commit *old = c->carries;
    c->carries = NULL;
    j->carrying = NULL;
    j->left -= old->left;
    old->left = old->left_bytes = 0;
    old->live = 0;
}
