#include "base/err.h"
#include "control/config/describe.h"
#include "control/config/topic_config.h"
#include "fixture.h"

/* One entry as a line of stock_describe.tsv, without its section. */
static void entry_line(const struct config_entry *e, char *out, size_t size)
{
    FILE *to = fmemopen(out, size, "w");
    fprintf(to, "%.*s\t%.*s\t%d\t%d\t%d\t", STR_ARG(e->name),
            STR_ARG(e->value.p ? e->value : STR("\\N")), e->is_read_only, e->source,
            e->is_sensitive);
    for (uint32_t i = 0; i < e->synonym_count; i++) {
        const struct config_synonym *s = &e->synonyms[i];
        fprintf(to, "%.*s=%.*s@%d;", STR_ARG(s->name), STR_ARG(s->value.p ? s->value : STR("\\N")),
                s->source);
    }
    fprintf(to, "\t%d", e->type);
    fclose(to);
}

static const struct config_entry *find(const struct config_entries *all, const char *name)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (str_eqz(all->items[i].name, name))
            return &all->items[i];
    return NULL;
}

/* Keys whose defaults are ours, so that stock's lines cannot be equal. */
static bool is_ours(const char *line)
{
    static const char *const names[] = {"node.id\t", "log.dir\t", "log.dirs\t", "listeners\t",
                                        "process.roles\t"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/*
 * Compares a section of the recording with what we say: every line, and in order. changed: the
 * recording has only some lines.
 */
static void check_section(const char *section, const struct config_entries *all, bool changed)
{
    char line[4096], ours[4096];
    uint32_t at = 0, lines = 0;
    FILE *file = fopen(TEST_DIR "/stock_describe.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof(line), file)) {
        size_t n = strlen(section);
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, section, n) != 0 || line[n] != '\t')
            continue;
        lines++;
        const char *stock = line + n + 1;
        for (; changed && at < all->count; at++) {
            const struct config_entry *e = &all->items[at];
            if (strncmp(stock, e->name.p, e->name.len) == 0 && stock[e->name.len] == '\t')
                break;
        }
        CU_ASSERT_TRUE_FATAL(at < all->count);
        const struct config_entry *e = &all->items[at++];
        entry_line(e, ours, sizeof(ours));
        if (is_ours(stock)) {
            CU_ASSERT_EQUAL(strncmp(stock, e->name.p, e->name.len), 0);
            continue;
        }
        if (strcmp(stock, ours) != 0)
            printf("    stock %s\n    ours  %s\n", stock, ours);
        CU_ASSERT_STRING_EQUAL(ours, stock);
    }
    fclose(file);
    CU_ASSERT_TRUE(lines > 0);
    for (; at < all->count && !changed; at++) /* behind Kafka's keys stand ours */
        CU_ASSERT_EQUAL(strncmp(all->items[at].name.p, "sluice.", 7), 0);
}

#define PAIR(name, value)                                                                          \
    {                                                                                              \
        STR(name), STR(value)                                                                      \
    }

static const struct config_pair fresh[] = {PAIR("min.insync.replicas", "1")};

static void test_like_kafka(void)
{
    struct fixture f;
    struct config *c;
    struct config_entries all;
    struct config_pair own[] = {PAIR("retention.ms", " 5 "),
                                PAIR("cleanup.policy", " compact , delete "),
                                PAIR("preallocate", "TRUE"),
                                PAIR("min.cleanable.dirty.ratio", "1e-5"),
                                PAIR("leader.replication.throttled.replicas", "0:1, "),
                                PAIR("internal.segment.bytes", "4096"),
                                PAIR("segment.jitter.ms", "+7"),
                                PAIR("flush.ms", "007")};
    fixture_recorded(&f);
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&c, f.config, (struct config_pairs){fresh, 1},
                                              (struct config_pairs){0}, NULL),
                          0);
    CU_ASSERT_EQUAL_FATAL(config_describe_broker(c, &f.arena, &all), 0);
    check_section("broker", &all, false);
    CU_ASSERT_EQUAL_FATAL(config_describe_cluster(c, &f.arena, &all), 0);
    check_section("cluster", &all, false);
    CU_ASSERT_EQUAL_FATAL(config_describe_topic(c, (struct config_pairs){0}, &f.arena, &all), 0);
    check_section("topic", &all, false);
    CU_ASSERT_EQUAL_FATAL(config_describe_topic(c, (struct config_pairs){own, 8}, &f.arena, &all),
                          0);
    check_section("topic-own", &all, false);
    config_free(c);
    fixture_free(&f);
}

static void test_dynamic_like_kafka(void)
{
    struct fixture f;
    struct config *c;
    struct config_entries all;
    struct config_pair broker[] = {PAIR("log.cleaner.io.max.bytes.per.second", "1e7"),
                                   PAIR("log.retention.ms", " 7 "),
                                   PAIR("foo", "bar"),
                                   PAIR("log.retention.bytes", "5"),
                                   PAIR("listener.name.plaintext.max.connections", "50"),
                                   PAIR("listener.name.plaintext.ssl.keystore.password", "secret"),
                                   PAIR("ssl.client.auth", "required")};
    struct config_pair cluster[] = {PAIR("min.insync.replicas", "1"),
                                    PAIR("log.cleaner.io.max.bytes.per.second", "12345678"),
                                    PAIR("foo", "baz"),
                                    PAIR("leader.replication.throttled.rate", "5"),
                                    PAIR("log.retention.bytes", "6"),
                                    PAIR("log.retention.ms", "77"),
                                    PAIR("log.roll.ms", "500")};
    fixture_recorded(&f);
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&c, f.config, (struct config_pairs){cluster, 7},
                                              (struct config_pairs){broker, 7}, NULL),
                          0);
    CU_ASSERT_EQUAL_FATAL(config_describe_broker(c, &f.arena, &all), 0);
    check_section("broker-dynamic", &all, true);
    CU_ASSERT_EQUAL_FATAL(config_describe_topic(c, (struct config_pairs){0}, &f.arena, &all), 0);
    check_section("topic-dynamic", &all, false);
    CU_ASSERT_EQUAL_FATAL(config_describe_cluster(c, &f.arena, &all), 0);
    CU_ASSERT_EQUAL(all.count, 7);
    const struct config_entry *foo = find(&all, "foo");
    CU_ASSERT_TRUE(foo && foo->is_sensitive && foo->is_read_only && foo->value.p == NULL);
    config_free(c);
    fixture_free(&f);
}

/* A file's settings under names that are no keys, passwords, internal keys. */
static void test_free_names(void)
{
    struct fixture f;
    struct config_entries all;
    fixture_load(&f,
                 "my.key=1\nssl.key.password=secret\nlog.initial.task.delay.ms=5\n"
                 "listener.name.plaintext.plain.sasl.jaas.config=secret",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL_FATAL(config_describe_broker(f.config, &f.arena, &all), 0);
    const struct config_entry *e = find(&all, "my.key");
    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    CU_ASSERT_TRUE(e->is_sensitive && e->is_read_only && e->value.p == NULL);
    CU_ASSERT_EQUAL(e->source, CONFIG_SOURCE_STATIC);
    CU_ASSERT_EQUAL(e->type, CONFIG_TYPE_UNKNOWN);
    e = find(&all, "ssl.key.password");
    CU_ASSERT_TRUE(e && e->is_sensitive && e->value.p == NULL && e->synonym_count == 1);
    CU_ASSERT_TRUE(e->synonyms[0].value.p == NULL);
    e = find(&all, "log.initial.task.delay.ms");
    CU_ASSERT_TRUE(e && str_eqz(e->value, "5"));
    CU_ASSERT_PTR_NULL(find(&all, "unstable.api.versions.enable"));
    e = find(&all, "listener.name.plaintext.plain.sasl.jaas.config");
    CU_ASSERT_TRUE(e && e->type == CONFIG_TYPE_PASSWORD && e->value.p == NULL);
    e = find(&all, "num.partitions");
    CU_ASSERT_TRUE(e && e->documentation.len > 0);
    fixture_free(&f);
}

static void test_created(void)
{
    struct fixture f;
    struct config_entries all;
    struct config_pair own[] = {PAIR("flush.ms", " 7 "), PAIR("internal.segment.bytes", "9000")};
    fixture_load(&f, "log.retention.minutes=3\nlog.roll.hours=2\nlog.segment.bytes= 2000000", NULL,
                 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL_FATAL(
        config_describe_created(f.config, (struct config_pairs){own, 2}, &f.arena, &all), 0);
    CU_ASSERT_EQUAL(all.count, TOPIC_KEY_COUNT);
    for (uint32_t i = 1; i < all.count; i++)
        CU_ASSERT_TRUE(str_cmp(all.items[i - 1].name, all.items[i].name) < 0);
    static const struct {
        const char *name, *value;
        enum config_source source;
    } expected[] = {{"flush.ms", " 7 ", CONFIG_SOURCE_TOPIC},
                    {"internal.segment.bytes", "9000", CONFIG_SOURCE_TOPIC},
                    {"retention.ms", "180000", CONFIG_SOURCE_STATIC},
                    {"segment.ms", "7200000", CONFIG_SOURCE_STATIC},
                    {"segment.bytes", "2000000", CONFIG_SOURCE_STATIC},
                    {"segment.jitter.ms", "0", CONFIG_SOURCE_DEFAULT},
                    {"cleanup.policy", "delete", CONFIG_SOURCE_DEFAULT}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const struct config_entry *e = find(&all, expected[i].name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(e);
        ASSERT_STR(e->value, expected[i].value);
        CU_ASSERT_EQUAL(e->source, expected[i].source);
    }
    CU_ASSERT_EQUAL_FATAL(
        config_describe_created(f.config, (struct config_pairs){0}, &f.arena, &all), 0);
    CU_ASSERT_PTR_NULL(find(&all, "internal.segment.bytes"));
    fixture_free(&f);
}

static void test_out_of_memory(void)
{
    struct fixture f;
    fixture_recorded(&f);
    for (size_t limit = 0; limit < 200000; limit += 5000) {
        struct arena small;
        struct config_entries all = {0};
        arena_init(&small, limit);
        int err = config_describe_broker(f.config, &small, &all);
        CU_ASSERT_TRUE(err == ERR_NO_MEMORY ? all.count == 0 : all.count > 340);
        arena_free(&small);
        arena_init(&small, limit / 10);
        all = (struct config_entries){0};
        err = config_describe_topic(f.config, (struct config_pairs){0}, &small, &all);
        CU_ASSERT_TRUE(err == ERR_NO_MEMORY ? all.count == 0 : all.count == 33);
        arena_free(&small);
    }
    fixture_free(&f);
}

UNIT_MAIN("control/config/describe", UNIT_CASE(test_like_kafka), UNIT_CASE(test_dynamic_like_kafka),
          UNIT_CASE(test_free_names), UNIT_CASE(test_created), UNIT_CASE(test_out_of_memory))
