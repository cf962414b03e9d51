#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "control/config/properties.h"
#include "fixture.h"

static void test_defaults(void)
{
    struct fixture f;
    fixture_load(&f, NULL, NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL(f.errs.warnings.count, 0);
    CU_ASSERT_EQUAL(f.errs.notes.count, 0);
    CU_ASSERT_EQUAL(config_node_id(f.config), 1);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_BROKER_ID), 1);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_NUM_PARTITIONS), 1);
    CU_ASSERT_TRUE(config_bool(f.config, CONFIG_AUTO_CREATE_TOPICS_ENABLE));
    CU_ASSERT_EQUAL(config_long(f.config, CONFIG_SLUICE_MEMORY), 512 << 20);
    ASSERT_STR(config_string(f.config, CONFIG_SLUICE_DURABILITY), "fsync");
    ASSERT_STR(config_log_dirs(f.config).items[0], "./data");
    CU_ASSERT_EQUAL(config_log_dirs(f.config).count, 1);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR), 3);
    CU_ASSERT_FALSE(config_is_set(f.config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR));
    CU_ASSERT_FALSE(config_has(f.config, CONFIG_LOG_RETENTION_MS));
    CU_ASSERT_EQUAL(config_cpus(f.config, NULL, 0), 0);
    CU_ASSERT_TRUE(str_is_null(config_string(f.config, CONFIG_BROKER_RACK)));
    CU_ASSERT_EQUAL(config_double(f.config, CONFIG_LOG_CLEANER_MIN_CLEANABLE_RATIO), 0.5);
    CU_ASSERT_EQUAL(config_origin(f.config, CONFIG_NODE_ID).source, CONFIG_SOURCE_DEFAULT);
    fixture_free(&f);
}

static void test_shipped_file(void)
{
    struct fixture f;
    fixture_shipped(&f);
    CU_ASSERT_EQUAL(f.errs.errors.count, 0);
    CU_ASSERT_EQUAL(f.errs.warnings.count, 0);
    CU_ASSERT_EQUAL(f.errs.notes.count, 6); /* threads, internal topics */
    CU_ASSERT_EQUAL(config_node_id(f.config), 1);
    ASSERT_STR(config_log_dirs(f.config).items[0], "/tmp/kraft-combined-logs");
    CU_ASSERT_EQUAL(config_retention_ms(f.config), 168 * 3600000LL);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_NUM_RECOVERY_THREADS_PER_DATA_DIR), 2);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR), 1);
    CU_ASSERT_TRUE(config_is_set(f.config, CONFIG_OFFSETS_TOPIC_REPLICATION_FACTOR));
    uint32_t n;
    const struct config_listener *l = config_listeners(f.config, &n);
    CU_ASSERT_EQUAL_FATAL(n, 2);
    ASSERT_STR(l[0].name, "PLAINTEXT");
    ASSERT_STR(l[0].host, "");
    CU_ASSERT_EQUAL(l[0].port, 9092);
    ASSERT_STR(l[0].advertised_host, "localhost");
    CU_ASSERT_TRUE(l[0].is_advertised && l[0].is_inter_broker && !l[0].is_controller);
    ASSERT_STR(l[1].name, "CONTROLLER");
    CU_ASSERT_EQUAL(l[1].port, 9093);
    CU_ASSERT_TRUE(l[1].is_advertised && l[1].is_controller && !l[1].is_inter_broker);
    struct config_origin origin = config_origin(f.config, CONFIG_LOG_DIRS);
    CU_ASSERT_EQUAL(origin.source, CONFIG_SOURCE_STATIC);
    CU_ASSERT_EQUAL(origin.line, 24);
    fixture_free(&f);
}

static void test_overrides(void)
{
    const char *overrides[] = {"num.partitions=7", "log.dirs=/a, /b ,/a", "num.partitions=8"};
    struct fixture f;
    fixture_load(&f, "num.partitions=3\nmessage.max.bytes=bad\nmessage.max.bytes=2000\n", overrides,
                 3);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_NUM_PARTITIONS), 8);
    CU_ASSERT_EQUAL(config_int(f.config, CONFIG_MESSAGE_MAX_BYTES), 2000);
    CU_ASSERT_TRUE(
        messages_have(&f.errs.warnings, "f:3: message.max.bytes was set in line 2 already"));
    struct config_origin origin = config_origin(f.config, CONFIG_NUM_PARTITIONS);
    CU_ASSERT_EQUAL(origin.source, CONFIG_SOURCE_STATIC);
    CU_ASSERT_TRUE(str_is_null(origin.file));
    struct config_list dirs = config_log_dirs(f.config);
    CU_ASSERT_EQUAL_FATAL(dirs.count, 2);
    ASSERT_STR(dirs.items[1], "/b");
    fixture_free(&f);
    const char *bad[] = {"num.partitions", "=5", "a.b=c"};
    fixture_load(&f, NULL, bad, 3);
    CU_ASSERT_EQUAL(f.result, ERR_INVALID);
    CU_ASSERT_TRUE(
        messages_have(&f.errs.errors, "--override: found 'num.partitions', allowed: key=value"));
    CU_ASSERT_TRUE(messages_have(&f.errs.errors, "--override: found '=5', allowed: key=value"));
    CU_ASSERT_TRUE(messages_have(&f.errs.warnings, "--override: unknown key a.b"));
    fixture_free(&f);
}

/* text is refused with this message among its errors. */
static void check_error(const char *text, const char *message)
{
    struct fixture f;
    fixture_load(&f, text, NULL, 0);
    CU_ASSERT_EQUAL(f.result, ERR_INVALID);
    CU_ASSERT_TRUE(messages_have(&f.errs.errors, message));
    fixture_free(&f);
}

static void test_wrong_values(void)
{
    check_error("\nnum.partitions=many", "f:2: num.partitions: found 'many', allowed: a whole "
                                         "number of 32 bits, at least 1");
    check_error("num.partitions=0", "f:1: num.partitions: found '0', allowed: a whole number of 32 "
                                    "bits, at least 1");
    check_error("sluice.poll=never",
                "f:1: sluice.poll: found 'never', allowed: one of adaptive, always");
    check_error("sluice.memory=1m",
                "f:1: sluice.memory: found '1m', allowed: bytes, with k, m or g "
                "behind for powers of 1024, at least 67108864");
    check_error("sluice.shards=65",
                "f:1: sluice.shards: found '65', allowed: a whole number of 32 bits from 0 to 64");
    check_error("sluice.cpus=3-1", "f:1: sluice.cpus: found '3-1', allowed: CPU numbers and ranges "
                                   "separated by commas, like 0-3,8");
    check_error("auto.create.topics.enable=maybe",
                "f:1: auto.create.topics.enable: found 'maybe', allowed: true or false");
    check_error("log.cleanup.policy=shred", "f:1: log.cleanup.policy: found 'shred', allowed: a "
                                            "list separated by commas, compact, delete");
    check_error("log.dirs=", "f:1: log.dirs: found '', allowed: a list separated by commas, not "
                             "empty");
    check_error("ssl.key.password=secret\nlog.cleaner.min.cleanable.ratio=2",
                "f:2: log.cleaner.min.cleanable.ratio: found '2', allowed: a number from 0 to 1");
    check_error("controller.quorum.voters=1@h",
                "f:1: controller.quorum.voters: found '1@h', allowed: id@host:port separated by "
                "commas");
    check_error("a=\\u12", "f:1: \\u needs four hexadecimal digits");
}

static void test_relations(void)
{
    check_error("node.id=1\nbroker.id=2",
                "f:1: node.id: found '1', allowed: the value of broker.id, '2'");
    check_error("log.roll.ms=0",
                "f:1: log.roll.ms: found '0': log.roll.ms must be greater than or equal to 1");
    check_error("log.retention.ms=0",
                "f:1: log.retention.ms: found '0': log.retention.ms must be unlimited (-1) or, "
                "greater than or equal to 1");
    check_error("max.connections.per.ip=0",
                "f:1: max.connections.per.ip: found '0': max.connections.per.ip can be set to zero "
                "only if max.connections.per.ip.overrides property is set.");
    check_error("queued.max.request.bytes=5",
                "f:1: queued.max.request.bytes: found '5': queued.max.request.bytes must be larger "
                "or equal to socket.request.max.bytes");
    check_error("sluice.shards=4\nsluice.cpus=0-1",
                "f:2: sluice.cpus: found '0-1': sluice.cpus names 2 CPUs for sluice.shards=4");
    check_error("group.consumer.session.timeout.ms=5",
                "f:1: group.consumer.session.timeout.ms: found '5': "
                "group.consumer.session.timeout.ms must be greater than or equal to "
                "group.consumer.min.session.timeout.ms");
    check_error("group.share.max.heartbeat.interval.ms=5",
                "f:1: group.share.max.heartbeat.interval.ms: found '5': "
                "group.share.max.heartbeat.interval.ms must be greater than or equal to "
                "group.share.min.heartbeat.interval.ms");
    check_error("connections.max.idle.ms=50",
                "f:1: connections.max.idle.ms: found '50': "
                "connection.failed.authentication.delay.ms=100 should always be less than "
                "connections.max.idle.ms=50 to prevent failed authentication responses from timing "
                "out");
    check_error("cordoned.log.dirs=/x",
                "f:1: cordoned.log.dirs: found '/x': All entries in cordoned.log.dirs must be "
                "present in log.dirs or log.dir. Missing entries : /x");
}

static void test_refused(void)
{
    check_error("authorizer.class.name=a.B",
                "f:1: authorizer.class.name: found 'a.B', allowed: no value (not built yet)");
    check_error("remote.log.storage.system.enable=true",
                "f:1: remote.log.storage.system.enable: found 'true', allowed: 'false' (not built "
                "yet)");
    check_error("process.roles=broker", "f:1: process.roles: found 'broker', allowed: "
                                        "broker,controller (a process with one role is not built "
                                        "yet)");
    check_error("controller.quorum.voters=1@a:1,2@b:1",
                "f:1: controller.quorum.voters: found '1@a:1,2@b:1', allowed: this node alone "
                "(clusters are not built yet)");
    check_error("node.id=3\ncontroller.quorum.voters=1@a:1",
                "f:2: controller.quorum.voters: found '1@a:1', allowed: a voter with the id in "
                "node.id");
    struct fixture f; /* the default, written out, is fine */
    fixture_load(&f, "remote.log.storage.system.enable=FALSE\nauthorizer.class.name=", NULL, 0);
    CU_ASSERT_EQUAL(f.result, 0);
    fixture_free(&f);
}

static void test_all_errors_are_told(void)
{
    struct fixture f;
    fixture_load(&f, "num.partitions=x\nlog.dirs=\nsluice.poll=y\nnode.id=-3", NULL, 0);
    CU_ASSERT_EQUAL(f.result, ERR_INVALID);
    CU_ASSERT_EQUAL(f.errs.errors.count, 4);
    fixture_free(&f);
    char text[8192] = "num.partitions=x\n";
    for (int i = 0; i < config_messages_max + 3; i++)
        add(text, sizeof(text), "unknown.number.%d=1\n", i);
    fixture_load(&f, text, NULL, 0);
    CU_ASSERT_EQUAL(f.errs.errors.count, 1);
    CU_ASSERT_EQUAL(f.errs.warnings.count, config_messages_max);
    CU_ASSERT_EQUAL(f.errs.warnings.left_out, 3);
    fixture_free(&f);
    char *all = calloc(1, CONFIG_KEY_COUNT * 128); /* more errors than there is room for */
    int wrong = 0;
    for (unsigned k = 0; k < CONFIG_KEY_COUNT; k++) {
        const struct config_def *def = config_key_def((enum config_key)k);
        if (def->type == CONFIG_TYPE_INT && wrong++ < config_messages_max + 5)
            add(all, CONFIG_KEY_COUNT * 128, "%s=x\n", def->name);
    }
    fixture_load(&f, all, NULL, 0);
    CU_ASSERT_EQUAL(f.result, ERR_INVALID);
    CU_ASSERT_EQUAL(f.errs.errors.count, config_messages_max);
    CU_ASSERT_TRUE(f.errs.errors.left_out >= 5);
    fixture_free(&f);
    free(all);
}

static void test_unknown_keys(void)
{
    struct fixture f;
    fixture_load(&f,
                 "num.partition=3\nmy.own.thing=1\nzookeeper.connect=x\nlog4j.level=1\n"
                 "listener.name.plaintext.ssl.x=1\nlistener.name.nope.max.connections=1\n"
                 "leader.replication.throttled.rate=5\nrsm.config.a=b\nnum.io.threads=3",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL(f.errs.warnings.count, 5);
    CU_ASSERT_TRUE(messages_have(&f.errs.warnings,
                                 "f:1: unknown key num.partition, did you mean num.partitions?"));
    CU_ASSERT_TRUE(messages_have(&f.errs.warnings, "f:2: unknown key my.own.thing"));
    CU_ASSERT_TRUE(messages_have(&f.errs.warnings,
                                 "f:3: zookeeper.connect is ignored: Kafka 4 no longer has it"));
    CU_ASSERT_TRUE(messages_have(
        &f.errs.warnings, "f:6: listener.name.nope.max.connections: there is no listener nope"));
    CU_ASSERT_TRUE(messages_have(&f.errs.warnings, "f:7: leader.replication.throttled.rate is "
                                                   "ignored: it is a dynamic setting"));
    CU_ASSERT_EQUAL(f.errs.notes.count, 2);
    CU_ASSERT_TRUE(
        messages_have(&f.errs.notes, "f:9: num.io.threads is accepted and has no effect here"));
    fixture_free(&f);
}

static void test_every_key_is_known(void)
{
    struct fixture f;
    char *text = calloc(1, CONFIG_KEY_COUNT * 256);
    for (unsigned k = 0; k < CONFIG_KEY_COUNT; k++) {
        const struct config_def *def = config_key_def((enum config_key)k);
        if (def->default_text && *def->default_text && def->use != CONFIG_USE_DYNAMIC &&
            k != CONFIG_BROKER_ID)
            add(text, CONFIG_KEY_COUNT * 256, "%s=%s\n", def->name, def->default_text);
    }
    fixture_load(&f, text, NULL, 0);
    CU_ASSERT_EQUAL(f.result, 0);
    CU_ASSERT_EQUAL(f.errs.warnings.count, 0);
    fixture_free(&f);
    free(text);
}

static void test_times(void)
{
    static const struct {
        const char *text;
        int64_t retention, roll, jitter;
    } cases[] = {
        {"", 604800000, 604800000, 0},
        {"log.retention.hours=2\nlog.roll.hours=3\nlog.roll.jitter.hours=1", 7200000, 10800000,
         3600000},
        {"log.retention.hours=2\nlog.retention.minutes=5\nlog.roll.hours=3\nlog.roll.ms=7", 300000,
         7, 0},
        {"log.retention.hours=2\nlog.retention.minutes=5\nlog.retention.ms=9", 9, 604800000, 0},
        {"log.retention.minutes=-1", -1, 604800000, 0},
        {"log.retention.ms=-5\nlog.roll.jitter.ms=4", -1, 604800000, 4},
        {"log.retention.hours=2147483647", 2147483647LL * 3600000, 604800000, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        fixture_load(&f, cases[i].text, NULL, 0);
        CU_ASSERT_EQUAL_FATAL(f.result, 0);
        CU_ASSERT_EQUAL(config_retention_ms(f.config), cases[i].retention);
        CU_ASSERT_EQUAL(config_roll_ms(f.config), cases[i].roll);
        CU_ASSERT_EQUAL(config_roll_jitter_ms(f.config), cases[i].jitter);
        CU_ASSERT_EQUAL(config_flush_ms(f.config), INT64_MAX);
        fixture_free(&f);
    }
}

static void test_address_limits(void)
{
    static const uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    static const uint8_t v6[16] = {[15] = 1};
    struct config_address_limit all[4];
    struct fixture f;
    fixture_load(&f,
                 "max.connections.per.ip=3\nmax.connections.per.ip.overrides=10.0.0.1:5, [::1]:9, "
                 "fe80::7:1,10.0.0.1 : 6,10.0.0.3:-4",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL(f.errs.notes.count, 0);
    CU_ASSERT_EQUAL_FATAL(config_address_limits(f.config, all, 4), 4);
    CU_ASSERT(memcmp(all[0].address, v4, 16) == 0 && all[0].limit == 6);
    CU_ASSERT(memcmp(all[1].address, v6, 16) == 0 && all[1].limit == 9);
    CU_ASSERT(all[2].address[15] == 7 && all[2].limit == 1);
    CU_ASSERT(all[3].address[15] == 3 && all[3].limit == 0);
    CU_ASSERT_EQUAL(config_address_limits(f.config, all, 2), 2);
    CU_ASSERT_EQUAL(config_address_limits(f.config, all, 0), 0);
    fixture_free(&f);
    fixture_load(&f, "", NULL, 0);
    CU_ASSERT_EQUAL(config_address_limits(f.config, all, 4), 0);
    fixture_free(&f);
}

static void test_listener_limits(void)
{
    struct fixture f;
    struct config *then;
    uint32_t n;
    fixture_load(&f,
                 "listeners=PLAINTEXT://:1,INNER://:2,CONTROLLER://:3\nmax.connections=70\n"
                 "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT,"
                 "CONTROLLER:PLAINTEXT\ninter.broker.listener.name=INNER\n"
                 "controller.listener.names=CONTROLLER\n"
                 "listener.name.inner.max.connections= 5 \n",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL(f.errs.notes.count, 0);
    const struct config_listener *l = config_listeners(f.config, &n);
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT_EQUAL(config_listener_connections(f.config, &l[0]), 70);
    CU_ASSERT_EQUAL(config_listener_connections(f.config, &l[1]), 5);
    struct config_pair cluster[] = {{STR("max.connections"), STR("60")},
                                    {STR("listener.name.inner.max.connections"), STR("8")}};
    struct config_pair broker[] = {{STR("listener.name.plaintext.max.connections"), STR("9")}};
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&then, f.config, (struct config_pairs){cluster, 2},
                                              (struct config_pairs){broker, 0}, NULL),
                          0);
    CU_ASSERT_EQUAL(config_listener_connections(then, &l[0]), 60);
    CU_ASSERT_EQUAL(config_listener_connections(then, &l[1]), 8);
    config_free(then);
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&then, f.config, (struct config_pairs){cluster, 2},
                                              (struct config_pairs){broker, 1}, NULL),
                          0);
    CU_ASSERT_EQUAL(config_listener_connections(then, &l[0]), 9);
    config_free(then);
    fixture_free(&f);
    check_error(
        "listener.name.plaintext.max.connections=-1",
        "f:1: listener.name.plaintext.max.connections: found '-1', allowed: a whole number of "
        "32 bits, at least 0");
}

static void test_dirs_ids_and_limits(void)
{
    struct fixture f;
    fixture_load(&f,
                 "log.dir=/one\nbroker.id=7\nsluice.cpus=4,6-7\nsluice.memory=2g\n"
                 "max.connections.per.ip=3",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    ASSERT_STR(config_log_dirs(f.config).items[0], "/one");
    CU_ASSERT_EQUAL(config_node_id(f.config), 7);
    uint16_t cpus[2];
    CU_ASSERT_EQUAL(config_cpus(f.config, cpus, 2), 3);
    CU_ASSERT_EQUAL(cpus[1], 6);
    CU_ASSERT_EQUAL(config_long(f.config, CONFIG_SLUICE_MEMORY), 2LL << 30);
    fixture_free(&f);
    char text[2048] = "log.dirs=/d";
    for (int i = 0; i < config_log_dirs_max; i++)
        add(text, sizeof(text), ",/d%d", i);
    check_error(text, "f:1: log.dirs: more than 64 directories");
    *strrchr(text, ',') = '\0';
    fixture_load(&f, text, NULL, 0);
    CU_ASSERT_EQUAL(f.result, 0);
    fixture_free(&f);
}

static void test_files(void)
{
    struct fixture f;
    struct config_sources src = {.path = "/no/such/file.properties"};
    fixture_load(&f, NULL, NULL, 0);
    struct config *c = NULL;
    CU_ASSERT_EQUAL(config_load(&c, &src, &f.errs), ERR_INVALID);
    CU_ASSERT_PTR_NULL(c);
    CU_ASSERT_TRUE(messages_have(
        &f.errs.errors, "cannot read /no/such/file.properties: No such file or directory"));
    src.path = "/";
    CU_ASSERT_EQUAL(config_load(&c, &src, &f.errs), ERR_INVALID);
    fixture_free(&f);
    /* A file one byte too long is refused, not cut. */
    char path[] = "/tmp/sluice-config-XXXXXX";
    int fd = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    char *text = malloc(properties_text_bytes_max + 1);
    memset(text, '\n', properties_text_bytes_max + 1);
    CU_ASSERT_EQUAL(write(fd, text, properties_text_bytes_max + 1),
                    (ssize_t)properties_text_bytes_max + 1);
    src.path = path;
    fixture_load(&f, NULL, NULL, 0);
    CU_ASSERT_EQUAL(config_load(&c, &src, &f.errs), ERR_INVALID);
    CU_ASSERT_EQUAL(ftruncate(fd, properties_text_bytes_max), 0);
    CU_ASSERT_EQUAL(config_load(&c, &src, &(struct config_errors){0}), 0);
    config_free(c);
    fixture_free(&f);
    close(fd);
    unlink(path);
    free(text);
}

static void test_dump(void)
{
    struct fixture f;
    struct str text;
    const char *overrides[] = {"num.partitions=4"};
    fixture_load(&f,
                 "log.dirs=/x\nssl.key.password=secret\nnum.io.threads=3\nmy.key=secret\n"
                 "listener.name.plaintext.sluice.transport=uring",
                 overrides, 1);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL_FATAL(config_dump(f.config, &f.arena, &text), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "\nlog.dirs=/x  # f:1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "\nnum.partitions=4  # --override\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "\nnode.id=1  # default\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "\nnum.io.threads=3  # f:3, no effect here\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "ssl.key.password=[hidden]"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "my.key=[hidden]  # f:4\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text.p, "listener.name.plaintext.sluice.transport=uring  # f:5"));
    CU_ASSERT_PTR_NULL(strstr(text.p, "secret"));
    CU_ASSERT_PTR_NULL(strstr(text.p, "background.threads"));
    fixture_free(&f);
}

static void test_dynamic(void)
{
    struct fixture f;
    struct config *c;
    uint32_t ignored = 99;
    fixture_load(&f, "log.retention.hours=2\nmessage.max.bytes=1000\nmy.key=1", NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    struct config_pair cluster[] = {{STR("message.max.bytes"), STR("2000")},
                                    {STR("log.retention.ms"), STR("5")},
                                    {STR("num.partitions"), STR("9")},
                                    {STR("log.segment.bytes"), STR("bad")},
                                    {STR("ssl.protocol"), STR("X")}};
    struct config_pair broker[] = {{STR("message.max.bytes"), STR(" 3000 ")}};
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&c, f.config, (struct config_pairs){cluster, 5},
                                              (struct config_pairs){broker, 1}, &ignored),
                          0);
    CU_ASSERT_EQUAL(config_int(c, CONFIG_MESSAGE_MAX_BYTES), 3000);
    CU_ASSERT_EQUAL(config_origin(c, CONFIG_MESSAGE_MAX_BYTES).source,
                    CONFIG_SOURCE_DYNAMIC_BROKER);
    CU_ASSERT_EQUAL(config_retention_ms(c), 5);
    CU_ASSERT_EQUAL(config_origin(c, CONFIG_LOG_RETENTION_MS).source,
                    CONFIG_SOURCE_DYNAMIC_DEFAULT);
    CU_ASSERT_EQUAL(config_int(c, CONFIG_NUM_PARTITIONS), 1); /* read-only */
    CU_ASSERT_EQUAL(config_int(c, CONFIG_LOG_SEGMENT_BYTES), 1 << 30);
    ASSERT_STR(config_string(c, CONFIG_SSL_PROTOCOL), "TLSv1.3"); /* per broker only */
    CU_ASSERT_EQUAL(ignored, 1);
    struct config *back; /* without them, all is as before; the old object lives on its own */
    CU_ASSERT_EQUAL_FATAL(
        config_with_dynamic(&back, c, (struct config_pairs){0}, (struct config_pairs){0}, NULL), 0);
    fixture_free(&f);
    config_free(c);
    CU_ASSERT_EQUAL(config_int(back, CONFIG_MESSAGE_MAX_BYTES), 1000);
    CU_ASSERT_EQUAL(config_retention_ms(back), 7200000);
    uint32_t n;
    ASSERT_STR(config_listeners(back, &n)[0].host, "127.0.0.1");
    config_free(back);
}

static void test_dynamic_limit(void)
{
    struct fixture f;
    fixture_load(&f, NULL, NULL, 0);
    struct config_pair *pairs = calloc(config_dynamic_pairs_max + 1, sizeof(*pairs));
    for (int i = 0; i <= config_dynamic_pairs_max; i++)
        pairs[i] = (struct config_pair){STR("a"), STR("b")};
    for (uint32_t over = 0; over < 2; over++) {
        struct config *c = NULL;
        struct config_pairs all = {pairs, config_dynamic_pairs_max + over};
        int err = config_with_dynamic(&c, f.config, all, (struct config_pairs){0}, NULL);
        CU_ASSERT_EQUAL(err, over ? ERR_TOO_LARGE : 0);
        config_free(c);
    }
    free(pairs);
    fixture_free(&f);
}

/* Random assignments to known and unknown names: an answer each time, errors only with words. */
static void test_random_files(void)
{
    static const char *const values[] = {"",
                                         "0",
                                         "-1",
                                         "x",
                                         "1,2",
                                         "true",
                                         "9999999999999999999",
                                         "A://b:1,A://c:2",
                                         "PLAINTEXT://0.0.0.0:1",
                                         "a:b,:",
                                         "\\u0041"};
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 300; round++) {
        char text[4096] = "";
        for (uint64_t n = rng_below(&rng, 12); n > 0; n--)
            add(text, sizeof(text), "%s=%s\n",
                config_key_def((enum config_key)rng_below(&rng, CONFIG_KEY_COUNT))->name,
                values[rng_below(&rng, sizeof(values) / sizeof(values[0]))]);
        struct fixture f;
        fixture_load(&f, text, NULL, 0);
        CU_ASSERT_TRUE(f.result == 0 || f.result == ERR_INVALID);
        CU_ASSERT_EQUAL(f.result == ERR_INVALID, f.errs.errors.count > 0);
        fixture_free(&f);
    }
}

UNIT_MAIN("control/config/config", UNIT_CASE(test_defaults), UNIT_CASE(test_shipped_file),
          UNIT_CASE(test_overrides), UNIT_CASE(test_wrong_values), UNIT_CASE(test_relations),
          UNIT_CASE(test_refused), UNIT_CASE(test_all_errors_are_told),
          UNIT_CASE(test_unknown_keys), UNIT_CASE(test_every_key_is_known), UNIT_CASE(test_times),
          UNIT_CASE(test_dirs_ids_and_limits), UNIT_CASE(test_address_limits),
          UNIT_CASE(test_listener_limits), UNIT_CASE(test_files), UNIT_CASE(test_dump),
          UNIT_CASE(test_dynamic), UNIT_CASE(test_dynamic_limit), UNIT_CASE(test_random_files))
