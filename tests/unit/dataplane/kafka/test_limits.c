/* The limits of connections: in all, of a listener, of an address; and changes while they hold. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/dataplane/kafka/kinds.h"

#define many 12

static struct rig rig;
static struct rig_client c[many];

static void up(const struct admission_options *a, uint32_t shards)
{
    struct rig_options o = {.admission = *a, .shards = shards};
    log_set_level(LOG_LEVEL_ERROR);
    rig_up(&rig, &o);
    rig_topic_add(&rig, "events", 1, 0);
}

static void connect_at(uint32_t from, uint32_t to, uint32_t shard, uint32_t listener)
{
    for (uint32_t i = from; i < to; i++) {
        client_up_at(&c[i], &rig, shard, listener);
        rig_pass(&rig, 1);
    }
}

static void leave(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        client_down(&c[i]);
    rig_pass(&rig, 1);
}

static uint32_t open_of(uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += client_open(&c[i]);
    return n;
}

static void set(const struct admission_options *a)
{
    CU_ASSERT_EQUAL(admission_set(rig.admission, a), 0);
    rig_pass(&rig, 2);
}

static uint32_t conns_now(void)
{
    return kafka_counters(rig.shards[0].kafka)->conns;
}

/* A sign of life. */
static void speak(uint32_t i)
{
    struct wire w = kind_list(&rig, &rig.topics[0], 3);
    rig_pass(&rig, 200); /* activity is noted at a coarse grain */
    client_send(&c[i], w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&c[i], KIND_LIST, 3));
}

static void in_all_and_per_address(void)
{
    struct rig_options o = {.admission = {.conn_max = 5, .conn_per_ip_max = 3}};
    rig_up(&rig, &o);
    for (int i = 0; i < 6; i++)
        client_up(&c[i], &rig, 0);
    CU_ASSERT_EQUAL(conns_now(), 3); /* all clients of the rig have one address */
    for (int i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(client_open(&c[i]), i < 3);
    client_down(&c[0]);
    rig_pass(&rig, 1);
    client_up(&c[0], &rig, 0);
    CU_ASSERT(client_open(&c[0]));
    for (int i = 0; i < 6; i++)
        client_down(&c[i]);
    rig_down(&rig);
    o = (struct rig_options){.kafka.conn_max = 2};
    rig_up(&rig, &o);
    for (int i = 0; i < 3; i++)
        client_up(&c[i], &rig, 0);
    CU_ASSERT(client_open(&c[1]) && !client_open(&c[2]));
    for (int i = 0; i < 3; i++)
        client_down(&c[i]);
    rig_down(&rig);
}

/* At the limit of a listener, while another one has room. */
static void of_a_listener(void)
{
    struct admission_options a = {
        .conn_max = 6, .conn_per_ip_max = 100, .listener_max = {2, 5}, .listener_count = 2};
    up(&a, 1);
    connect_at(0, 3, 0, 0);
    CU_ASSERT(client_open(&c[1]) && !client_open(&c[2]));
    connect_at(3, 9, 0, 1);
    CU_ASSERT_EQUAL(open_of(3, 9), 4); /* six in all */
    leave(0, 1);
    connect_at(0, 1, 0, 0);
    CU_ASSERT(client_open(&c[0]));
    a.conn_max = 100;
    set(&a);
    connect_at(9, 11, 0, 1);
    CU_ASSERT_EQUAL(open_of(9, 11), 1); /* five there */
    a.listener_max[0] = 0;
    set(&a);
    CU_ASSERT_EQUAL(open_of(0, 2), 2); /* those that are there stay, as in Kafka */
    connect_at(11, 12, 0, 0);
    CU_ASSERT(!client_open(&c[11]));
    leave(0, 12);
    rig_down(&rig);
}

static void of_an_address(void)
{
    struct admission_override own[2] = {
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, 0},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, 4}};
    struct admission_options a = {
        .conn_max = 100, .conn_per_ip_max = 2, .overrides = own, .override_count = 2};
    up(&a, 1);
    connect_at(0, 6, 0, 0);
    CU_ASSERT_EQUAL(open_of(0, 6), 4);
    own[1].conn_max = 1000; /* the admission has a copy */
    leave(0, 1);
    connect_at(0, 1, 0, 0);
    connect_at(6, 7, 0, 0);
    CU_ASSERT(client_open(&c[0]) && !client_open(&c[6]));
    a.override_count = 1; /* lower: nobody is closed, nobody is let in */
    set(&a);
    CU_ASSERT_EQUAL(open_of(0, 6), 4);
    leave(0, 3);
    connect_at(0, 1, 0, 0);
    CU_ASSERT(client_open(&c[0]) && client_open(&c[3]));
    connect_at(1, 2, 0, 0);
    CU_ASSERT(!client_open(&c[1]));
    leave(0, 2);
    leave(3, 7);
    a.conn_per_ip_max = 0; /* none but from the addresses named */
    a.override_count = 2;
    own[1].conn_max = 1;
    set(&a);
    connect_at(0, 2, 0, 0);
    CU_ASSERT_EQUAL(open_of(0, 2), 1);
    own[1].conn_max = 0;
    set(&a);
    leave(0, 2);
    connect_at(0, 1, 0, 0);
    CU_ASSERT(!client_open(&c[0]));
    leave(0, 1);
    a.override_count = admission_overrides_max + 1;
    CU_ASSERT_EQUAL(admission_set(rig.admission, &a), ERR_TOO_LARGE);
    a.override_count = 0;
    a.listener_count = admission_listeners_max + 1;
    CU_ASSERT_EQUAL(admission_set(rig.admission, &a), ERR_TOO_LARGE);
    rig_down(&rig);
}

/* Lowered: those that were silent longest go, whatever they wait for. */
static void lowered(void)
{
    struct admission_options a = {.conn_max = 8, .conn_per_ip_max = 100};
    up(&a, 1);
    connect_at(0, 8, 0, 0);
    struct wire w = kind_fetch(&rig, &rig.topics[0], 1, 100000);
    client_send(&c[7], w.p, w.n); /* waits, and has said nothing since */
    client_send(&c[6], w.p, w.n / 2);
    wire_free(&w);
    for (uint32_t i = 0; i < 5; i++)
        speak(i);
    a.conn_max = 3;
    set(&a);
    CU_ASSERT_EQUAL(conns_now(), 8); /* those that go count until their ends have come */
    for (uint32_t i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(client_open(&c[i]), i >= 2 && i < 5);
    connect_at(8, 9, 0, 0);
    CU_ASSERT(!client_open(&c[8]));
    leave(5, 9);
    leave(0, 2);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 0);
    CU_ASSERT_EQUAL(admission_excess(rig.admission), 0);
    a.conn_max = 4;
    set(&a);
    connect_at(0, 2, 0, 0);
    CU_ASSERT(client_open(&c[0]) && !client_open(&c[1]));
    a.conn_max = 0;
    set(&a);
    CU_ASSERT_EQUAL(open_of(0, 5), 0);
    leave(0, 5);
    rig_down(&rig);
}

/* Kafka's rule for the listener between brokers: the others make room for it. */
static void protected_listener(void)
{
    struct admission_options a = {
        .conn_max = 4, .conn_per_ip_max = 100, .protects_listener = true, .protected_listener = 1};
    up(&a, 1);
    connect_at(0, 5, 0, 0);
    CU_ASSERT_EQUAL(open_of(0, 5), 4);
    connect_at(5, 7, 0, 1);
    CU_ASSERT_EQUAL(open_of(5, 7), 2);
    CU_ASSERT(!client_open(&c[0]) && !client_open(&c[1]) && client_open(&c[2]));
    leave(0, 2);
    connect_at(7, 12, 0, 1);
    CU_ASSERT_EQUAL(open_of(0, 5), 0);
    CU_ASSERT_EQUAL(open_of(5, 12), 7); /* more than the limit: nobody is left to go */
    CU_ASSERT_EQUAL(admission_excess(rig.admission), 0);
    connect_at(0, 1, 0, 0);
    CU_ASSERT(!client_open(&c[0]));
    leave(0, 1);
    leave(2, 12);
    rig_down(&rig);
}

/* The limit holds over all shards, also one that falls. */
static void over_shards(void)
{
    struct admission_options a = {.conn_max = 7, .conn_per_ip_max = 100};
    up(&a, 2);
    connect_at(0, 5, 0, 0);
    connect_at(5, 10, 1, 0);
    CU_ASSERT_EQUAL(open_of(0, 5), 5);
    CU_ASSERT_EQUAL(open_of(5, 10), 2);
    a.conn_max = 1;
    set(&a);
    CU_ASSERT_EQUAL(open_of(0, 10), 1);
    leave(0, 10);
    CU_ASSERT_EQUAL(admission_excess(rig.admission), 0);
    a.conn_max = 12;
    set(&a);
    connect_at(0, 6, 0, 0);
    connect_at(6, 12, 1, 0);
    a.conn_max = 4; /* each shard closes its part */
    set(&a);
    CU_ASSERT(open_of(0, 6) == 2 && open_of(6, 12) == 2);
    CU_ASSERT(client_open(&c[5]) && client_open(&c[11]));
    leave(0, 12);
    a.conn_max = 1;
    set(&a);
    connect_at(0, 2, 1, 0);
    CU_ASSERT_EQUAL(open_of(0, 2), 1);
    leave(0, 2);
    rig_down(&rig);
}

RIG_MAIN("dataplane/kafka/limits", UNIT_CASE(in_all_and_per_address), UNIT_CASE(of_a_listener),
         UNIT_CASE(of_an_address), UNIT_CASE(lowered), UNIT_CASE(protected_listener),
         UNIT_CASE(over_shards))
