/*
 * The records of a batch, read in one piece (where most take the short way) and in pieces of a few
 * bytes (where none does): the same answer for what is right, unusual and broken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/kerr.h"
#include "base/rng.h"
#include "storage/plog/validate.h"
#include "tests/unit/unit.h"

#define records_max 300
#define bytes_max   (records_max * 1000)

struct pieces {
    struct reader r; /* first */
    const uint8_t *at, *end;
    uint32_t step;
    uint8_t *held; /* exact size */
};

static bool pieces_more(struct reader *r)
{
    struct pieces *s = (struct pieces *)r;
    size_t n = (size_t)(s->end - s->at);
    if (n == 0)
        return false;
    if (n > s->step)
        n = s->step;
    free(s->held);
    s->held = malloc(n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s->held);
    memcpy(s->held, s->at, n);
    s->at += n;
    r->p = s->held;
    r->end = s->held + n;
    return true;
}

static int16_t walk(const uint8_t *bytes, size_t n, uint32_t step, const struct batch_header *h,
                    const struct validate_rules *rules, struct validate_result *out)
{
    struct pieces s = {
        .r = {.more = pieces_more}, .at = bytes, .end = bytes + n, .step = step ? step : 1};
    int16_t err = validate_records(&s.r, h, rules, out);
    free(s.held);
    return err;
}

static size_t put_bytes(struct rng *rng, uint8_t *p, int32_t len)
{
    size_t n = bytes_put_varint32(p, len);
    for (int32_t i = 0; i < len; i++)
        p[n++] = (uint8_t)rng_u64(rng);
    return n;
}

/* Mostly the kind that producers send; now and then none that is. */
static size_t put_record(struct rng *rng, uint8_t *out, int32_t index)
{
    static uint8_t body[2000];
    bool odd = rng_below(rng, 20) == 0;
    size_t n = 0;
    body[n++] = 0;
    int64_t delta = odd ? (int64_t)rng_u64(rng) >> rng_below(rng, 64) : (int64_t)rng_below(rng, 9);
    n += bytes_put_varint64(body + n, delta);
    n += bytes_put_varint32(body + n, odd && rng_below(rng, 8) == 0 ? index + 1 : index);
    n += put_bytes(rng, body + n, (int32_t)rng_below(rng, 20) - 2);
    n += put_bytes(rng, body + n, (int32_t)rng_below(rng, odd ? 700 : 120) - 1);
    uint32_t headers = odd ? (uint32_t)rng_below(rng, 3) : 0;
    n += bytes_put_varint32(body + n, (int32_t)headers);
    for (uint32_t i = 0; i < 2 * headers; i++)
        n += put_bytes(rng, body + n, (int32_t)rng_below(rng, 30));
    size_t head = bytes_put_varint32(out, (int32_t)n);
    memcpy(out + head, body, n);
    return head + n;
}

static struct validate_rules rules_of(struct rng *rng)
{
    struct validate_rules rules = {.compacted = rng_below(rng, 4) == 0,
                                   .log_append_time = rng_below(rng, 4) == 0,
                                   .now_ms = 1700000000000LL,
                                   .before_max_ms = INT64_MAX,
                                   .after_max_ms = 3600000};
    if (rng_below(rng, 2))
        rules.before_max_ms = (int64_t)rng_below(rng, 10);
    return rules;
}

static void compare(struct rng *rng, const uint8_t *bytes, size_t n, const struct batch_header *h)
{
    static struct validate_result whole, cut;
    struct validate_rules rules = rules_of(rng);
    uint8_t *exact = malloc(n ? n : 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
    memcpy(exact, bytes, n);
    int16_t a = walk(exact, n, (uint32_t)n, h, &rules, &whole);
    int16_t b = walk(exact, n, 1 + (uint32_t)rng_below(rng, 9), h, &rules, &cut);
    free(exact);
    CU_ASSERT_EQUAL_FATAL(a, b);
    CU_ASSERT_EQUAL_FATAL(whole.error_count, cut.error_count);
    CU_ASSERT_EQUAL_FATAL(whole.timestamp_error, cut.timestamp_error);
    if (a == 0)
        CU_ASSERT_EQUAL_FATAL(whole.max_timestamp_ms, cut.max_timestamp_ms);
    uint32_t listed =
        whole.error_count < validate_errors_max ? whole.error_count : validate_errors_max;
    for (uint32_t i = 0; i < listed; i++) {
        CU_ASSERT_EQUAL_FATAL(whole.errors[i].kind, cut.errors[i].kind);
        CU_ASSERT_EQUAL_FATAL(whole.errors[i].index, cut.errors[i].index);
        CU_ASSERT_EQUAL_FATAL(whole.errors[i].timestamp_ms, cut.errors[i].timestamp_ms);
    }
}

static void one_piece_or_many(void)
{
    static uint8_t bytes[bytes_max];
    struct rng rng;
    rng_seed(&rng, unit_seed());
    uint32_t good = 0;
    for (int round = 0; round < 2000; round++) {
        struct batch_header h = {.count = 1 + (int32_t)rng_below(&rng, 40),
                                 .base_timestamp = 1700000000000LL - (int64_t)rng_below(&rng, 12),
                                 .max_timestamp = 1700000000000LL,
                                 .attributes = rng_below(&rng, 8) ? 0 : batch_log_append_time};
        if (rng_below(&rng, 10) == 0)
            h.base_timestamp = -1;
        size_t n = 0;
        for (int32_t i = 0; i < h.count; i++)
            n += put_record(&rng, bytes + n, i);
        if (rng_below(&rng, 2))
            bytes[rng_below(&rng, n)] = (uint8_t)rng_u64(&rng);
        else
            good++;
        if (rng_below(&rng, 10) == 0)
            h.count += (int32_t)rng_below(&rng, 3) - 1;
        compare(&rng, bytes, n, &h);
    }
    CU_ASSERT_TRUE(good > 500);
}

/* Every place at which a batch can be cut off, and one byte too many. */
static void cut_anywhere(void)
{
    static uint8_t bytes[4000];
    struct rng rng;
    rng_seed(&rng, unit_seed());
    struct batch_header h = {.count = 5, .base_timestamp = 1700000000000LL};
    size_t n = 0;
    for (int32_t i = 0; i < h.count; i++)
        n += put_record(&rng, bytes + n, i);
    for (size_t cut = 0; cut <= n + 1; cut++)
        compare(&rng, bytes, cut, &h);
}

/* The widest bounds there are, and those that just hold. */
static void bounds_of_timestamps(void)
{
    uint8_t bytes[64];
    uint8_t pad[64] = {0};
    struct validate_result out;
    struct batch_header h = {.count = 1, .base_timestamp = 1000};
    size_t n = 0;
    static const uint8_t record[] = {0, 0, 0, 1, 1, 0};
    n += bytes_put_varint32(bytes, sizeof(record));
    memcpy(bytes + n, record, sizeof(record));
    n += sizeof(record);
    static const struct {
        int64_t now, before, after;
        uint32_t errors;
    } cases[] = {
        {1000, 0, 0, 0},
        {1001, 0, 0, 1},
        {1001, 1, 0, 0},
        {999, 0, 0, 1},
        {999, 0, 1, 0},
        {INT64_MAX, INT64_MAX, 0, 0},
        {5, INT64_MAX, INT64_MAX, 0},
        {-5, INT64_MAX, INT64_MAX, 0},
        {INT64_MAX, INT64_MAX - 1000, INT64_MAX, 0},
        {INT64_MAX, INT64_MAX - 1001, INT64_MAX, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct validate_rules rules = {.now_ms = cases[i].now,
                                       .before_max_ms = cases[i].before,
                                       .after_max_ms = cases[i].after};
        CU_ASSERT_EQUAL(walk(bytes, n, 100, &h, &rules, &out), 0);
        CU_ASSERT_EQUAL(out.error_count, cases[i].errors);
        CU_ASSERT_EQUAL(out.max_timestamp_ms, 1000);
    }
    /* bytes behind the last record are none of the batch, however they look */
    memcpy(pad, bytes, n);
    struct validate_rules rules = {.now_ms = 1000, .before_max_ms = 0};
    CU_ASSERT_EQUAL(walk(pad, n + 20, 100, &h, &rules, &out), KERR_INVALID_RECORD);
}

UNIT_MAIN("plog/validate", UNIT_CASE(one_piece_or_many), UNIT_CASE(cut_anywhere),
          UNIT_CASE(bounds_of_timestamps))
