#include "dataplane/tcp/checksum.h"

#include <immintrin.h>
#include <rte_mbuf.h>
#include <string.h>

#include "dataplane/tcp/tcp.h"

/* Sums little-endian words and swaps at the end: the ones' complement sum allows it (RFC 1071 2B). */
static uint16_t fold_swap(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return __builtin_bswap16((uint16_t)sum);
}

static uint64_t sum_tail(const uint8_t *p, size_t n, uint64_t sum)
{
    for (; n >= 4; n -= 4, p += 4) {
        uint32_t w;
        memcpy(&w, p, 4);
        sum += w;
    }
    uint32_t last = 0;
    memcpy(&last, p, n);
    return sum + last;
}

uint16_t checksum_scalar(const uint8_t *p, size_t n)
{
    return fold_swap(sum_tail(p, n, 0));
}

/* 32-bit words widened to 64-bit lanes: no carry is lost below 2^32 words. */
__attribute__((target("avx2"))) uint16_t checksum_avx2(const uint8_t *p, size_t n)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i a = _mm256_setzero_si256(), b = a;
    for (; n >= 64; n -= 64, p += 64) {
        __m256i x = _mm256_loadu_si256((const __m256i *)p);
        __m256i y = _mm256_loadu_si256((const __m256i *)(p + 32));
        a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
        a = _mm256_add_epi64(a, _mm256_and_si256(y, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(y, 32));
    }
    uint64_t lane[4];
    _mm256_storeu_si256((__m256i *)lane, _mm256_add_epi64(a, b));
    return fold_swap(sum_tail(p, n, lane[0] + lane[1] + lane[2] + lane[3]));
}

bool checksum_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

checksum_fn checksum_best(void)
{
    return checksum_has_avx2() ? checksum_avx2 : checksum_scalar;
}

uint16_t checksum_chain(checksum_fn fn, const struct rte_mbuf *m, uint32_t len)
{
    uint16_t sum = 0;
    uint32_t done = 0;
    for (; m != NULL && done < len; m = m->next) {
        uint32_t piece = m->data_len < len - done ? m->data_len : len - done;
        uint16_t part = fn(rte_pktmbuf_mtod(m, const uint8_t *), piece);
        if (done & 1) /* a piece at an odd place contributes with its bytes swapped */
            part = __builtin_bswap16(part);
        sum = checksum_add(sum, part);
        done += piece;
    }
    return sum;
}

uint16_t checksum_pseudo(const struct tcp_addrs *addrs, bool outgoing, uint32_t len)
{
    const struct tcp_addr *src = outgoing ? &addrs->local : &addrs->remote;
    const struct tcp_addr *dst = outgoing ? &addrs->remote : &addrs->local;
    bool v4 = tcp_addr_is_v4(src);
    size_t skip = v4 ? 12 : 0;
    uint16_t sum = checksum_scalar(src->b + skip, 16 - skip);
    sum = checksum_add(sum, checksum_scalar(dst->b + skip, 16 - skip));
    sum = checksum_add(sum, (uint16_t)(len >> 16));
    sum = checksum_add(sum, (uint16_t)len);
    return checksum_add(sum, 6); /* the protocol's number */
}
