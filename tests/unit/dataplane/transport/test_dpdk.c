/* dpdk: the conformance suite over our own TCP, IPv4 and IPv6, bare and below a filter. */
#include <string.h>

#include "base/err.h"
#include "dataplane/transport/dpdk_ports.h"
#include "tests/unit/dataplane/transport/conformance.h"

static const struct world_kind plain = {.name = "dpdk", .dpdk = true};
static const struct world_kind six = {.name = "dpdk v6", .dpdk = true, .v6 = true};
static const struct filter_mark mark = {.key = 0x5a, .every = 100};
static const struct world_kind filtered = {.name = "dpdk filtered", .dpdk = true, .mark = &mark};

CONFORMANCE_TESTS(CONFORMANCE_DEFINE, plain)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, six)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, filtered)

static void refused(const char *text, const char *part)
{
    struct dpdk_ports p;
    char why[512] = "";
    CU_ASSERT_EQUAL(dpdk_ports_parse(&p, text, why, sizeof why), ERR_INVALID);
    if (strstr(why, part) == NULL) {
        printf("\n%s: %s\n", text, why);
        CU_FAIL("the line says something else");
    }
}

static void setting(void)
{
    static struct dpdk_ports p;
    char why[512], args[256];
    CU_ASSERT_EQUAL_FATAL(
        dpdk_ports_parse(&p,
                         " net_tap0,iface=x;address=10.9.0.2/24;gateway=10.9.0.1;mtu=1400;vlan=9;"
                         "netns=lab;address=fd00::2/64;gateway=fe80::1\n"
                         "0000:03:00.0;address=10.8.0.2/16 net_memif0,role=server;ra=auto",
                         why, sizeof why),
        0);
    CU_ASSERT_EQUAL(p.count, 3);
    CU_ASSERT_STRING_EQUAL(p.items[0].device, "net_tap0,iface=x");
    CU_ASSERT_STRING_EQUAL(p.items[0].netns, "lab");
    CU_ASSERT_EQUAL(p.items[0].mtu, 1400);
    CU_ASSERT_EQUAL(p.items[0].vlan, 9);
    CU_ASSERT_EQUAL(p.items[0].address_count, 2);
    CU_ASSERT_EQUAL(p.items[0].addresses[0].bits, 120);
    CU_ASSERT_EQUAL(p.items[0].gateways[0].b[12], 10);
    CU_ASSERT_EQUAL(p.items[0].gateways[1].b[0], 0xfe);
    CU_ASSERT_EQUAL(p.items[1].mtu, 1500);
    CU_ASSERT_TRUE(p.items[2].accept_ra && p.items[2].autoconf);
    CU_ASSERT_EQUAL(dpdk_ports_eal_args(&p, args, sizeof args), 0);
    CU_ASSERT_STRING_EQUAL(args, "-a 0000:03:00.0");
    CU_ASSERT_EQUAL(dpdk_ports_eal_args(&p, args, 10), ERR_TOO_LARGE);
    refused("", "is empty");
    refused("eth0;address=10.0.0.1/8", "no such driver; known: net_tap");
    refused("net_tap0,iface=x", "port net_tap0,iface=x: address: at least one");
    refused("net_tap0;address=10.0.0.1", "with its prefix");
    refused("net_tap0;address=10.0.0.1/33", "with its prefix");
    refused("net_tap0;address=10.0.0.1/8;mtu=575", "576 to 9216");
    refused("net_tap0;address=10.0.0.1/8;vlan=0", "1 to 4094");
    refused("net_tap0;address=10.0.0.1/8;gateway=x", "gateway: an IPv4 or IPv6 address");
    refused("net_tap0;address=10.0.0.1/8;gateway=10.0.0.2;gateway=10.0.0.3", "one for each");
    refused("net_tap0;address=10.0.0.1/8;gateway=11.0.0.2", "no address of the port reaches it");
    refused("net_tap0;address=10.0.0.1/8;speed=9", "no such field; known: address, gateway");
    refused("net_tap0;address", "name=value is wanted");
    refused("net_tap0;address=10.0.0.1/8;ra=off", "on or auto");
}

UNIT_MAIN("transport/dpdk",
          CONFORMANCE_TESTS(CONFORMANCE_CASE, plain) CONFORMANCE_TESTS(CONFORMANCE_CASE, six)
              CONFORMANCE_TESTS(CONFORMANCE_CASE, filtered) UNIT_CASE(setting))
