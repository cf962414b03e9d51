/*
 * Random bytes as what a produce request carries for one partition: the header's checks, then the
 * records, plain or decompressed. Input: byte 0 where the chain and the chunks are cut, byte 1 the
 * settings, then the bytes. The checksum is made right on half of the inputs, so that what lies
 * behind it is reached.
 *
 * Checked besides the sanitizers: a batch that passes has exactly the records that it says, and the
 * walk in pieces comes to the same end as the walk over one piece.
 */
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "core/chain.h"
#include "storage/plog/decompress.h"
#include "storage/plog/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define input_bytes_max 16384

struct pieces {
    struct reader r;
    const uint8_t *at, *end;
    uint32_t step;
    uint8_t *copy[2]; /* exact size, so that reading past a piece is seen */
};

static bool pieces_more(struct reader *r)
{
    struct pieces *s = (struct pieces *)r;
    size_t n = (size_t)(s->end - s->at);
    if (n == 0)
        return false;
    if (s->step && n > s->step)
        n = s->step;
    free(s->copy[0]);
    s->copy[0] = s->copy[1]; /* the piece before may still be looked at */
    s->copy[1] = malloc(n);
    CHECK(s->copy[1] != NULL);
    memcpy(s->copy[1], s->at, n);
    s->at += n;
    r->p = s->copy[1];
    r->end = r->p + n;
    return true;
}

static int16_t walk(const uint8_t *bytes, const struct batch_header *h, uint32_t step,
                    const struct validate_rules *rules, struct validate_result *out)
{
    static struct unzip *unzip;
    if (unzip == NULL)
        CHECK(unzip_new(&unzip) == 0);
    struct pieces s = {.r = {.more = pieces_more},
                       .at = bytes + batch_header_bytes,
                       .end = bytes + h->bytes,
                       .step = step};
    struct reader *r = &s.r;
    if (batch_codec(h) != CODEC_NONE)
        r = unzip_open(unzip, batch_codec(h), r);
    int16_t err = validate_records(r, h, rules, out);
    unzip_close(unzip);
    free(s.copy[0]);
    free(s.copy[1]);
    return err;
}

/* Two mbufs on the stack stand for a received chain. */
static struct chain_view chain_over(struct rte_mbuf m[2], uint8_t *bytes, uint32_t n, uint32_t cut)
{
    memset(m, 0, 2 * sizeof(*m));
    if (cut >= n)
        cut = n / 2;
    m[0].buf_addr = bytes;
    m[0].data_len = (uint16_t)cut;
    m[1].buf_addr = bytes + cut;
    m[1].data_len = (uint16_t)(n - cut);
    m[0].next = &m[1];
    struct rte_mbuf *first = cut ? &m[0] : &m[1];
    return (struct chain_view){{first, 0}, n};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rte_mbuf m[2];
    struct batch_header h;
    static struct validate_result whole, cut;
    uint8_t raw[batch_header_bytes];
    bool known;
    if (size < 3 || size > input_bytes_max)
        return 0;
    uint32_t n = (uint32_t)size - 2;
    uint8_t *bytes = malloc(n);
    CHECK(bytes != NULL);
    memcpy(bytes, data + 2, n);
    if ((data[1] & 1) && n >= batch_header_bytes) {
        bytes_put_u32(bytes + BATCH_LENGTH, n - batch_overhead_bytes);
        bytes[BATCH_MAGIC] = 2;
        memset(bytes, 0, 8);
    }
    struct batch_rules rules = {data[1] & 2, data[1] & 4, input_bytes_max};
    if (batch_check(chain_over(m, bytes, n, data[0]), &rules, raw, &h, &known) == 0) {
        CHECK(h.bytes >= batch_header_bytes && h.bytes <= n);
        if (batch_check_fields(&h, rules.from_client) == 0) {
            struct validate_rules v = {.compacted = data[1] & 8,
                                       .log_append_time = data[1] & 16,
                                       .now_ms = 1700000000000LL,
                                       .before_max_ms = INT64_MAX,
                                       .after_max_ms = 3600000};
            int16_t a = walk(bytes, &h, 0, &v, &whole);
            int16_t b = walk(bytes, &h, 1 + data[0], &v, &cut);
            CHECK((a == 0) == (b == 0)); /* which error comes first depends on the pieces */
            CHECK(a != 0 || (whole.max_timestamp_ms == cut.max_timestamp_ms &&
                             whole.error_count == cut.error_count));
        }
    }
    free(bytes);
    return 0;
}
