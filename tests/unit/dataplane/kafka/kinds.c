#include "tests/unit/dataplane/kafka/kinds.h"

static struct wire produce_wire(struct rig *g, const struct rig_topic *t, int32_t correlation,
                                uint32_t body_bytes, int16_t acks)
{
    static uint8_t batch[rig_batch_bytes_max];
    struct one_produce o;
    uint32_t n = rig_batch(g, batch, 1, body_bytes, 1000);
    one_produce_up(&o, g, t, 0, acks, batch, n);
    struct wire w = wire_of(g, produce, API_Produce, 9, correlation, &o.request);
    one_produce_down(&o);
    return w;
}

struct wire kind_produce(struct rig *g, const struct rig_topic *t, int32_t correlation,
                         uint32_t body_bytes)
{
    return produce_wire(g, t, correlation, body_bytes, 1);
}

struct wire kind_silent(struct rig *g, const struct rig_topic *t, int32_t correlation,
                        uint32_t body_bytes)
{
    return produce_wire(g, t, correlation, body_bytes, 0);
}

struct wire kind_fetch(struct rig *g, const struct rig_topic *t, int32_t correlation,
                       int32_t max_wait_ms)
{
    struct one_fetch o;
    one_fetch_up(&o, t, 0, 0, max_wait_ms, max_wait_ms > 0 ? 1 << 24 : 0);
    return wire_of(g, fetch, API_Fetch, 12, correlation, &o.request);
}

struct wire kind_list(struct rig *g, const struct rig_topic *t, int32_t correlation)
{
    struct list_offsets_request_partition p = {0, -1, -1};
    struct list_offsets_request_topic x = {t->view.name, &p, 1};
    struct list_offsets_request q = {.replica_id = -1, .topics = &x, .n_topics = 1};
    return wire_of(g, list_offsets, API_ListOffsets, 7, correlation, &q);
}

struct wire kind_other(struct rig *g, int32_t correlation)
{
    return wire_request(g, API_Metadata, 1, correlation, STR(kind_client), NULL, NULL);
}

struct wire kind_wire(struct rig *g, const struct rig_topic *t, int kind, int32_t correlation)
{
    return kind == KIND_PRODUCE ? kind_produce(g, t, correlation, 200)
           : kind == KIND_FETCH ? kind_fetch(g, t, correlation, 0)
           : kind == KIND_LIST  ? kind_list(g, t, correlation)
                                : kind_other(g, correlation);
}

bool kind_expect(struct rig_client *c, int kind, int32_t correlation)
{
    static const int16_t keys[] = {API_Produce, API_Fetch, API_ListOffsets, API_Metadata};
    static const int16_t versions[] = {9, 12, 7, 1};
    struct reader rd;
    return client_answer(c, keys[kind], versions[kind], correlation, &rd);
}
