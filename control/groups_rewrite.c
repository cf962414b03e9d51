/*
 * groups_rewrite: keeps replay short while nothing compacts logs.
 *
 * When a partition's log is groups_rewrite_ratio times as long as its live state, the coordinator's
 * whole state is written anew at the end, and when the last batch of that is durable the log start
 * moves to the first. A crash in between replays the old prefix and a part of the rewrite, which says the same
 * twice; a crash after it, with the log start of an earlier checkpoint, replays more than it
 * needs to. Each suffix that begins at or before the rewrite gives the same state. A log that could
 * not be read to its end is left as it is: the state is not the whole of it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/groups_impl.h"

#define rewrite_batch_bytes   (512 * KIB)
#define rewrite_batch_records 8192

struct rewrite {
    struct group_partition *p;
    uint8_t *bytes; /* copies of keys and values */
    size_t used, room;
    struct record_item *items;
    uint32_t count;
};

static int flush(struct rewrite *r, const struct record_item *items, uint32_t n)
{
    if (n == 0)
        return 0;
    struct group_partition *p = r->p;
    p->rewrite_left++; /* before: the answer may come from inside */
    int err = internal_log_append(&p->log, items, n, p->groups->control->wall_ms,
                                  groups_rewrite_tag | p->rewrite_number);
    if (err && p->rewriting)
        p->rewrite_left--;
    return err;
}

static int flush_all(struct rewrite *r)
{
    int err = flush(r, r->items, r->count);
    r->count = 0;
    r->used = 0;
    return err;
}

static const uint8_t *copy(struct rewrite *r, const uint8_t *p, uint32_t n)
{
    if (!p)
        return NULL;
    uint8_t *at = r->bytes + r->used;
    memcpy(at, p, n);
    r->used += n;
    return at;
}

static int add(void *ctx, const struct group_record *from)
{
    struct rewrite *r = ctx;
    size_t n = (size_t)from->key_len + from->value_len;
    int err = 0;
    if (r->used + n > r->room || r->count == rewrite_batch_records)
        err = flush_all(r);
    if (err)
        return err;
    if (n > r->room) {
        struct record_item one = {from->key, from->key_len, from->value, from->value_len};
        return flush(r, &one, 1);
    }
    struct record_item *item = &r->items[r->count++];
    item->key = copy(r, from->key, from->key_len);
    item->key_len = from->key_len;
    item->value = copy(r, from->value, from->value_len);
    item->value_len = from->value_len;
    return 0;
}

static void begin(struct group_partition *p)
{
    struct rewrite r = {.p = p,
                        .bytes = malloc(rewrite_batch_bytes),
                        .items = calloc(rewrite_batch_records, sizeof(*r.items))};
    r.room = groups_append_bytes_max(p->groups) / 2;
    if (r.room > rewrite_batch_bytes)
        r.room = rewrite_batch_bytes;
    int err = r.bytes && r.items ? 0 : ERR_NO_MEMORY;
    p->rewriting = true;
    p->rewrite_number++;
    p->rewrite_from = -1;
    p->live_bytes = 0;
    p->rewrite_left = 1; /* held until all are queued */
    if (!err)
        err = coordinator_dump(p->coordinator, add, &r);
    if (!err)
        err = flush_all(&r);
    free(r.bytes);
    free(r.items);
    if (err) {
        log_warn("groups", "%s-%d: its log is not rewritten: %s", GROUPS_TOPIC, p->index,
                 err_text(err));
        p->rewriting = false;
        p->live_bytes = p->replay_bytes; /* not again before it has grown much longer */
    }
    group_rewrite_appended(p, groups_rewrite_tag | p->rewrite_number, 0, -1, 0);
}

void group_rewrite_check(struct group_partition *p)
{
    if (p->rewriting || p->cut || p->state != GROUP_PARTITION_ACTIVE ||
        p->replay_bytes < groups_rewrite_bytes ||
        p->replay_bytes < groups_rewrite_ratio * p->live_bytes ||
        coordinator_has_pending_transactions(p->coordinator))
        return;
    begin(p);
}

/*
 * No state at all: everything up to the end can go, if nothing is on its way there. What is queued
 * later is appended after the drop, for the shard's mail is in order.
 */
static void end_empty(struct group_partition *p)
{
    if (p->log.head)
        return; /* the next append's answer tries again */
    internal_log_drop_before(&p->log, INT64_MAX);
    p->replay_bytes = 0;
    p->groups->stats.rewrites++;
}

static void end(struct group_partition *p)
{
    p->rewriting = false;
    if (p->rewrite_from < 0) {
        end_empty(p);
        return;
    }
    p->replay_bytes = p->live_bytes;
    p->groups->stats.rewrites++;
    internal_log_drop_before(&p->log, p->rewrite_from);
}

void group_rewrite_appended(struct group_partition *p, uint64_t tag, int16_t kerr,
                            int64_t base_offset, uint32_t bytes)
{
    if (!p->rewriting || tag != (groups_rewrite_tag | p->rewrite_number))
        return; /* given up */
    p->rewrite_left--;
    if (kerr) {
        p->rewriting = false;
        p->live_bytes = p->replay_bytes;
        return;
    }
    if (p->rewrite_from < 0 && base_offset >= 0)
        p->rewrite_from = base_offset;
    p->live_bytes += bytes;
    if (p->rewrite_left == 0)
        end(p);
}
