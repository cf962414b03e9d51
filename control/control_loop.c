#include "control/control_loop.h"

#include "base/err.h"

/* A sleep is at most this long, so that a lost wake-up would be a delay and not a standstill. */
#define loop_sleep_ms_max 1000

static void on_async(uv_async_t *async)
{
    /* Being awake is all it is for. */
}

static void on_timer(uv_timer_t *timer)
{
}

static int64_t step(struct control_loop *l)
{
    return control_step(l->control, clock_mono_ns(l->control->clock));
}

static bool asked_to_end(const struct control_loop *l)
{
    return !l->closing && (l->control->failed || atomic_load(&l->stop));
}

/* Before the sleep: everything there is to do is done, then the agent says that it sleeps. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct control_loop *l = prepare->data;
    int64_t until = step(l);
    int64_t now = clock_mono_ns(l->control->clock);
    if (asked_to_end(l) || (l->until && l->until(l->ctx)))
        uv_stop(&l->loop);
    if (until > l->deadline_ns)
        until = l->deadline_ns;
    int64_t ms = until - now > loop_sleep_ms_max * CLOCK_NS_PER_MS
                     ? loop_sleep_ms_max
                     : (until - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
    if (ms <= 0 || !agent_park_begin(&l->control->agent))
        ms = 0;
    uv_update_time(&l->loop);
    uv_timer_start(&l->timer, on_timer, (uint64_t)ms, 0);
}

static void on_check(uv_check_t *check)
{
    struct control_loop *l = check->data;
    agent_park_end(&l->control->agent);
}

int control_loop_init(struct control_loop *l, struct control *control)
{
    *l = (struct control_loop){.control = control};
    if (uv_loop_init(&l->loop) != 0)
        return ERR_SYSTEM;
    if (uv_async_init(&l->loop, &l->async, on_async) != 0) {
        uv_loop_close(&l->loop);
        return ERR_SYSTEM;
    }
    uv_prepare_init(&l->loop, &l->prepare);
    uv_check_init(&l->loop, &l->check);
    uv_timer_init(&l->loop, &l->timer);
    l->prepare.data = l->check.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    return 0;
}

void control_loop_fini(struct control_loop *l)
{
    if (!l || !l->control)
        return;
    uv_close((uv_handle_t *)&l->async, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    uv_loop_close(&l->loop);
    l->control = NULL;
}

void control_loop_wake(struct agent *agent)
{
    struct control_loop *l = agent->wake_ctx;
    uv_async_send(&l->async);
}

void control_loop_stop(struct control_loop *l)
{
    atomic_store(&l->stop, true);
    uv_async_send(&l->async);
}

void control_loop_closing(struct control_loop *l)
{
    l->closing = true;
}

/* uv_stop in a prepare callback keeps uv_run from sleeping and ends it after this turn. */
int control_loop_run(struct control_loop *l, bool (*until)(void *ctx), void *ctx,
                     int64_t timeout_ns)
{
    l->deadline_ns = timeout_ns < 0 ? INT64_MAX : clock_mono_ns(l->control->clock) + timeout_ns;
    l->until = until;
    l->ctx = ctx;
    for (;;) {
        uv_run(&l->loop, UV_RUN_ONCE);
        if (until && until(ctx))
            return 0;
        if (asked_to_end(l))
            return ERR_CANCELLED;
        if (clock_mono_ns(l->control->clock) >= l->deadline_ns)
            return ERR_TIMEOUT;
    }
}
