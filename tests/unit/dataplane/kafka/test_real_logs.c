/*
 * The whole path on real logs and a simulated disk: what clients were told is in the log, byte for
 * byte, is fetched back so, and nothing else; with little log memory, so that appends park and old
 * batches are read from the disk; on one and on two shards.
 */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

#define clients_max    6
#define partitions_max 4
#define acked_max      4000
#define under_way_max  8

/* A batch that was acknowledged: where, how long, and a checksum of what clients sent. */
struct acked {
    int64_t base;
    int32_t partition, records;
    uint32_t len, sum;
};

static struct rig rig;
static struct rig_topic *topic;
static struct acked acked[acked_max];
static uint32_t acked_count;
static uint8_t batch[rig_batch_bytes_max];

/* Of everything behind the fields that the log itself sets (offset, epoch). */
static uint32_t sum_of(const uint8_t *p, uint32_t n)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 16; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

struct writer_client {
    struct rig_client client;
    struct acked under_way[under_way_max];
    int32_t sent, answered;
};

static void up(uint32_t shards, enum plog_durability durability, uint32_t chunks)
{
    struct rig_options o = {.shards = shards,
                            .durability = durability,
                            .log_chunks = chunks,
                            .rx_bufs = 2048,
                            .sim = {.delivery = SIM_RANDOM}};
    acked_count = 0;
    rig_up(&rig, &o);
    topic = rig_topic_add(&rig, "events", partitions_max, 0);
}

static void write_some(struct writer_client *w, uint32_t body_max)
{
    if (w->sent - w->answered == under_way_max)
        return;
    struct acked *a = &w->under_way[w->sent % under_way_max];
    struct one_produce o;
    a->records = 1 + (int32_t)rng_below(&rig.rng, 20);
    a->partition = (int32_t)rng_below(&rig.rng, partitions_max);
    a->len =
        rig_batch(&rig, batch, a->records, 100 + (uint32_t)rng_below(&rig.rng, body_max), 1000);
    a->sum = sum_of(batch, a->len);
    one_produce_up(&o, &rig, topic, a->partition, -1, batch, a->len);
    struct wire wire = wire_of(&rig, produce, API_Produce, 9, w->sent, &o.request);
    one_produce_down(&o);
    client_send(&w->client, wire.p, wire.n);
    wire_free(&wire);
    w->sent++;
}

static void take_acks(struct writer_client *w)
{
    struct produce_response r;
    while (client_take_produce(&w->client, 9, w->answered, &r)) {
        const struct produce_response_partition *p = &r.responses[0].partition_responses[0];
        struct acked a = w->under_way[w->answered % under_way_max];
        CU_ASSERT_EQUAL_FATAL(p->error_code, 0);
        CU_ASSERT_EQUAL(p->index, a.partition);
        CU_ASSERT_FATAL(acked_count < acked_max);
        a.base = p->base_offset;
        acked[acked_count++] = a;
        w->answered++;
    }
}

/* Every batch of these records is one that was acknowledged there; the last may be cut. Returns the
 * next offset. */
static int64_t check_records(int32_t partition, int64_t offset, struct proto_records records)
{
    static uint8_t bytes[2 << 20];
    uint32_t n = records.view.len;
    CU_ASSERT_FATAL(n <= sizeof(bytes));
    if (n > 0)
        chain_view_copy(records.view, bytes, n);
    for (uint32_t at = 0; n - at >= 61;) {
        uint32_t len = bytes_get_u32(bytes + at + 8) + 12;
        if (len > n - at)
            break;
        CU_ASSERT_EQUAL(bytes_get_i64(bytes + at), offset);
        const struct acked *found = NULL;
        for (uint32_t i = 0; i < acked_count && found == NULL; i++)
            if (acked[i].partition == partition && acked[i].base == offset)
                found = &acked[i];
        CU_ASSERT_PTR_NOT_NULL_FATAL(found);
        CU_ASSERT(found->len == len && found->sum == sum_of(bytes + at, len));
        offset += found->records;
        at += len;
    }
    return offset;
}

/* All partitions from their start, over one conn. */
static void read_all_back(uint32_t shard, int32_t max_bytes)
{
    struct rig_client c;
    int64_t total = 0, want = 0;
    client_up(&c, &rig, shard);
    for (int32_t i = 0; i < partitions_max; i++) {
        int64_t offset = 0, end = 1;
        while (offset < end) {
            struct one_fetch o;
            struct fetch_response r;
            one_fetch_up(&o, topic, i, offset, 0, 1);
            o.partition.partition_max_bytes = max_bytes;
            struct wire w = wire_of(&rig, fetch, API_Fetch, 12, ++c.correlation, &o.request);
            client_send(&c, w.p, w.n);
            wire_free(&w);
            bool ok = false;
            for (int j = 0; j < 2000 && !(ok = client_take_fetch(&c, 12, c.correlation, &r)); j++)
                rig_pass(&rig, 1);
            CU_ASSERT_FATAL(ok);
            const struct fetch_response_partition *p = &r.responses[0].partitions[0];
            CU_ASSERT_EQUAL_FATAL(p->error_code, 0);
            end = p->high_watermark;
            int64_t next = check_records(i, offset, p->records);
            CU_ASSERT_FATAL(next > offset || end == offset);
            offset = next;
        }
        total += offset;
    }
    for (uint32_t i = 0; i < acked_count; i++)
        want += acked[i].records;
    CU_ASSERT_EQUAL(total, want);
    client_down(&c);
}

static void write_and_read(uint32_t shards, enum plog_durability durability, uint32_t chunks,
                           int rounds, uint32_t body_max)
{
    static struct writer_client w[clients_max];
    up(shards, durability, chunks);
    memset(w, 0, sizeof(w));
    for (uint32_t i = 0; i < clients_max; i++)
        client_up(&w[i].client, &rig, i % shards);
    for (int round = 0; round < rounds; round++) {
        struct writer_client *c = &w[rng_below(&rig.rng, clients_max)];
        write_some(c, body_max);
        if (rng_below(&rig.rng, 3) == 0)
            rig_pass(&rig, 1);
        for (int i = 0; i < clients_max; i++)
            take_acks(&w[i]);
    }
    for (int i = 0; i < clients_max; i++) {
        for (int j = 0; j < 5000 && w[i].answered < w[i].sent; j++) {
            rig_pass(&rig, 1);
            take_acks(&w[i]);
        }
        CU_ASSERT_EQUAL(w[i].answered, w[i].sent);
        client_down(&w[i].client);
    }
    CU_ASSERT(acked_count > (uint32_t)rounds / 2);
    for (uint32_t i = 0; i < shards; i++)
        read_all_back(i, i == 0 ? 1 << 20 : 20000);
    rig_down(&rig);
}

static void durable(void)
{
    write_and_read(1, PLOG_FSYNC, 64, 250, 3000);
}

static void with_the_system(void)
{
    write_and_read(1, PLOG_OS, 64, 250, 3000);
}

static void two_shards(void)
{
    write_and_read(2, PLOG_FSYNC, 64, 300, 20000);
}

/* Less log memory than is written: appends park, and what is old comes from the disk. */
static void little_memory(void)
{
    write_and_read(1, PLOG_FSYNC, 24, 300, 60000);
    write_and_read(2, PLOG_OS, 24, 300, 60000);
}

/* Consumers that wait at the end get every batch, in order, while others write. */
static void tailing(void)
{
    static struct writer_client w;
    struct rig_client reader[2];
    int64_t at[2] = {0};
    bool asked[2] = {false};
    up(2, PLOG_FSYNC, 64);
    memset(&w, 0, sizeof(w));
    client_up(&w.client, &rig, 0);
    for (uint32_t i = 0; i < 2; i++)
        client_up(&reader[i], &rig, i);
    for (int round = 0; round < 900; round++) {
        if (rng_below(&rig.rng, 3) == 0)
            write_some(&w, 2000);
        rig_pass(&rig, (int64_t)rng_below(&rig.rng, 2));
        take_acks(&w);
        for (int i = 0; i < 2; i++) {
            struct one_fetch o;
            struct fetch_response r;
            if (!asked[i]) {
                one_fetch_up(&o, topic, 1, at[i], (int32_t)rng_below(&rig.rng, 20), 1);
                struct wire wire =
                    wire_of(&rig, fetch, API_Fetch, 12, ++reader[i].correlation, &o.request);
                client_send(&reader[i], wire.p, wire.n);
                wire_free(&wire);
                asked[i] = true;
            }
            if (client_take_fetch(&reader[i], 12, reader[i].correlation, &r)) {
                /* Its acks may be behind what a reader sees by the time of their way. */
                for (int j = 0; j < 50 && w.answered < w.sent; j++) {
                    rig_pass(&rig, 1);
                    take_acks(&w);
                }
                at[i] = check_records(1, at[i], r.responses[0].partitions[0].records);
                asked[i] = false;
            }
        }
    }
    CU_ASSERT(at[0] > 100 && at[1] > 100);
    client_down(&w.client);
    for (int i = 0; i < 2; i++)
        client_down(&reader[i]);
    rig_down(&rig);
}

/* What a log refuses travels back as Kafka says it. */
static void refused(void)
{
    struct rig_client c;
    struct produce_response r;
    struct one_produce o;
    up(1, PLOG_FSYNC, 64);
    client_up(&c, &rig, 0);
    uint32_t n = rig_batch(&rig, batch, 3, 500, 1000);
    batch[100] ^= 1;
    one_produce_up(&o, &rig, topic, 0, 1, batch, n);
    struct wire w = wire_of(&rig, produce, API_Produce, 9, 1, &o.request);
    client_send(&c, w.p, w.n);
    rig_pass(&rig, 50);
    CU_ASSERT_FATAL(client_take_produce(&c, 9, 1, &r));
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code, KERR_CORRUPT_MESSAGE);
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].base_offset, -1);
    wire_free(&w);
    one_produce_down(&o);
    client_down(&c);
    rig_down(&rig);
}

RIG_MAIN("dataplane/kafka/real_logs", UNIT_CASE(refused), UNIT_CASE(durable),
         UNIT_CASE(with_the_system), UNIT_CASE(two_shards), UNIT_CASE(little_memory),
         UNIT_CASE(tailing))
