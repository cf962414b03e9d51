/* flow: in an open loop what is late or was never sent is counted, with its wait. A slow server on a thread. */
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "bench/cable.h"
#include "bench/flow.h"
#include "tests/unit/core/with_eal.h"

#define frame_bytes 12
#define pause_ms    20 /* of the server before each answer */

/* Sends each frame back, one after the other, after a pause; ends when its one connection does. */
struct slow {
    int listener;
    uint16_t port;
    pthread_t thread;
};

static void *slow_main(void *arg)
{
    struct slow *s = arg;
    uint8_t frame[frame_bytes];
    int fd = accept(s->listener, NULL, NULL);
    while (fd >= 0 && recv(fd, frame, sizeof(frame), MSG_WAITALL) == sizeof(frame)) {
        usleep(pause_ms * 1000);
        if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame))
            break;
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void slow_start(struct slow *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL_FATAL(bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(s->listener, 1), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(s->listener, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, slow_main, s), 0);
}

static void slow_end(struct slow *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
}

struct load {
    struct flow *flow;
    uint32_t puts, answers;
    int16_t refuse_from; /* answers from this one on are errors; 0: none */
};

static bool put(void *ctx, uint32_t conn, uint32_t n, struct chain *out)
{
    struct load *l = ctx;
    uint8_t frame[frame_bytes] = {0};
    bytes_put_u32(frame, frame_bytes - 4);
    bytes_put_u32(frame + 4, n);
    if (chain_append_bytes(out, flow_client(l->flow)->cable.mem.tx_pool, frame, frame_bytes) < 0)
        return false;
    l->puts++;
    return true;
}

static struct flow_worth answer(void *ctx, uint32_t conn, uint32_t n, const struct chain *rx,
                                uint32_t len)
{
    struct load *l = ctx;
    uint8_t body[frame_bytes];
    CU_ASSERT_EQUAL_FATAL(len, frame_bytes - 4);
    CU_ASSERT_EQUAL(bytes_get_u32(chain_peek(rx, len, body)), n);
    l->answers++;
    if (l->refuse_from && l->answers >= (uint32_t)l->refuse_from)
        return (struct flow_worth){.error = 7};
    return (struct flow_worth){.records = 1, .bytes = frame_bytes};
}

static struct result r;

static void run(struct load *l, struct flow_options o)
{
    static const struct flow_ops ops = {put, answer};
    struct slow server;
    char why[256] = "";
    slow_start(&server);
    o.host = "127.0.0.1";
    o.port = server.port;
    o.connections = 1;
    o.seed = unit_seed();
    result_init(&r, "test");
    CU_ASSERT_EQUAL_FATAL(flow_new(&l->flow, &o, &ops, l, &r, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(flow_run(l->flow, why, sizeof(why)), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
    flow_free(l->flow);
    slow_end(&server);
}

/* Twenty times what the server answers: what was due and found no room is unsent, and waited until the end. */
static void test_unsent(void)
{
    struct load l = {0};
    run(&l, (struct flow_options){.in_flight = 2, .rate = 1000, .overload = true, .seconds = 0.5});
    CU_ASSERT_EQUAL(l.answers, l.puts);
    CU_ASSERT(r.unsent > 0);
    CU_ASSERT(l.puts <= 4 + r.seconds * 1000 / pause_ms);
    /* All that was due was sent or is unsent; the first was due a moment before the window began. */
    CU_ASSERT(l.puts + r.unsent >= (uint64_t)(r.seconds * 1000));
    CU_ASSERT(r.latency.count >= r.unsent && r.latency.count <= l.puts + r.unsent);
    CU_ASSERT(r.requests <= l.puts);
    /* Half of them were due in the first half and wait still. */
    CU_ASSERT(hist_quantile(&r.latency, 0.5) > (uint64_t)(r.seconds * 1e9 / 4));
}

/* Four times what it answers, and all is sent, late: the last one's wait is most of the time that it took. */
static void test_late(void)
{
    struct load l = {0};
    run(&l, (struct flow_options){.in_flight = 1, .rate = 200, .seconds = 0.2});
    CU_ASSERT_EQUAL(r.unsent, 0);
    CU_ASSERT_EQUAL(l.answers, l.puts);
    CU_ASSERT(l.puts >= (uint32_t)(r.seconds * 200));
    CU_ASSERT(r.requests < l.puts);          /* what came after the end is in no count, */
    CU_ASSERT(r.latency.count > r.requests); /* but its wait is in the latency */
    CU_ASSERT(r.latency.count <= l.puts);
    uint64_t last_due_ns = (uint64_t)(r.seconds * 1e9);
    CU_ASSERT(r.latency.max + 50000000 > (uint64_t)l.puts * pause_ms * 1000000 - last_due_ns);
}

/* A machine that stands still takes a short window whole: then a longer one. */
#define windows_max_s 60.0

/* A closed loop has nothing unsent, and never more under way than its window. */
static void test_closed(void)
{
    struct load l;
    double seconds = 0.2;
    do {
        l = (struct load){0};
        run(&l, (struct flow_options){.in_flight = 3, .seconds = seconds});
    } while (r.latency.count == 0 && (seconds *= 4) < windows_max_s);
    CU_ASSERT_EQUAL(r.unsent, 0);
    CU_ASSERT_EQUAL(l.answers, l.puts);
    CU_ASSERT(r.requests + 3 >= l.puts);
    CU_ASSERT(r.latency.max >= pause_ms * 1000000);
}

/* An error is no request that was served, in neither the counts nor the latency. */
static void test_errors_count_apart(void)
{
    struct load l;
    double seconds = 0.3;
    do {
        l = (struct load){.refuse_from = 3};
        run(&l, (struct flow_options){.in_flight = 1, .seconds = seconds});
    } while (l.answers <= 3 && (seconds *= 4) < windows_max_s);
    CU_ASSERT(l.answers > 3);
    CU_ASSERT_EQUAL(r.errors, l.answers - 2);
    CU_ASSERT_EQUAL(result_errors_of(&r, 7), r.errors);
    CU_ASSERT_EQUAL(r.requests, 2);
    CU_ASSERT_EQUAL(r.latency.count, 2);
}

int main(void)
{
    static const struct unit_case cases[] = {UNIT_CASE(test_unsent), UNIT_CASE(test_late),
                                             UNIT_CASE(test_closed),
                                             UNIT_CASE(test_errors_count_apart)};
    with_eal(cable_eal_mb(NULL, 1));
    return unit_run("bench/flow", cases, sizeof(cases) / sizeof(*cases));
}
