#include "control/api/groups.h"

struct single {
    struct group_work work; /* first */
    struct group_partition *partition;
    control_encode_fn *encode;
    struct wheel_timer timer; /* armed: late is to come */
    void (*late)(struct control_request *rq, const void *req);
    const void *req; /* decoded */
};

static void single_forget(struct control_request *rq)
{
    struct single *s = rq->state;
    wheel_cancel(&rq->control->wheel, &s->timer);
    groups_cancel(s->partition, &s->work);
}

static void single_done(struct group_work *w)
{
    struct single *s = (struct single *)w;
    struct control_request *rq = w->call.user;
    wheel_cancel(&rq->control->wheel, &s->timer);
    if (w->call.response)
        control_reply(rq, w->call.response, s->encode);
    else
        control_close(rq, "the request needs too much memory");
}

/* It is still in work: its coordinator has it, parked or behind an append. */
static void single_cancel(struct control_request *rq)
{
    single_forget(rq);
    control_drop(rq);
}

static void single_late(struct wheel_timer *timer, int64_t now_ns)
{
    struct single *s = (struct single *)((char *)timer - offsetof(struct single, timer));
    struct control_request *rq = s->work.call.user;
    (void)now_ns;
    single_forget(rq);
    s->late(rq, s->req);
}

void group_single_deadline(struct control_request *rq, int64_t ms,
                           void (*late)(struct control_request *rq, const void *req),
                           const void *req)
{
    struct single *s = rq->state;
    s->late = late;
    s->req = req;
    s->timer.fire = single_late;
    wheel_arm(&rq->control->wheel, &s->timer, rq->control->now_ns + ms * CLOCK_NS_PER_MS);
}

struct group_call *group_single(struct control_request *rq, struct group_partition *p,
                                control_encode_fn *encode)
{
    struct single *s = arena_calloc(&rq->arena, 1, sizeof(*s));
    if (!s) {
        control_close(rq, "the request needs too much memory");
        return NULL;
    }
    groups_call_init(&s->work, rq, single_done);
    s->encode = encode;
    s->partition = p;
    rq->state = s;
    rq->cancel = single_cancel;
    return &s->work.call;
}

static void item_done(struct group_work *w)
{
    struct group_item *item = (struct group_item *)w;
    item->put(item, w->call.response);
    fan_done(item->fan);
}

struct group_call *group_item_begin(struct group_item *item, struct fan *fan,
                                    void (*put)(struct group_item *item, const void *response),
                                    void *out)
{
    groups_call_init(&item->work, fan->rq, item_done);
    item->fan = fan;
    item->put = put;
    item->out = out;
    fan_add(fan);
    return &item->work.call;
}
