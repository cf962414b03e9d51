/* wire: headers there and back, options that lie, sequence arithmetic. */
#include "dataplane/tcp/wire.h"

#include <string.h>

#include "base/err.h"
#include "tests/unit/unit.h"

static struct tcp_seg random_segment(struct rng *r)
{
    struct tcp_seg s = {.src = (uint16_t)rng_u64(r),
                        .dst = (uint16_t)rng_u64(r),
                        .seq = (uint32_t)rng_u64(r),
                        .ack = (uint32_t)rng_u64(r),
                        .window = (uint16_t)rng_u64(r),
                        .urgent = (uint16_t)rng_u64(r)};
    s.flags = (uint8_t)rng_u64(r);
    if (s.flags & TCP_SYN) {
        s.mss = (uint16_t)rng_below(r, 65536);
        s.has_scale = rng_below(r, 2);
        s.scale = s.has_scale ? (uint8_t)rng_below(r, 15) : 0;
        s.sack_ok = rng_below(r, 2);
    } else {
        s.sacks = (uint8_t)rng_below(r, 4);
        for (uint32_t i = 0; i < s.sacks; i++)
            s.sack[i] = (struct tcp_block){(uint32_t)rng_u64(r), (uint32_t)rng_u64(r)};
    }
    s.has_ts = rng_below(r, 2);
    if (s.has_ts) {
        s.ts_val = (uint32_t)rng_u64(r);
        s.ts_ecr = (uint32_t)rng_u64(r);
    }
    return s;
}

static void there_and_back(void)
{
    struct rng r;
    rng_seed(&r, unit_seed());
    for (int i = 0; i < 20000; i++) {
        struct tcp_seg in = random_segment(&r), out;
        uint8_t bytes[TCP_HEADER_MAX];
        uint32_t n = tcp_wire_write(&in, bytes);
        CU_ASSERT_FATAL(n <= TCP_HEADER_MAX && n % 4 == 0 && n == tcp_wire_header_len(&in));
        CU_ASSERT_EQUAL_FATAL(tcp_wire_parse(bytes, n, n + 7, &out), 0);
        CU_ASSERT_FATAL(out.src == in.src && out.dst == in.dst && out.seq == in.seq &&
                        out.ack == in.ack && out.flags == in.flags && out.window == in.window &&
                        out.payload == 7 && out.header == n);
        CU_ASSERT_FATAL(out.mss == in.mss && out.has_scale == in.has_scale &&
                        out.sack_ok == in.sack_ok && out.sacks == in.sacks &&
                        out.has_ts == in.has_ts);
        CU_ASSERT_FATAL(!in.has_scale || out.scale == in.scale);
        CU_ASSERT_FATAL(!in.has_ts || (out.ts_val == in.ts_val && out.ts_ecr == in.ts_ecr));
        CU_ASSERT_FATAL(memcmp(out.sack, in.sack, in.sacks * sizeof in.sack[0]) == 0);
    }
}

static struct tcp_seg parse(const uint8_t *options, uint32_t n, uint8_t flags)
{
    uint8_t bytes[TCP_HEADER_MAX] = {0};
    struct tcp_seg s;
    bytes[12] = (uint8_t)((TCP_HEADER + 40) / 4 << 4);
    bytes[13] = flags;
    memcpy(bytes + TCP_HEADER, options, n);
    CU_ASSERT_EQUAL(tcp_wire_parse(bytes, sizeof bytes, sizeof bytes, &s), 0);
    return s;
}

/* RFC 9293 MUST-6 and MUST-7: unknown options are skipped, illegal lengths hurt nobody. */
static void options_that_lie(void)
{
    static const uint8_t unknown[] = {250, 5, 1, 2, 3, 2, 4, 5, 0xb4};
    CU_ASSERT_EQUAL(parse(unknown, sizeof unknown, TCP_SYN).mss, 1460);
    static const uint8_t zero[] = {250, 0, 2, 4, 5, 0xb4};
    CU_ASSERT_EQUAL(parse(zero, sizeof zero, TCP_SYN).mss, 0);
    static const uint8_t one[] = {250, 1, 2, 4, 5, 0xb4};
    CU_ASSERT_EQUAL(parse(one, sizeof one, TCP_SYN).mss, 0);
    static const uint8_t beyond[] = {2, 200, 5, 0xb4};
    CU_ASSERT_EQUAL(parse(beyond, sizeof beyond, TCP_SYN).mss, 0);
    static const uint8_t wide[] = {3, 3, 200};
    CU_ASSERT_EQUAL(parse(wide, sizeof wide, TCP_SYN).scale, 14); /* RFC 7323 2.3 */
    CU_ASSERT_FALSE(parse(wide, sizeof wide, TCP_ACK).has_scale);
    static const uint8_t odd[] = {5, 9, 0, 0, 0, 1, 0, 0, 0};
    CU_ASSERT_EQUAL(parse(odd, sizeof odd, TCP_ACK).sacks, 0);
}

static void lengths(void)
{
    uint8_t bytes[TCP_HEADER_MAX] = {0};
    struct tcp_seg s;
    bytes[12] = 5 << 4;
    CU_ASSERT_EQUAL(tcp_wire_parse(bytes, 19, 19, &s), ERR_MALFORMED);
    CU_ASSERT_EQUAL(tcp_wire_parse(bytes, 20, 20, &s), 0);
    bytes[12] = 4 << 4;
    CU_ASSERT_EQUAL(tcp_wire_parse(bytes, 20, 20, &s), ERR_MALFORMED);
    bytes[12] = 6 << 4;
    CU_ASSERT_EQUAL(tcp_wire_parse(bytes, 20, 20, &s), ERR_MALFORMED);
    CU_ASSERT_EQUAL(tcp_wire_parse(bytes, 24, 24, &s), 0);
}

static void sequence_numbers(void)
{
    CU_ASSERT_TRUE(seq_lt(0xffffffff, 0));
    CU_ASSERT_TRUE(seq_gt(5, 0xfffffff0));
    CU_ASSERT_TRUE(seq_le(7, 7) && seq_ge(7, 7) && !seq_lt(7, 7));
    CU_ASSERT_EQUAL(seq_max(0xffffffff, 1), 1);
    CU_ASSERT_EQUAL(seq_min(0xffffffff, 1), 0xffffffff);
}

UNIT_MAIN("dataplane/tcp/wire", UNIT_CASE(there_and_back), UNIT_CASE(options_that_lie),
          UNIT_CASE(lengths), UNIT_CASE(sequence_numbers))
