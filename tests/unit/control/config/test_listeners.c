#include "base/err.h"
#include "fixture.h"

static void check_error(const char *text, const char *message)
{
    struct fixture f;
    fixture_load(&f, text, NULL, 0);
    CU_ASSERT_EQUAL(f.result, ERR_INVALID);
    CU_ASSERT_TRUE(messages_have(&f.errs.errors, message));
    fixture_free(&f);
}

static const struct config_listener *load_good(struct fixture *f, const char *text, uint32_t count)
{
    uint32_t n = 0;
    fixture_load(f, text, NULL, 0);
    if (f->result)
        messages_have(&f->errs.errors, "");
    CU_ASSERT_EQUAL_FATAL(f->result, 0);
    const struct config_listener *l = config_listeners(f->config, &n);
    CU_ASSERT_EQUAL_FATAL(n, count);
    return l;
}

static void test_default(void)
{
    struct fixture f;
    const struct config_listener *l = load_good(&f, "", 1);
    ASSERT_STR(l->name, "PLAINTEXT");
    ASSERT_STR(l->host, "127.0.0.1");
    ASSERT_STR(l->advertised_host, "127.0.0.1");
    CU_ASSERT_EQUAL(l->port, 9092);
    CU_ASSERT_EQUAL(l->advertised_port, 9092);
    CU_ASSERT_EQUAL(l->transport, CONFIG_TRANSPORT_URING);
    CU_ASSERT_EQUAL(l->protocol, CONFIG_PROTOCOL_PLAINTEXT);
    CU_ASSERT_TRUE(l->is_advertised && l->is_inter_broker);
    CU_ASSERT_FALSE(l->is_controller || l->is_ipv6);
    fixture_free(&f);
}

static void test_several(void)
{
    struct fixture f;
    const struct config_listener *l =
        load_good(&f,
                  "listeners=in://:0, OUT://[fe80::1]:9092 ,V4://10.0.0.1:9092\n"
                  "listener.security.protocol.map=in:PLAINTEXT,OUT:PLAINTEXT, V4 : PLAINTEXT\n"
                  "inter.broker.listener.name=Out\nlistener.name.out.sluice.transport=uring",
                  3);
    ASSERT_STR(l[0].name, "IN");
    ASSERT_STR(l[0].host, "");
    CU_ASSERT_EQUAL(l[0].port, 0);
    ASSERT_STR(l[0].advertised_host, "host.x");
    CU_ASSERT_EQUAL(l[0].advertised_port, 0);
    CU_ASSERT_TRUE(l[1].is_ipv6);
    ASSERT_STR(l[1].host, "fe80::1");
    CU_ASSERT_TRUE(l[1].is_inter_broker);
    CU_ASSERT_FALSE(l[0].is_inter_broker || l[2].is_inter_broker || l[2].is_ipv6);
    fixture_free(&f);
    /* Without a setting and without a PLAINTEXT listener, the first one serves brokers. */
    l = load_good(
        &f, "listeners=A://:1,B://:2\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT", 2);
    CU_ASSERT_TRUE(l[0].is_inter_broker);
    fixture_free(&f);
}

static void test_advertised(void)
{
    struct fixture f;
    const struct config_listener *l = load_good(
        &f,
        "listeners=A://0.0.0.0:1,B://:2\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\n"
        "advertised.listeners=A://broker.example.org:9000",
        2);
    ASSERT_STR(l[0].advertised_host, "broker.example.org");
    CU_ASSERT_EQUAL(l[0].advertised_port, 9000);
    CU_ASSERT_FALSE(l[1].is_advertised);
    fixture_free(&f);
    /* Two listeners may be advertised with one port. */
    l = load_good(
        &f,
        "listeners=A://:1,B://:2\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\n"
        "advertised.listeners=A://x:9000,B://y:9000",
        2);
    CU_ASSERT_TRUE(l[0].is_advertised && l[1].is_advertised);
    fixture_free(&f);
    check_error(
        "listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://0.0.0.0:1",
        "f:2: advertised.listeners: found 'PLAINTEXT://0.0.0.0:1', allowed: an address that "
        "clients can connect to; 0.0.0.0 and [::] stand for every interface");
    check_error("listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://[::]:1",
                "f:2: advertised.listeners: found 'PLAINTEXT://[::]:1', allowed: an address that "
                "clients can connect to; 0.0.0.0 and [::] stand for every interface");
    check_error(
        "listeners=PLAINTEXT://0.0.0.0:1",
        "f:1: listeners: found 'PLAINTEXT://0.0.0.0:1', allowed: with 0.0.0.0 or [::] here, "
        "set advertised.listeners to an address that clients can connect to");
    check_error("advertised.listeners=OTHER://x:1",
                "f:1: advertised.listeners: found 'OTHER://x:1', allowed: names that stand in "
                "listeners too");
}

static void test_bad_endpoints(void)
{
    static const char *const bad[] = {"PLAINTEXT:/x:1",
                                      "PLAINTEXT://x",
                                      "PLAINTEXT://x:",
                                      "PLAINTEXT://x:y",
                                      "://x:1",
                                      "PLAINTEXT://x:65536",
                                      "PLAINTEXT://x:-1",
                                      "PLAINTEXT://a b:1",
                                      "PLAINTEXT",
                                      "x:1",
                                      "PLAINTEXT://x:1:",
                                      "PLAINTEXT://x/y:1",
                                      "PLAINTEXT://",
                                      "PLAINTEXT://:",
                                      "PLAINTEXT://h:1 h:2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128], message[256];
        snprintf(text, sizeof(text), "listeners=%s", bad[i]);
        snprintf(message, sizeof(message),
                 "f:1: listeners: found '%s', allowed: NAME://host:port separated by commas, an "
                 "IPv6 address in brackets",
                 bad[i]);
        check_error(text, message);
    }
}

static void test_duplicates(void)
{
    check_error("listeners=A://:1,a://:2",
                "f:1: listeners: found 'A://:1,a://:2', allowed: each listener with a name of its "
                "own");
    static const char *const same_port[] = {"A://:1,B://:1", "A://10.0.0.1:1,B://10.0.0.2:1",
                                            "A://10.0.0.1:1,B://[::1]:1,C://[::2]:1",
                                            "A://host:1,B://[::1]:1"};
    for (size_t i = 0; i < sizeof(same_port) / sizeof(same_port[0]); i++) {
        char text[128], message[256];
        snprintf(text, sizeof(text), "listeners=%s", same_port[i]);
        snprintf(
            message, sizeof(message),
            "f:1: listeners: found '%s', allowed: each listener with a port of its own, or one "
            "port for one IPv4 and one IPv6 address",
            same_port[i]);
        check_error(text, message);
    }
    struct fixture f;
    load_good(&f, "listeners=A://:0,B://:0\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT",
              2);
    fixture_free(&f);
    check_error("advertised.listeners=PLAINTEXT://a:1,PLAINTEXT://b:1",
                "f:1: advertised.listeners: found 'PLAINTEXT://a:1,PLAINTEXT://b:1', allowed: each "
                "listener with a name of its own");
}

static void test_protocols(void)
{
    check_error("listeners=SSL://:1", "f:1: listeners: SSL wants SSL or SASL, which is not built "
                                      "yet; allowed: PLAINTEXT");
    check_error("listeners=X://:1\nlistener.security.protocol.map=X:SASL_SSL",
                "f:1: listeners: X wants SSL or SASL, which is not built yet; allowed: PLAINTEXT");
    check_error("listeners=X://:1",
                "f:1: listeners: no protocol for listener X in listener.security.protocol.map");
    static const char *const bad[] = {"X",          "X:",          "X:TLS",
                                      ":PLAINTEXT", "X:plaintext", "X:PLAINTEXT,"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128], message[256];
        snprintf(text, sizeof(text), "listener.security.protocol.map=%s", bad[i]);
        snprintf(
            message, sizeof(message),
            "f:1: listener.security.protocol.map: found '%s', allowed: NAME:PROTOCOL separated "
            "by commas, a protocol one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
            bad[i]);
        check_error(text, message);
    }
}

static void test_controllers(void)
{
    struct fixture f;
    /* While the map is not set, a controller listener is PLAINTEXT by itself. */
    const struct config_listener *l =
        load_good(&f, "listeners=PLAINTEXT://:1,CTRL://:2\ncontroller.listener.names=ctrl", 2);
    CU_ASSERT_TRUE(l[1].is_controller && !l[1].is_advertised);
    CU_ASSERT_FALSE(l[0].is_controller);
    fixture_free(&f);
    check_error("controller.listener.names=CTRL",
                "f:1: controller.listener.names: found 'CTRL', allowed: names that stand in "
                "listeners");
    check_error("listeners=CTRL://:2\ncontroller.listener.names=CTRL",
                "f:1: listeners: found 'CTRL://:2', allowed: at least one listener that is not the "
                "controllers'");
    check_error("listeners=PLAINTEXT://:1,C://:2\ncontroller.listener.names=C\n"
                "inter.broker.listener.name=C",
                "f:3: inter.broker.listener.name: found 'C', allowed: the name of an advertised "
                "listener that is not the controllers'");
    check_error("inter.broker.listener.name=PLAINTEXT\nsecurity.inter.broker.protocol=PLAINTEXT",
                "f:1: inter.broker.listener.name: found 'PLAINTEXT', allowed: only one of this and "
                "security.inter.broker.protocol");
}

static void test_transport(void)
{
    CU_ASSERT_TRUE(config_transport_built(CONFIG_TRANSPORT_URING));
    CU_ASSERT_TRUE(config_transport_built(CONFIG_TRANSPORT_DPDK));
    check_error("listener.name.plaintext.sluice.transport=tcp",
                "f:1: listener.name.plaintext.sluice.transport: found 'tcp', allowed: uring or "
                "dpdk");
    check_error("sluice.transport=tcp",
                "f:1: sluice.transport: found 'tcp', allowed: one of uring, "
                "dpdk");
}

static void test_limit(void)
{
    for (int over = 0; over < 2; over++) {
        char text[4096] = "listeners=", map[2048] = "\nlistener.security.protocol.map=";
        for (int i = 0; i < config_listeners_max + over; i++) {
            add(text, sizeof(text), "%sL%d://:%d", i ? "," : "", i, 1000 + i);
            add(map, sizeof(map), "%sL%d:PLAINTEXT", i ? "," : "", i);
        }
        add(text, sizeof(text), "%s", map);
        struct fixture f;
        fixture_load(&f, text, NULL, 0);
        CU_ASSERT_EQUAL(f.result, over ? ERR_INVALID : 0);
        fixture_free(&f);
    }
}

UNIT_MAIN("control/config/listeners", UNIT_CASE(test_default), UNIT_CASE(test_several),
          UNIT_CASE(test_advertised), UNIT_CASE(test_bad_endpoints), UNIT_CASE(test_duplicates),
          UNIT_CASE(test_protocols), UNIT_CASE(test_controllers), UNIT_CASE(test_transport),
          UNIT_CASE(test_limit))
