/* metrics: what the counters of network ports come to on the page. */
#include "control/metrics/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "control/metrics/text.h"
#include "dataplane/nic/lane.h"
#include "tests/unit/unit.h"

static char *render(const struct metrics *m)
{
    char *page = NULL;
    size_t len = 0;
    CU_ASSERT_EQUAL_FATAL(metrics_render(m, &page, &len), 0);
    page = realloc(page, len + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(page);
    page[len] = '\0';
    return page;
}

static void ports(void)
{
    static struct metrics m;
    struct lane_counters a = {.rx_frames = 11,
                              .tx_frames = 12,
                              .rx_bytes = 13,
                              .tx_bytes = 14,
                              .rx_handed = 15,
                              .tx_handed = 16};
    struct lane_counters b = {.rx_frames = 21};
    for (int i = 0; i < LANE_DROP_COUNT; i++)
        a.drops[i] = 100 + (uint64_t)i;
    m.clock = clock_system();
    char *page = render(&m);
    CU_ASSERT_PTR_NULL(strstr(page, ",port=\"")); /* no port: no samples */
    free(page);
    metrics_lane_add(&m, &a, 0, "net_tap0,iface=\"x\"");
    metrics_lane_add(&m, &b, 1, "0000:03:00.0");
    page = render(&m);
    static const char *const lines[] = {
        "\nsluice_port_frames_total{shard=\"0\",port=\"net_tap0\",way=\"in\"} 11\n",
        "\nsluice_port_frames_total{shard=\"0\",port=\"net_tap0\",way=\"out\"} 12\n",
        "\nsluice_port_frames_total{shard=\"1\",port=\"0000:03:00.0\",way=\"in\"} 21\n",
        "\nsluice_port_bytes_total{shard=\"0\",port=\"net_tap0\",way=\"in\"} 13\n",
        "\nsluice_port_bytes_total{shard=\"0\",port=\"net_tap0\",way=\"out\"} 14\n",
        "\nsluice_port_handed_over_total{shard=\"0\",port=\"net_tap0\",way=\"in\"} 15\n",
        "\nsluice_port_handed_over_total{shard=\"0\",port=\"net_tap0\",way=\"out\"} 16\n",
        "\nsluice_port_drops_total{shard=\"0\",port=\"net_tap0\",reason=\"rx_handover\"} 100\n",
        "\nsluice_port_drops_total{shard=\"0\",port=\"net_tap0\",reason=\"tx_length\"} 106\n",
        "\nsluice_port_drops_total{shard=\"1\",port=\"0000:03:00.0\",reason=\"tx_full\"} 0\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        CU_ASSERT_PTR_NOT_NULL(strstr(page, lines[i]));
    free(page);
}

static void lanes_to_the_limit(void)
{
    static struct metrics m;
    struct lane_counters one = {.rx_frames = 1};
    m.clock = clock_system();
    for (uint32_t i = 0; i < metrics_lanes_max; i++)
        metrics_lane_add(&m, &one, i / 8,
                         "net_ring_with_a_name_that_is_longer_than_a_label_may_be");
    CU_ASSERT_EQUAL(strlen(m.lanes[0].port), metrics_port_name_max - 1);
    char *page = render(&m);
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "shard=\"63\",port=\"net_ring_with_a_name"));
    free(page);
}

/* Six histograms of produce, four of fetch and four of the others, whatever has been counted. */
static void stages_are_so_many_lines(void)
{
    static struct metrics m;
    uint32_t lines = 0;
    m.clock = clock_system();
    char *page = render(&m);
    for (const char *at = page; (at = strstr(at, "\nsluice_stage_seconds_")) != NULL; at++)
        lines++;
    CU_ASSERT_EQUAL(lines, 14 * text_hist_lines);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(page, "{class=\"produce\",stage=\"appended\",le=\"6.4e-08\"} 0\n"));
    CU_ASSERT_PTR_NULL(strstr(page, "{class=\"fetch\",stage=\"appended\""));
    CU_ASSERT_PTR_NULL(strstr(page, "\nsluice_shard_stage_seconds")); /* no shard */
    free(page);
}

UNIT_MAIN("control/metrics/metrics", UNIT_CASE(ports), UNIT_CASE(lanes_to_the_limit),
          UNIT_CASE(stages_are_so_many_lines))
