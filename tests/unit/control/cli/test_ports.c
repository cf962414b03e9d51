/* ports: what is said of a ring, of memif and of devices that are refused; limits. */
#include "control/cli/ports.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "dataplane/nic/port.h"
#include "dataplane/nic/quirks.h"
#include "tests/unit/core/with_eal.h"

#define heap_mb 192

static char why[512];

static char *page_of(const char *const *devices, uint32_t count, uint32_t queues, int want)
{
    char *page = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&page, &size);
    CU_ASSERT_EQUAL(ports_print(devices, count, queues, out, why, sizeof(why)), want);
    fclose(out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(page);
    return page;
}

/* The page has the line in the part of that device, which ends where the next begins. */
static bool says(const char *page, const char *device, const char *line)
{
    const char *at = strstr(page, device);
    const char *end = at ? strchr(at, '\n') : NULL;
    while (end && strncmp(end + 1, "  ", 2) == 0)
        end = strchr(end + 1, '\n');
    const char *found = at ? strstr(at, line) : NULL;
    bool ok = found && (end == NULL || found < end);
    if (!ok)
        fprintf(stderr, "no '%s' for %s in:\n%s", line, device, page);
    return ok;
}

static void ring_and_memif(void)
{
    char memif[128];
    const char *devices[] = {"net_ring0", memif};
    for (int round = 0; round < 2; round++) { /* closed whole: they can be opened again */
        /* the driver keeps listening on the socket of a server that is closed: another one */
        snprintf(memif, sizeof(memif), "net_memif0,role=server,socket=/tmp/sluice-ports-%d-%d.sock",
                 (int)getpid(), round);
        char *page = page_of(devices, 2, 1, 0);
        CU_ASSERT_TRUE(says(page, "net_ring0", "  driver       net_ring\n"));
        CU_ASSERT_TRUE(says(page, "net_ring0", "  link         up"));
        CU_ASSERT_TRUE(says(page, "net_ring0", "  MTU          1500\n"));
        CU_ASSERT_TRUE(says(page, "net_ring0", "  queues       1 asked for, 1 made, "));
        CU_ASSERT_TRUE(says(page, "net_ring0", "tx-checksum  asked for, done in software"));
        CU_ASSERT_TRUE(says(page, "net_ring0", "tso          asked for, segments are cut by our"));
        CU_ASSERT_TRUE(says(page, "net_ring0", "scatter      asked for, done by the port\n"));
        CU_ASSERT_TRUE(says(page, "net_ring0", "steering     not needed"));
        CU_ASSERT_TRUE(says(page, memif, "  driver       net_memif\n"));
        CU_ASSERT_TRUE(says(page, memif, "  link         down\n")); /* nobody at the other end */
        CU_ASSERT_TRUE(says(page, memif, "  idle         sleeps in steps\n"));
        CU_ASSERT_TRUE(says(page, memif, "  quirk        merges frames"));
        CU_ASSERT_PTR_NULL(strstr(page, "refused"));
        free(page);
    }
}

static void queues_and_fields(void)
{
    const char *devices[] = {"net_ring1;mtu=1400;address=10.0.0.2/24"};
    char *page = page_of(devices, 1, 3, 0);
    CU_ASSERT_TRUE(says(page, "net_ring1", "  queues       3 asked for, "));
    CU_ASSERT_TRUE(says(page, "net_ring1", "  MTU          1400\n"));
    CU_ASSERT_TRUE(says(page, "net_ring1", "  steering     in software"));
    free(page);
}

/* One that is refused does not keep the others from being looked at. */
static void refused(void)
{
    const char *devices[] = {"net_nothing0",      "net_memif1,role=waiter",
                             "net_ring2;mtu=100", "net_ring3 net_ring4",
                             "net_ring5",         "net_tap6,iface=lo"};
    char *page = page_of(devices, 6, 1, 5);
    CU_ASSERT_TRUE(says(page, "net_nothing0", "  refused      "));
    CU_ASSERT_TRUE(says(page, "net_nothing0", "no such driver; known: net_tap"));
    CU_ASSERT_TRUE(says(page, "net_memif1", "net_memif needs a role"));
    CU_ASSERT_TRUE(says(page, "net_ring2", "576 to 9216 is wanted"));
    CU_ASSERT_TRUE(says(page, "net_ring3", "  refused      "));
    CU_ASSERT_TRUE(says(page, "net_tap6", "its interface exists"));
    CU_ASSERT_TRUE(says(page, "net_ring5", "  driver       net_ring\n"));
    free(page);
}

static void limits(void)
{
    const char *devices[port_count_max + 1];
    for (uint32_t i = 0; i <= port_count_max; i++)
        devices[i] = "net_nothing0";
    free(page_of(devices, port_count_max, port_queues_max, port_count_max));
    free(page_of(devices, port_count_max + 1, 1, ERR_INVALID));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "at most 8 devices"));
    free(page_of(devices, 1, 0, ERR_INVALID));
    free(page_of(devices, 1, port_queues_max + 1, ERR_INVALID));
}

static void quirks_in_words(void)
{
    const struct quirks *tap = quirks_find("net_tap0"), *card = quirks_find("0000:03:00.0");
    CU_ASSERT_PTR_NOT_NULL_FATAL(tap);
    CU_ASSERT_PTR_NOT_NULL_FATAL(card);
    uint32_t n = 0;
    while (quirks_text(tap, n) != NULL)
        n++;
    CU_ASSERT_EQUAL(n, 6); /* MTU, queues, offloads, signals, interface, MAC */
    CU_ASSERT_PTR_NULL(quirks_text(card, 0));
}

static void eal_first(void)
{
    with_eal(heap_mb); /* one for all cases; ports_print takes what is up */
    CU_PASS("up");
}

UNIT_MAIN("control/cli/ports", UNIT_CASE(eal_first), UNIT_CASE(ring_and_memif),
          UNIT_CASE(queues_and_fields), UNIT_CASE(refused), UNIT_CASE(limits),
          UNIT_CASE(quirks_in_words))
