/* Records of consumer groups: Kafka's own bytes, both ways; the hash of metadata; bytes that lie. */
#include "tests/unit/unit.h"

#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "control/group/consumer_record.h"
#include "control/group/consumer_step.h"

#define T1                                                                                         \
    {                                                                                              \
        {                                                                                          \
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16                                  \
        }                                                                                          \
    }
#define T2                                                                                         \
    {                                                                                              \
        {                                                                                          \
            0xf1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff                             \
        }                                                                                          \
    }
#define T3                                                                                         \
    {                                                                                              \
        {                                                                                          \
            0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2                                         \
        }                                                                                          \
    }

struct golden {
    uint8_t key[512], value[512];
    size_t key_len, value_len;
    bool tombstone;
};

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (unsigned v; hex[0] && hex[1] && sscanf(hex, "%2x", &v) == 1; hex += 2)
        out[n++] = (uint8_t)v;
    return n;
}

/* The line of that name; *rest (may be NULL) gets what follows the name. */
static bool find_line(const char *name, char *rest, size_t room)
{
    char line[2048];
    FILE *f = fopen(TEST_DIR "/consumer_records.txt", "r");
    bool found = false;
    size_t n = strlen(name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    while (!found && fgets(line, sizeof(line), f))
        if (strncmp(line, name, n) == 0 && line[n] == ' ') {
            found = true;
            line[strcspn(line, "\n")] = '\0';
            snprintf(rest, room, "%s", line + n + 1);
        }
    fclose(f);
    return found;
}

static struct golden golden(const char *name)
{
    struct golden g = {.key_len = 0};
    char rest[2048] = "";
    CU_ASSERT_TRUE_FATAL(find_line(name, rest, sizeof(rest)));
    char *value = strchr(rest, ' ');
    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    *value++ = '\0';
    g.key_len = from_hex(rest, g.key);
    g.tombstone = value[0] == '-';
    if (!g.tombstone)
        g.value_len = from_hex(value, g.value);
    return g;
}

static struct str names_two[] = {{"bar", 3}, {"foo", 3}}, name_foo[] = {{"foo", 3}};
static struct str topics_two[] = {{"fa", 2}, {"fb", 2}};
static struct consumer_proto protos[] = {{{"range", 5}, {"\1\2\3", 3}}, {{"sticky", 6}, {"", 0}}};
static struct consumer_part assigned[] = {{T1, 0, 7}, {T1, 1, 9}}, pending[] = {{T2, 5, 3}};
static struct consumer_part target[] = {{T1, 0, 0}, {T1, 1, 0}, {T1, 2, 0}, {T2, 5, 0}};

#define G      .group = {"g", 1}
#define G_M    G, .member = {"m1", 2}
#define MEMBER .client_id = {"c", 1}, .client_host = {"/127.0.0.1", 10}

static const struct row {
    const char *name;
    struct consumer_record r;
} rows[] = {
    {"epoch", {G, .type = 3, .epoch = 7, .hash = 0x1122334455667788}},
    {"epoch_nohash", {G, .type = 3, .epoch = 8}},
    {"epoch_gone", {G, .type = 3, .tombstone = true}},
    {"partitions_gone", {G, .type = 4, .tombstone = true}},
    {"member",
     {G_M, .type = 5,
      .meta = {MEMBER, .regex = {"", 0}, .rebalance_timeout_ms = 300000, .names = names_two,
               .n_names = 2}}},
    {"member_full",
     {G_M, .type = 5,
      .meta = {MEMBER, .instance_id = {"i", 1}, .rack_id = {"r", 1}, .regex = {"f.*", 3},
               .rebalance_timeout_ms = 45000, .assignor = {"range", 5}, .classic = true,
               .session_timeout_ms = 10000, .protocols = protos, .n_protocols = 2}}},
    {"member_noregex",
     {G_M, .type = 5,
      .meta = {.client_id = {"c", 1},
               .client_host = {"/h", 2},
               .rebalance_timeout_ms = -1,
               .names = name_foo,
               .n_names = 1}}},
    {"member_gone", {G_M, .type = 5, .tombstone = true}},
    {"target_epoch", {G, .type = 6, .epoch = 9, .timestamp_ms = 1700000000000}},
    {"target_epoch_notime", {G, .type = 6, .epoch = 9}},
    {"target_epoch_gone", {G, .type = 6, .tombstone = true}},
    {"target", {G_M, .type = 7, .parts = {target, 4}}},
    {"target_none", {G_M, .type = 7}},
    {"target_gone", {G_M, .type = 7, .tombstone = true}},
    {"current", {G_M, .type = 8, .cur = {9, 8, CONSUMER_UNREVOKED, {assigned, 2}, {pending, 1}}}},
    {"current_none", {G_M, .type = 8, .cur = {-2, 0, CONSUMER_STABLE, {0}, {0}}}},
    {"current_gone", {G_M, .type = 8, .tombstone = true}},
    {"regex",
     {G, .member = {"f.*", 3}, .type = 16, .topics = topics_two, .n_topics = 2, .version = 12,
      .timestamp_ms = 1700000000001}},
    {"regex_gone", {G, .member = {"f.*", 3}, .type = 16, .tombstone = true}},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static bool bytes_are(const struct codec_out *o, const uint8_t *p, size_t n)
{
    return o->len == n && (n == 0 || memcmp(o->p, p, n) == 0);
}

static void test_write(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct golden g = golden(rows[i].name);
        struct codec_out key = {0}, value = {0};
        consumer_record_write(&rows[i].r, &key, &value);
        bool same = bytes_are(&key, g.key, g.key_len) && bytes_are(&value, g.value, g.value_len) &&
                    g.tombstone == rows[i].r.tombstone;
        if (!same)
            printf("row %s differs\n", rows[i].name);
        CU_ASSERT(same);
        codec_out_free(&key);
        codec_out_free(&value);
    }
}

static int read_golden(const struct golden *g, struct consumer_record *out, struct arena *a)
{
    return consumer_record_read(out, bytes_get_i16(g->key), g->key + 2, g->key_len - 2,
                                g->tombstone ? NULL : g->value, g->value_len, a);
}

/* What is read, written again, is the same. */
static void test_read(void)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ROWS; i++) {
        struct golden g = golden(rows[i].name);
        struct consumer_record r;
        struct codec_out key = {0}, value = {0};
        CU_ASSERT_EQUAL_FATAL(read_golden(&g, &r, &a), 0);
        CU_ASSERT(str_eqz(r.group, "g"));
        consumer_record_write(&r, &key, &value);
        CU_ASSERT(bytes_are(&key, g.key, g.key_len));
        CU_ASSERT(bytes_are(&value, g.value, g.value_len));
        codec_out_free(&key);
        codec_out_free(&value);
    }
    arena_free(&a);
}

/* Before Kafka 4.3 there were no assignment epochs: the member's own stands in. */
static void test_no_epochs(void)
{
    struct arena a;
    struct consumer_record r;
    struct golden g = golden("current_noepochs");
    arena_init(&a, 1 << 20);
    CU_ASSERT_EQUAL_FATAL(read_golden(&g, &r, &a), 0);
    CU_ASSERT_EQUAL_FATAL(r.cur.assigned.n, 2);
    CU_ASSERT_EQUAL(r.cur.assigned.v[0].epoch, 9);
    CU_ASSERT_EQUAL(r.cur.assigned.v[1].epoch, 9);
    arena_free(&a);
}

static const struct group_topic topics[] = {
    {{"bar", 3}, T2, 1}, {{"foo", 3}, T1, 3}, {{"orders-eu.1", 11}, T3, 100}};

static bool by_name(void *ctx, struct str name, struct group_topic *out)
{
    for (size_t i = 0; i < 3; i++)
        if (str_eq(topics[i].name, name)) {
            *out = topics[i];
            return true;
        }
    return false;
}

static void test_hash(void)
{
    char text[64], name[64];
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "#hash %.*s", STR_ARG(topics[i].name));
        CU_ASSERT_TRUE_FATAL(find_line(name, text, sizeof(text)));
        CU_ASSERT_EQUAL(consumer_topic_hash(&topics[i]), strtoull(text, NULL, 16));
    }
    struct consumer_group *g;
    struct arena scratch;
    struct str names[] = {STR("bar"), STR("foo"), STR("missing"), STR("orders-eu.1")};
    struct consumer_meta meta = {.names = names, .n_names = 4};
    struct group_topics seam = {.by_name = by_name};
    arena_init(&scratch, 1 << 20);
    CU_ASSERT_EQUAL_FATAL(consumer_group_new(&g, STR("g"), 1), 0);
    struct consumer_step s = {.g = g, .topics = &seam, .scratch = &scratch};
    CU_ASSERT_EQUAL(consumer_metadata_hash(&s), 0);
    CU_ASSERT_EQUAL(consumer_apply_member(g, STR("m"), &meta), 0);
    CU_ASSERT_TRUE_FATAL(find_line("#group", text, sizeof(text)));
    CU_ASSERT_EQUAL(consumer_metadata_hash(&s), strtoull(text, NULL, 16));
    consumer_group_free(g);
    arena_free(&scratch);
}

/* Cut and damaged values are refused or read as something in order; never past their end. */
static void test_lies(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 20000; round++) {
        struct golden g = golden(rows[round % ROWS].name);
        struct consumer_record r;
        struct consumer_group *k;
        struct arena a;
        size_t n = g.value_len;
        if (g.tombstone)
            continue;
        if (rng_below(&rng, 2))
            n = rng_below(&rng, n + 1);
        uint8_t *value = malloc(n + 1); /* one more: malloc(0) may be NULL, which is a tombstone */
        memcpy(value, g.value, n);
        for (uint64_t hits = rng_below(&rng, 4); hits > 0 && n > 0; hits--)
            value[rng_below(&rng, n)] = (uint8_t)rng_u64(&rng);
        arena_init(&a, 1 << 22);
        int rc =
            consumer_record_read(&r, bytes_get_i16(g.key), g.key + 2, g.key_len - 2, value, n, &a);
        CU_ASSERT(rc == 0 || rc == ERR_MALFORMED || rc == ERR_UNSUPPORTED);
        if (rc == 0) {
            CU_ASSERT_EQUAL_FATAL(consumer_group_new(&k, STR("g"), 1), 0);
            rc = consumer_record_apply(k, &r);
            CU_ASSERT(rc == 0 || rc == ERR_MALFORMED);
            consumer_group_free(k);
        }
        arena_free(&a);
        free(value);
    }
}

UNIT_MAIN("consumer_record", UNIT_CASE(test_write), UNIT_CASE(test_read), UNIT_CASE(test_no_epochs),
          UNIT_CASE(test_hash), UNIT_CASE(test_lies))
