/* http: the three pages, everything else refused, addresses that are none. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "control/metrics/http.h"
#include "tests/unit/unit.h"

static struct metrics m; /* without shards: the sums are zero */
static char page[1 << 20];

/* Sends the request and reads until the end; returns the status. */
static int ask(uint16_t port, const char *method, const char *path)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0), status = -1;
    size_t have = 0;
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    int n = snprintf(request, sizeof(request), "%s %s HTTP/1.0\r\n\r\n", method, path);
    CU_ASSERT_EQUAL(send(fd, request, (size_t)n, 0), n);
    for (ssize_t got;
         have < sizeof(page) - 1 && (got = recv(fd, page + have, sizeof(page) - 1 - have, 0)) > 0;)
        have += (size_t)got;
    page[have] = 0;
    close(fd);
    sscanf(page, "HTTP/1.%*d %d", &status);
    return status;
}

static struct metrics_http *up(void)
{
    struct metrics_http *h;
    char why[256] = "";
    m.clock = clock_system();
    int err = metrics_http_new(&h, STR("127.0.0.1:0"), &m, why, sizeof(why));
    CU_ASSERT_EQUAL_FATAL(err, 0);
    return h;
}

static void test_pages(void)
{
    struct metrics_http *h = up();
    uint16_t port = metrics_http_port(h);
    atomic_store(&m.state, METRICS_STARTING);
    CU_ASSERT_EQUAL(ask(port, "GET", "/healthz"), 200);
    CU_ASSERT_EQUAL(ask(port, "GET", "/readyz"), 503);
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "starting"));
    atomic_store(&m.state, METRICS_READY);
    CU_ASSERT_EQUAL(ask(port, "GET", "/readyz"), 200);
    CU_ASSERT_EQUAL(ask(port, "GET", "/metrics"), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "\nsluice_ready 1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "# TYPE sluice_stage_seconds histogram"));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "process_resident_memory_bytes "));
    atomic_store(&m.state, METRICS_STOPPING);
    CU_ASSERT_EQUAL(ask(port, "GET", "/readyz"), 503);
    CU_ASSERT_EQUAL(ask(port, "GET", "/"), 404);
    CU_ASSERT_EQUAL(ask(port, "GET", "/metrics/../etc"), 404);
    CU_ASSERT_EQUAL(ask(port, "POST", "/metrics"), 405);
    metrics_http_free(h);
}

static void test_bad_addresses(void)
{
    static const char *const bad[] = {
        "",           "9404",      "localhost:1", "127.0.0.1",
        "127.0.0.1:", "[::1:9404", "1.2.3.4:x",   "127.0.0.1:99999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct metrics_http *h = NULL;
        char why[256] = "";
        CU_ASSERT_EQUAL(metrics_http_new(&h, str_from(bad[i]), &m, why, sizeof(why)), ERR_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, "sluice.metrics.listener"));
        CU_ASSERT_PTR_NULL(h);
    }
}

static void test_port_in_use(void)
{
    struct metrics_http *h = up(), *other = NULL;
    char address[64], why[256] = "";
    snprintf(address, sizeof(address), "127.0.0.1:%u", metrics_http_port(h));
    CU_ASSERT_EQUAL(metrics_http_new(&other, str_from(address), &m, why, sizeof(why)), ERR_BUSY);
    metrics_http_free(h);
    metrics_http_free(NULL);
}

UNIT_MAIN("control/metrics/http", UNIT_CASE(test_pages), UNIT_CASE(test_bad_addresses),
          UNIT_CASE(test_port_in_use))
