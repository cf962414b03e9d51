#include "tests/unit/dataplane/kafka/rig.h"

#include <netinet/in.h>
#include <rte_mempool.h>
#include <string.h>

#include "base/check.h"
#include "dataplane/kafka/reply.h"
#include "tests/unit/core/with_eal.h"

#define settle_rounds_max 10000
#define control_index     (shard_count_max + 1)
#define rig_conns_max     1024
#define client_room       (16 * KIB)

/* ---- control's double ---- */

static void answer_forward(struct rig *g, struct forward *f)
{
    if (g->close_forwards) {
        f->close = true;
    } else {
        struct writer w;
        struct mem *mem = &g->shards[0].shard.mem;
        reply_begin(&w, mem->tx_pool, mem->ref_pool, f->api_key, f->api_version, f->correlation_id);
        writer_i32(&w, (int32_t)f->body.bytes);
        CHECK(reply_end(&w, &f->reply) == 0);
    }
    call_finish(&f->call);
}

static struct rig *the_rig; /* control's run function has no context */

/* ---- transports ---- */

struct transport_kind {
    const char *name;
    const struct filter_mark *mark; /* NULL: no filter */
};

static const struct filter_mark rig_mark = {.key = 0x5A, .every = 100};
static const struct transport_kind kinds[] = {{"sim", NULL}, {"sim and filter", &rig_mark}};
static const struct transport_kind *kind; /* the suite that runs now */

static int take_sim(void)
{
    kind = &kinds[0];
    return 0;
}

static int take_filter(void)
{
    kind = &kinds[1];
    return 0;
}

int rig_run(const char *suite_name, const struct unit_case *cases, size_t count)
{
    static const CU_InitializeFunc take[] = {take_sim, take_filter};
    char names[2][128];
    with_eal(256);
    CHECK(CU_initialize_registry() == CUE_SUCCESS);
    for (size_t k = 0; k < 2; k++) {
        snprintf(names[k], sizeof(names[k]), "%s over %s", suite_name, kinds[k].name);
        CU_pSuite suite = CU_add_suite(names[k], take[k], NULL);
        CHECK(suite != NULL);
        for (size_t i = 0; i < count; i++)
            CHECK(CU_add_test(suite, cases[i].name, cases[i].run) != NULL);
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_ErrorCode code = CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    unsigned run = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    return code != CUE_SUCCESS || failed != 0 || run != 2 * count;
}

static void forward_run(struct call *call)
{
    struct forward *f = (struct forward *)call;
    struct rig *g = the_rig;
    g->forwarded++;
    g->last_key = f->api_key;
    g->last_version = f->api_version;
    g->last_body_bytes = f->body.bytes;
    int32_t n = f->client_id_len > 0 ? f->client_id_len : 0;
    memcpy(g->last_client, f->client_id, (size_t)n);
    g->last_client[n] = '\0';
    if (!g->hold_forwards) {
        answer_forward(g, f);
        return;
    }
    CHECK(g->forward_count < rig_forwards_max);
    g->forwards[g->forward_count++] = f;
}

static void forward_cancel(struct call *call)
{
    struct rig *g = the_rig;
    g->cancelled++;
    if (g->hold_cancels) {
        CHECK(g->cancel_count < rig_forwards_max);
        g->cancels[g->cancel_count++] = call;
        return;
    }
    call_finish(call);
}

void rig_answer_cancels(struct rig *g)
{
    for (uint32_t i = 0; i < g->cancel_count; i++)
        call_finish(g->cancels[i]);
    g->cancel_count = 0;
    agent_flush(&g->control);
}

void rig_answer_forwards(struct rig *g)
{
    for (uint32_t i = 0; i < g->forward_count; i++)
        answer_forward(g, g->forwards[i]);
    g->forward_count = 0;
    agent_flush(&g->control);
}

void rig_answer_one_forward(struct rig *g, uint32_t index)
{
    CHECK(index < g->forward_count);
    answer_forward(g, g->forwards[index]);
    g->forwards[index] = g->forwards[--g->forward_count];
    agent_flush(&g->control);
}

/* ---- shards ---- */

static void memory_up(struct rig *g, struct rig_shard *s, uint32_t index)
{
    const struct rig_options *o = &g->o;
    struct mem_plan plan = {
        .shards = g->shard_count,
        .rx_bufs = o->rx_bufs ? o->rx_bufs : 1024,
        .tx_bufs = o->tx_bufs ? o->tx_bufs : 8192,
        .ref_bufs = o->ref_bufs ? o->ref_bufs : 4096,
        .log_chunks = o->log_chunks ? o->log_chunks : 64,
        .read_chunks = 32,
        .request_bytes = o->request_bytes ? o->request_bytes : 8 * MIB,
    };
    plan.request_max = plan.request_bytes;
    struct shard_options so = {
        .index = index, .cpu = -1, .clock = &g->clock.clock, .seed = rng_u64(&g->rng)};
    CHECK(shard_init(&s->shard, &so, &plan) == 0);
    s->rx_free = rte_mempool_avail_count(s->shard.mem.rx_pool);
    s->tx_free = rte_mempool_avail_count(s->shard.mem.tx_pool);
    s->ref_free = rte_mempool_avail_count(s->shard.mem.ref_pool);
    CHECK(view_init(&s->view, index, rng_u64(&g->rng)) == 0);
}

#define pick(member, fallback) (g->o.kafka.member ? g->o.kafka.member : (fallback))

static void listen_at(struct rig *g, struct rig_shard *s, uint32_t index, uint32_t listener)
{
    uint16_t port = (uint16_t)(9092 + 100 * listener + index);
    struct sockaddr_in *a = (struct sockaddr_in *)&g->address[index][listener];
    *a = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    CHECK(sim_transport_listen(s->transport, (struct sockaddr *)a, listener, &port) == 0);
}

static void path_up(struct rig *g, struct rig_shard *s, uint32_t index)
{
    rig_logs_up(g, s);
    struct kafka_options o = g->o.kafka;
    o.shard = &s->shard;
    o.view = &s->view;
    o.cache = s->cache;
    o.control = &g->control;
    o.forward_run = forward_run;
    o.forward_cancel = forward_cancel;
    o.admission = g->admission;
    o.node_id = rig_node_id;
    o.conn_max = pick(conn_max, 256);
    o.request_slots = pick(request_slots, 512);
    o.partition_ops = pick(partition_ops, 2048);
    o.request_bytes_max = pick(request_bytes_max, s->shard.mem.request_max);
    o.reply_bytes_max = pick(reply_bytes_max, 1 * MIB);
    o.idle_ns = pick(idle_ns, 600 * CLOCK_NS_PER_S);
    o.partial_request_ns = pick(partial_request_ns, 5 * CLOCK_NS_PER_S);
    o.fetch_session_slots = pick(fetch_session_slots, 100);
    o.fetch_bytes_max = pick(fetch_bytes_max, 55 * MIB);
    CHECK(kafka_new(&s->kafka, &o) == 0);
    struct sim_transport_options to = {.net = g->sim,
                                       .mem = &s->shard.mem,
                                       .events = kafka_events(s->kafka),
                                       .conn_max = rig_conns_max};
    if (kind->mark != NULL) {
        struct filter_options fo = {.ops = &filter_mark_ops,
                                    .ctx = (void *)(uintptr_t)kind->mark,
                                    .mem = &s->shard.mem,
                                    .events = to.events,
                                    .conn_max = rig_conns_max};
        CHECK(filter_new(&s->filter, &fo) == 0);
        to.events = filter_lower_events(s->filter);
    }
    CHECK(sim_transport_new(&s->transport, &to) == 0);
    for (uint32_t i = 0; i < rig_listeners_max; i++)
        listen_at(g, s, index, i);
    CHECK(shard_stage_mailbox(&s->shard, 1000) == 0);
    CHECK(shard_stage_timers(&s->shard, 1000) == 0);
    CHECK(shard_add_stage(&s->shard, "kafka", kafka_run, s->kafka, 1000) == 0);
    if (s->filter != NULL)
        CHECK(shard_add_stage(&s->shard, "filter", filter_flush, s->filter, 1000) == 0);
}

void rig_up(struct rig *g, const struct rig_options *options)
{
    memset(g, 0, sizeof(*g));
    the_rig = g;
    if (options != NULL)
        g->o = *options;
    g->shard_count = g->o.shards ? g->o.shards : 1;
    rng_seed(&g->rng, unit_seed());
    clock_manual_init(&g->clock, 1000 * CLOCK_NS_PER_MS, 1700000000000);
    if (g->o.sim.seed == 0)
        g->o.sim.seed = rng_u64(&g->rng);
    if (g->o.sim.window_bytes == 0)
        g->o.sim.window_bytes = 1 << 20;
    CHECK(sim_new(&g->sim, &g->o.sim) == 0);
    CHECK(agent_init(&g->control, "control", control_index, 1024, NULL, NULL) == 0);
    struct admission_options ao = g->o.admission;
    ao.conn_max = ao.conn_max ? ao.conn_max : 100000;
    ao.conn_per_ip_max = ao.conn_per_ip_max ? ao.conn_per_ip_max : 100000;
    CHECK(admission_new(&g->admission, &ao) == 0);
    for (uint32_t i = 0; i < g->shard_count; i++) {
        memory_up(g, &g->shards[i], i);
        path_up(g, &g->shards[i], i);
    }
    rig_settle(g);
}

static bool step(struct rig *g)
{
    bool busy = false;
    int64_t now = g->clock.mono;
    busy |= sim_step(g->sim, now) <= now;
    for (uint32_t i = 0; i < g->shard_count; i++)
        busy |= shard_step(&g->shards[i].shard, now) <= now;
    agent_enter(&g->control);
    busy |= agent_receive(&g->control, 1000) > 0;
    agent_flush(&g->control);
    return busy;
}

/* Quiet twice in a row: what a step puts on the wire arrives in the next one. */
void rig_settle(struct rig *g)
{
    int quiet = 0;
    for (int i = 0; i < settle_rounds_max && quiet < 3; i++)
        quiet = step(g) ? 0 : quiet + 1;
}

void rig_pass(struct rig *g, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++) {
        clock_manual_advance(&g->clock, CLOCK_NS_PER_MS);
        rig_settle(g);
    }
}

/* ---- topics ---- */

static void update_done(struct call *call)
{
    struct view_update *u = (struct view_update *)call;
    struct view_topic *t = u->add != NULL ? u->add : u->remove;
    ((struct rig_topic *)t->control)->updates_done++;
}

struct rig_topic *rig_topic_add(struct rig *g, const char *name, int32_t partitions,
                                uint32_t first_shard)
{
    CHECK(g->topic_count < rig_topics_max && partitions <= 64);
    struct rig_topic *t = &g->topics[g->topic_count++];
    memset(t, 0, sizeof(*t));
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->view.id = uuid_random(&g->rng);
    t->view.name = str_from(t->name);
    t->view.partition_count = partitions;
    t->view.partitions = t->partitions;
    t->view.control = t;
    for (int32_t i = 0; i < partitions; i++) {
        struct rig_shard *s = &g->shards[(first_shard + (uint32_t)i) % g->shard_count];
        t->partitions[i] = (struct view_partition){
            .plog = rig_logs_open(g, s, t, i),
            .owner = &s->shard.agent,
            .shard = s->shard.index,
            .leader_id = rig_node_id,
        };
    }
    for (uint32_t i = 0; i < g->shard_count; i++) {
        view_update_init(&t->updates[i], &g->shards[i].view, &t->view, NULL, update_done);
        agent_call(&g->control, &g->shards[i].shard.agent, &t->updates[i].call);
    }
    agent_flush(&g->control);
    rig_settle(g);
    CHECK(t->updates_done == g->shard_count);
    return t;
}

void rig_topic_remove(struct rig *g, struct rig_topic *t)
{
    t->updates_done = 0;
    for (uint32_t i = 0; i < g->shard_count; i++) {
        view_update_init(&t->updates[i], &g->shards[i].view, NULL, &t->view, update_done);
        agent_call(&g->control, &g->shards[i].shard.agent, &t->updates[i].call);
    }
    agent_flush(&g->control);
    rig_settle(g);
}

struct plog *rig_log(struct rig_topic *t, int32_t partition)
{
    return t->partitions[partition].plog;
}

static void shard_down(struct rig *g, struct rig_shard *s)
{
    CU_ASSERT_EQUAL(kafka_counters(s->kafka)->requests_in_work, 0);
    sim_transport_free(s->transport);
    filter_free(s->filter);
    kafka_free(s->kafka);
    rig_logs_down(g, s);
    view_fini(&s->view);
    CU_ASSERT_EQUAL(s->shard.mem.requests.used, 0);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(s->shard.mem.rx_pool), s->rx_free);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(s->shard.mem.tx_pool), s->tx_free);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(s->shard.mem.ref_pool), s->ref_free);
    shard_fini(&s->shard);
}

void rig_down(struct rig *g)
{
    rig_answer_forwards(g);
    rig_answer_cancels(g);
    rig_logs_release(g);
    rig_settle(g);
    bool drained = false;
    for (int round = 0; round < 100 && !drained; round++) {
        drained = true;
        for (uint32_t i = 0; i < g->shard_count; i++)
            drained &= kafka_drain(g->shards[i].kafka);
        rig_settle(g);
    }
    CU_ASSERT(drained);
    for (uint32_t i = 0; i < g->topic_count; i++)
        for (uint32_t j = 0; j < g->shard_count; j++)
            CU_ASSERT_EQUAL(g->topics[i].view.users[j], 0);
    for (uint32_t i = 0; i < g->shard_count; i++)
        shard_down(g, &g->shards[i]);
    sim_free(g->sim);
    admission_free(g->admission);
    agent_fini(&g->control);
}

/* ---- clients ---- */

void client_up(struct rig_client *c, struct rig *g, uint32_t shard)
{
    client_up_at(c, g, shard, 0);
}

void client_up_at(struct rig_client *c, struct rig *g, uint32_t shard, uint32_t listener)
{
    *c = (struct rig_client){.g = g, .reading = true};
    arena_init(&c->arena, 64 * MIB);
    c->in_room = client_room;
    c->in = malloc(c->in_room);
    CHECK(c->in != NULL);
    CHECK(sim_connect(g->sim, (struct sockaddr *)&g->address[shard][listener], &c->sim) == 0);
    rig_settle(g);
}

void client_down(struct rig_client *c)
{
    sim_client_close(c->sim);
    rig_settle(c->g);
    chain_free(&c->answer);
    arena_free(&c->arena);
    free(c->in);
    free(c->out);
}

/* As the transform of the filter does it; with no filter a copy. Returns the bytes on the wire. */
static size_t encode(struct rig_client *c, const uint8_t *p, size_t n, uint8_t *out)
{
    size_t made = 0;
    for (size_t i = 0; i < n; i++) {
        if (kind->mark != NULL && c->tx_until == 0) {
            out[made++] = filter_mark_byte;
            c->tx_until = kind->mark->every;
        }
        c->tx_until--;
        out[made++] = kind->mark != NULL ? p[i] ^ kind->mark->key : p[i];
    }
    return made;
}

static size_t decode(struct rig_client *c, uint8_t *p, size_t n)
{
    size_t made = 0;
    bool right = true;
    for (size_t i = 0; i < n && kind->mark != NULL; i++) {
        if (c->rx_until == 0) {
            right &= p[i] == filter_mark_byte;
            c->rx_until = kind->mark->every;
            continue;
        }
        c->rx_until--;
        p[made++] = p[i] ^ kind->mark->key;
    }
    CU_ASSERT(right);
    return kind->mark != NULL ? made : n;
}

/* True when nothing waits any more. */
static bool send_out(struct rig_client *c)
{
    if (c->out_at < c->out_len)
        c->out_at += sim_client_send(c->sim, c->out + c->out_at, c->out_len - c->out_at);
    return c->out_at == c->out_len;
}

size_t client_send_some(struct rig_client *c, const void *p, size_t n)
{
    if (!send_out(c))
        return 0;
    if (c->out_room < 2 * n) {
        c->out_room = 2 * n;
        c->out = realloc(c->out, c->out_room);
        CHECK(c->out != NULL);
    }
    c->out_at = 0;
    c->out_len = encode(c, p, n, c->out);
    send_out(c);
    return n;
}

void client_send(struct rig_client *c, const void *p, size_t n)
{
    if (n == 0)
        return;
    size_t taken = client_send_some(c, p, n);
    for (int idle = 0; idle < 100 && (taken == 0 || c->out_at < c->out_len);) {
        size_t before = c->out_at;
        rig_settle(c->g);
        if (taken == 0)
            taken = client_send_some(c, p, n);
        else
            send_out(c);
        idle = c->out_at != before ? 0 : idle + 1;
    }
}

bool client_open(const struct rig_client *c)
{
    return sim_client_state(c->sim) == SIM_CLIENT_OPEN;
}

static void read_in(struct rig_client *c)
{
    for (;;) {
        if (c->in_len == c->in_room) {
            c->in_room *= 2;
            c->in = realloc(c->in, c->in_room);
            CHECK(c->in != NULL);
        }
        size_t n = sim_client_receive(c->sim, c->in + c->in_len, c->in_room - c->in_len);
        if (n == 0)
            return;
        c->in_len += decode(c, c->in + c->in_len, n);
        rig_settle(c->g);
    }
}

int64_t client_take(struct rig_client *c)
{
    if (c->reading)
        read_in(c);
    chain_free(&c->answer);
    if (c->in_len < 4)
        return -1;
    uint32_t n = bytes_get_u32(c->in);
    if (c->in_len - 4 < n)
        return -1;
    CHECK(chain_append_bytes(&c->answer, c->g->shards[0].shard.mem.rx_pool, c->in + 4, n) == 0);
    memmove(c->in, c->in + 4 + n, c->in_len - 4 - n);
    c->in_len -= 4 + n;
    return n;
}

bool client_answer(struct rig_client *c, int16_t key, int16_t version, int32_t correlation,
                   struct reader *rd)
{
    int32_t got = 0;
    if (client_take(c) < 0)
        return false;
    reader_init_chain(rd, &c->answer);
    arena_reset(&c->arena);
    CU_ASSERT_EQUAL(proto_response_header_decode(&got, rd, key, version), 0);
    CU_ASSERT_EQUAL(got, correlation);
    return true;
}

struct wire wire_request(struct rig *g, int16_t key, int16_t version, int32_t correlation,
                         struct str client_id, const void *message, wire_encode *put)
{
    struct writer w;
    struct chain out = {0};
    struct proto_request_header h = {key, version, correlation, client_id};
    writer_init(&w, g->shards[0].shard.mem.rx_pool);
    struct writer_frame frame = writer_frame_begin(&w);
    proto_request_header_encode(&h, &w);
    if (put != NULL)
        CHECK(put(message, &w, version) == 0);
    writer_frame_end(&w, frame);
    CHECK(writer_finish(&w, &out) == 0);
    struct wire wire = {malloc(out.bytes), out.bytes};
    CHECK(wire.p != NULL);
    chain_copy_out(&out, 0, wire.p, wire.n);
    chain_free(&out);
    return wire;
}

void wire_free(struct wire *w)
{
    free(w->p);
    w->p = NULL;
}

bool client_take_produce(struct rig_client *c, int16_t version, int32_t correlation,
                         struct produce_response *out)
{
    struct reader rd;
    if (!client_answer(c, API_Produce, version, correlation, &rd))
        return false;
    CU_ASSERT_EQUAL_FATAL(produce_response_decode(out, &rd, version, &c->arena), 0);
    CU_ASSERT_EQUAL(reader_left(&rd), 0);
    return true;
}

bool client_take_fetch(struct rig_client *c, int16_t version, int32_t correlation,
                       struct fetch_response *out)
{
    struct reader rd;
    if (!client_answer(c, API_Fetch, version, correlation, &rd))
        return false;
    CU_ASSERT_EQUAL_FATAL(fetch_response_decode(out, &rd, version, &c->arena), 0);
    CU_ASSERT_EQUAL(reader_left(&rd), 0);
    return true;
}

static void send_wire(struct rig_client *c, struct wire w)
{
    client_send(c, w.p, w.n);
    wire_free(&w);
    rig_settle(c->g);
}

bool client_produce(struct rig_client *c, int16_t version, const struct produce_request *q,
                    struct produce_response *out)
{
    send_wire(c, wire_of(c->g, produce, API_Produce, version, ++c->correlation, q));
    return client_take_produce(c, version, c->correlation, out);
}

bool client_fetch(struct rig_client *c, int16_t version, const struct fetch_request *q,
                  struct fetch_response *out)
{
    send_wire(c, wire_of(c->g, fetch, API_Fetch, version, ++c->correlation, q));
    return client_take_fetch(c, version, c->correlation, out);
}

bool client_list(struct rig_client *c, int16_t version, const struct list_offsets_request *q,
                 struct list_offsets_response *out)
{
    struct reader rd;
    send_wire(c, wire_of(c->g, list_offsets, API_ListOffsets, version, ++c->correlation, q));
    if (!client_answer(c, API_ListOffsets, version, c->correlation, &rd))
        return false;
    CU_ASSERT_EQUAL_FATAL(list_offsets_response_decode(out, &rd, version, &c->arena), 0);
    CU_ASSERT_EQUAL(reader_left(&rd), 0);
    return true;
}

/* ---- requests ---- */

void one_produce_up(struct one_produce *o, struct rig *g, const struct rig_topic *t,
                    int32_t partition, int16_t acks, const void *records, uint32_t n)
{
    memset(o, 0, sizeof(*o));
    produce_request_init(&o->request);
    produce_request_topic_init(&o->topic);
    produce_request_partition_init(&o->partition);
    CHECK(chain_append_bytes(&o->records, g->shards[0].shard.mem.rx_pool, records, n) == 0);
    o->partition.index = partition;
    o->partition.records = proto_records_of(&o->records);
    o->topic.name = t->view.name;
    o->topic.topic_id = t->view.id;
    o->topic.partition_data = &o->partition;
    o->topic.n_partition_data = 1;
    o->request.acks = acks;
    o->request.timeout_ms = 1000;
    o->request.topic_data = &o->topic;
    o->request.n_topic_data = 1;
}

void one_produce_down(struct one_produce *o)
{
    chain_free(&o->records);
}

void one_fetch_up(struct one_fetch *o, const struct rig_topic *t, int32_t partition, int64_t offset,
                  int32_t max_wait_ms, int32_t min_bytes)
{
    memset(o, 0, sizeof(*o));
    fetch_request_init(&o->request);
    fetch_request_topic_init(&o->topic);
    fetch_request_partition_init(&o->partition);
    o->partition.partition = partition;
    o->partition.fetch_offset = offset;
    o->partition.partition_max_bytes = 1 << 20;
    o->topic.topic = t->view.name;
    o->topic.topic_id = t->view.id;
    o->topic.partitions = &o->partition;
    o->topic.n_partitions = 1;
    o->request.max_wait_ms = max_wait_ms;
    o->request.min_bytes = min_bytes;
    o->request.max_bytes = 50 << 20;
    o->request.topics = &o->topic;
    o->request.n_topics = 1;
}
