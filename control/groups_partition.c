/* groups_partition: one coordinator between its log, its requests and its clock. */
#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/groups_impl.h"

void group_partition_init(struct group_partition *p, struct groups *g, int32_t index,
                          const struct uuid *topic_id)
{
    *p = (struct group_partition){.groups = g, .index = index, .rewrite_from = -1};
    p->timer.fire = group_partition_fire;
    internal_log_init(&p->log, g->control, topic_id, index);
    p->log.ctx = p;
    p->log.appended = group_partition_appended;
}

/* ---- outputs ---- */

static int16_t append_error(int err)
{
    return err == ERR_TOO_LARGE ? KERR_MESSAGE_TOO_LARGE : KERR_COORDINATOR_NOT_AVAILABLE;
}

_Static_assert(sizeof(struct group_record) == sizeof(struct record_item) &&
                   offsetof(struct group_record, value) == offsetof(struct record_item, value) &&
                   offsetof(struct group_record, key_len) ==
                       offsetof(struct record_item, key_len) &&
                   offsetof(struct group_record, value_len) ==
                       offsetof(struct record_item, value_len),
               "a group_record is a record_item");

static void append(struct group_partition *p, const struct group_append *a)
{
    int err = internal_log_append(&p->log, (const struct record_item *)a->records, a->n_records,
                                  a->timestamp_ms, a->seq);
    if (err)
        coordinator_appended(p->coordinator, a->seq, append_error(err), groups_now(p->groups));
}

/* One round of what the coordinator has to say. */
static void take(struct group_partition *p)
{
    struct group_outputs out = {0};
    if (!coordinator_take(p->coordinator, &out))
        return;
    p->again = true;
    for (struct group_append *a = out.appends, *next; a; a = next) {
        next = a->next; /* gone when its batch is answered, perhaps at once */
        append(p, a);
    }
    for (struct group_call *call = out.replies, *next; call; call = next) {
        next = call->next;
        struct group_work *w = (struct group_work *)call;
        p->groups->calls--;
        w->done(w);
    }
}

void group_partition_arm(struct group_partition *p)
{
    struct wheel *wheel = &p->groups->control->wheel;
    int64_t at = p->coordinator ? coordinator_next_deadline(p->coordinator) : INT64_MAX;
    if (p->state != GROUP_PARTITION_ACTIVE || at == INT64_MAX)
        wheel_cancel(wheel, &p->timer);
    else
        wheel_arm(wheel, &p->timer, at);
}

void groups_pump(struct group_partition *p)
{
    p->again = true;
    if (p->pumping)
        return;
    p->pumping = true;
    while (p->again && p->coordinator) {
        p->again = false;
        take(p);
    }
    p->pumping = false;
    if (p->state != GROUP_PARTITION_ACTIVE)
        return;
    if (coordinator_failed(p->coordinator)) {
        group_partition_reload(p, false);
        return;
    }
    group_partition_arm(p);
    group_rewrite_check(p);
}

void group_partition_appended(void *ctx, uint64_t tag, int16_t kerr, int64_t base_offset,
                              uint32_t bytes)
{
    struct group_partition *p = ctx;
    if (!kerr)
        p->replay_bytes += bytes;
    if (tag & groups_rewrite_tag) {
        group_rewrite_appended(p, tag, kerr, base_offset, bytes);
        return;
    }
    if (kerr)
        log_warn("groups", "%s-%d: a batch could not be appended: %s", GROUPS_TOPIC, p->index,
                 kerr_text(kerr));
    if (!p->coordinator)
        return;
    coordinator_appended(p->coordinator, tag, kerr, groups_now(p->groups));
    groups_pump(p);
}

/* ---- time ---- */

void group_partition_fire(struct wheel_timer *timer, int64_t now_ns)
{
    struct group_partition *p =
        (struct group_partition *)((char *)timer - offsetof(struct group_partition, timer));
    (void)now_ns;
    if (p->state == GROUP_PARTITION_ACTIVE) {
        coordinator_tick(p->coordinator, groups_now(p->groups));
        groups_pump(p);
    } else if (p->state == GROUP_PARTITION_OFFLINE) {
        group_partition_reload(p, true);
    }
}

/* ---- the end ---- */

/*
 * What the coordinator wants written for the answers it has given is still written and waited for;
 * it answers everybody else.
 */
void group_partition_close(struct group_partition *p, int16_t kerr)
{
    wheel_cancel(&p->groups->control->wheel, &p->timer);
    p->state = GROUP_PARTITION_CLOSED;
    if (!p->coordinator)
        return;
    coordinator_close(p->coordinator, kerr);
    groups_pump(p);
}
