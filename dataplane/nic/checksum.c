#include "dataplane/nic/checksum.h"

#include <immintrin.h>
#include <rte_mbuf.h>
#include <string.h>

#include "base/check.h"

uint64_t checksum_add_portable(uint64_t sum, const void *p, size_t n)
{
    return checksum_add_small(sum, p, n);
}

#define vector_bytes_min 128

/*
 * 32-bit words are added as 64-bit lanes: no carry is lost before 2^32 words. Needs n >= 32; leaves
 * n % 32 bytes to the caller.
 */
__attribute__((target("avx2"))) static uint64_t add_avx2(uint64_t sum, const uint8_t *at, size_t n)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (; n >= 64; at += 64, n -= 64) {
        __m256i x = _mm256_loadu_si256((const __m256i *)at);
        __m256i y = _mm256_loadu_si256((const __m256i *)(at + 32));
        a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
        c = _mm256_add_epi64(c, _mm256_and_si256(y, low));
        d = _mm256_add_epi64(d, _mm256_srli_epi64(y, 32));
    }
    if (n >= 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)at);
        a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
    }
    uint64_t lane[4];
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    _mm256_storeu_si256((__m256i *)lane, a);
    for (int i = 0; i < 4; i++)
        sum = checksum_carry(sum, lane[i]);
    return sum;
}

uint64_t checksum_add(uint64_t sum, const void *p, size_t n)
{
    /* What the CPU has was asked for once, before main; this reads the answer. */
    if (n < vector_bytes_min || !__builtin_cpu_supports("avx2"))
        return checksum_add_portable(sum, p, n);
    size_t wide = n / 32 * 32;
    sum = add_avx2(sum, p, wide);
    return checksum_add_portable(sum, (const uint8_t *)p + wide, n - wide);
}

uint64_t checksum_mbuf(uint64_t sum, const struct rte_mbuf *m, uint32_t off, uint32_t n)
{
    while (m != NULL && off >= m->data_len) {
        off -= m->data_len;
        m = m->next;
    }
    bool odd = false; /* the next piece starts in the middle of a 16-bit word */
    while (n > 0) {
        CHECK(m != NULL);
        uint32_t len = m->data_len - off < n ? m->data_len - off : n;
        uint64_t piece = checksum_add(0, rte_pktmbuf_mtod_offset(m, const uint8_t *, off), len);
        uint64_t part = checksum_fold(piece);
        sum = checksum_carry(sum, odd ? __builtin_bswap16((uint16_t)part) : part);
        odd ^= (len & 1) != 0;
        n -= len;
        off = 0;
        m = m->next;
    }
    return sum;
}
