/* Records of classic groups and offsets against bytes that Kafka's own classes made. */
#include <ctype.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/unit/control/group/rig.h"
#include "tests/unit/unit.h"

#define bytes_max 4096

struct golden {
    char name[32];
    int version;
    uint8_t key[bytes_max], value[bytes_max];
    size_t key_len, value_len;
};

static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = 0;
    unsigned byte;
    for (; isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]); text += 2) {
        CHECK(sscanf(text, "%2x", &byte) == 1 && n < bytes_max);
        out[n++] = (uint8_t)byte;
    }
    return n;
}

/* Calls fn for each line; returns how many. */
static int each_golden(void (*fn)(const struct golden *))
{
    static struct golden g;
    static char line[4 * bytes_max], key[2 * bytes_max], value[2 * bytes_max];
    FILE *f = fopen(TEST_DIR "/classic_records.txt", "r");
    int n = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            continue;
        CHECK(sscanf(line, "%31s %d %8191s %8191s", g.name, &g.version, key, value) == 4);
        g.key_len = unhex(key, g.key);
        g.value_len = unhex(value, g.value);
        fn(&g);
        n++;
    }
    fclose(f);
    return n;
}

static int replay(struct rig *r, const struct golden *g)
{
    return coordinator_replay(r->c, g->key, g->key_len, g->value, g->value_len, -1);
}

static const struct offset_fetch_response_group_partition *fetch(struct rig *r)
{
    struct rig_call *call = rig_call(r, API_OffsetFetch, 8);
    int32_t partition = 3;
    struct offset_fetch_request_group_topic t = {STR("t0"), UUID_ZERO, &partition, 1};
    struct offset_fetch_request_group req = {.group_id = STR("g"), .topics = &t, .n_topics = 1};
    coordinator_offset_fetch(r->c, &call->call, &req, false, r->now);
    rig_pump(r);
    return ((struct offset_fetch_response_group *)call->call.response)->topics[0].partitions;
}

static void check_offset(const struct golden *g)
{
    struct rig r;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(replay(&r, g), 0);
    const struct offset_fetch_response_group_partition *p = fetch(&r);
    bool plain = strcmp(g->name, "offset-plain") == 0;
    CU_ASSERT_EQUAL(p->committed_offset, plain ? 7 : 1234567890123);
    CU_ASSERT_EQUAL(p->committed_leader_epoch, g->version >= 3 && !plain ? 5 : -1);
    CU_ASSERT_TRUE(str_eqz(p->metadata, plain ? "" : "note \xc3\xbc"));
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Empty");
    rig_free(&r);
}

static void check_group(const struct golden *g)
{
    struct rig r;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(replay(&r, g), 0);
    coordinator_loaded(r.c, r.now);
    struct rig_call *call = rig_call(&r, API_DescribeGroups, 5);
    coordinator_describe(r.c, &call->call, STR("g"), r.now);
    rig_pump(&r);
    const struct describe_groups_response_group *d = call->call.response;
    if (strcmp(g->name, "group-empty") == 0) {
        CU_ASSERT_TRUE(str_eqz(d->group_state, "Empty"));
        CU_ASSERT_EQUAL(d->n_members, 0);
    } else {
        CU_ASSERT_TRUE(str_eqz(d->group_state, "Stable"));
        CU_ASSERT_TRUE(str_eqz(d->protocol_data, "range"));
        CU_ASSERT_EQUAL_FATAL(d->n_members, 2);
        CU_ASSERT_TRUE(str_eqz(d->members[1].member_id, "m2"));
        CU_ASSERT_EQUAL(str_eqz(d->members[1].group_instance_id, "i2"), g->version >= 3);
        CU_ASSERT_TRUE(str_eqz(d->members[1].client_host, "/127.0.0.1"));
        CU_ASSERT_EQUAL(d->members[1].member_metadata.len, 14);
        CU_ASSERT_EQUAL(d->members[1].member_assignment.p[0], 2);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", STR("m1"), 3), 0);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", STR("m1"), 2), KERR_ILLEGAL_GENERATION);
    }
    rig_free(&r);
}

static void check_read(const struct golden *g)
{
    if (strncmp(g->name, "offset", 6) == 0)
        check_offset(g);
    else
        check_group(g);
}

/* Every version is read. */
static void test_read(void)
{
    CU_ASSERT_EQUAL(each_golden(check_read), 12);
}

/* A record that is cut anywhere, or has a byte changed, is refused or read: never worse. */
static void check_damage(const struct golden *g)
{
    for (size_t cut = 0; cut < g->value_len; cut++) {
        struct rig r;
        rig_init(&r, 1);
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, g->value, cut);
        int rc = coordinator_replay(r.c, g->key, g->key_len, exact, cut, -1);
        CU_ASSERT_TRUE(rc == ERR_MALFORMED);
        free(exact);
        rig_free(&r);
    }
    for (size_t cut = 0; cut < g->key_len; cut++) {
        struct rig r;
        rig_init(&r, 1);
        CU_ASSERT_EQUAL(coordinator_replay(r.c, g->key, cut, g->value, g->value_len, -1),
                        ERR_MALFORMED);
        rig_free(&r);
    }
    for (size_t at = 0; at < g->value_len; at++) {
        struct rig r;
        rig_init(&r, 1);
        uint8_t *copy = malloc(g->value_len);
        memcpy(copy, g->value, g->value_len);
        copy[at] ^= 0xff;
        int rc = coordinator_replay(r.c, g->key, g->key_len, copy, g->value_len, -1);
        CU_ASSERT_TRUE(rc == 0 || rc == ERR_MALFORMED || rc == ERR_UNSUPPORTED);
        coordinator_loaded(r.c, r.now);
        rig_pump(&r);
        rig_pass(&r, 100);
        free(copy);
        rig_free(&r);
    }
}

static void test_damage(void)
{
    each_golden(check_damage);
    struct rig r;
    rig_init(&r, 1);
    const uint8_t unknown[] = {0, 99, 1, 2};
    CU_ASSERT_EQUAL(coordinator_replay(r.c, unknown, 4, unknown, 4, -1), ERR_UNSUPPORTED);
    rig_free(&r);
}

static const struct golden *wanted;
static bool found;

static int compare_record(void *ctx, const struct group_record *record)
{
    (void)ctx;
    if (record->key_len == wanted->key_len &&
        memcmp(record->key, wanted->key, wanted->key_len) == 0) {
        found = true;
        CU_ASSERT_EQUAL(record->value_len, wanted->value_len);
        if (record->value_len == wanted->value_len)
            CU_ASSERT_EQUAL(memcmp(record->value, wanted->value, wanted->value_len), 0);
    }
    return 0;
}

/* What Kafka 4.3 writes (offsets 4, and 1 with an expiry; groups 3) comes out as it went in. */
static void check_write(const struct golden *g)
{
    bool offset = strncmp(g->name, "offset", 6) == 0;
    if (offset ? g->version != 4 && g->version != 1 : g->version != 3)
        return;
    struct rig r;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(replay(&r, g), 0);
    wanted = g;
    found = false;
    CU_ASSERT_EQUAL(coordinator_dump(r.c, compare_record, NULL), 0);
    CU_ASSERT_TRUE(found);
    rig_free(&r);
}

static void check_new_group(const struct golden *g)
{
    if (strcmp(g->name, "group-empty") != 0)
        return;
    struct rig r;
    rig_init(&r, unit_seed());
    rig_join(&r, 9, "g", NULL, NULL); /* MEMBER_ID_REQUIRED; the group exists from now on */
    CU_ASSERT_EQUAL_FATAL(r.log_count, 1);
    CU_ASSERT_EQUAL(r.log[0].value_len, g->value_len);
    CU_ASSERT_EQUAL(memcmp(r.log[0].value, g->value, g->value_len), 0);
    CU_ASSERT_EQUAL(memcmp(r.log[0].key, g->key, g->key_len), 0);
    rig_free(&r);
}

/* A stable group of two members, one of them static, made by requests. */
static void check_live_group(const struct golden *g)
{
    if (strcmp(g->name, "group") != 0 || g->version != 3)
        return;
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str member = rig_stable(&r, "g", &generation);
    /* Its own record, with the ids and the time put in place of Kafka's. */
    const struct rig_record *rec = &r.log[r.log_count - 1];
    const uint8_t *p = rec->value;
    CU_ASSERT_EQUAL(bytes_get_u16(p), 3);
    CU_ASSERT_EQUAL(memcmp(p, g->value, 12), 0); /* version, protocol type */
    CU_ASSERT_EQUAL(bytes_get_u32(p + 12), (uint32_t)generation);
    CU_ASSERT_EQUAL(memcmp(p + 16, g->value + 16, 7), 0); /* protocol */
    CU_ASSERT_EQUAL(bytes_get_u16(p + 23), member.len);
    CU_ASSERT_EQUAL(memcmp(p + 25, member.p, member.len), 0); /* leader */
    rig_free(&r);
}

static void test_write(void)
{
    each_golden(check_write);
    each_golden(check_new_group);
    each_golden(check_live_group);
}

/* Offsets of an open transaction do not count before it commits, nor ever if it aborts. */
static void check_transaction(const struct golden *g)
{
    if (strcmp(g->name, "offset-plain") != 0)
        return;
    for (int commit = 0; commit < 2; commit++) {
        struct rig r;
        rig_init(&r, unit_seed());
        CU_ASSERT_EQUAL(coordinator_replay(r.c, g->key, g->key_len, g->value, g->value_len, 42), 0);
        CU_ASSERT_TRUE(coordinator_has_pending_transactions(r.c));
        CU_ASSERT_EQUAL(fetch(&r)->committed_offset, -1);
        struct rig_call *call = rig_call(&r, API_OffsetFetch, 8);
        int32_t partition = 3;
        struct offset_fetch_request_group_topic t = {STR("t0"), UUID_ZERO, &partition, 1};
        struct offset_fetch_request_group req = {.group_id = STR("g"), .topics = &t, .n_topics = 1};
        coordinator_offset_fetch(r.c, &call->call, &req, true, r.now);
        rig_pump(&r);
        const struct offset_fetch_response_group *resp = call->call.response;
        CU_ASSERT_EQUAL(resp->topics[0].partitions[0].error_code, KERR_UNSTABLE_OFFSET_COMMIT);
        coordinator_replay_marker(r.c, 7, true); /* of another producer */
        CU_ASSERT_EQUAL(fetch(&r)->committed_offset, -1);
        coordinator_replay_marker(r.c, 42, commit);
        CU_ASSERT_FALSE(coordinator_has_pending_transactions(r.c));
        CU_ASSERT_EQUAL(fetch(&r)->committed_offset, commit ? 7 : -1);
        rig_free(&r);
    }
}

static void test_transactions(void)
{
    each_golden(check_transaction);
}

UNIT_MAIN("group records", UNIT_CASE(test_read), UNIT_CASE(test_damage), UNIT_CASE(test_write),
          UNIT_CASE(test_transactions))
