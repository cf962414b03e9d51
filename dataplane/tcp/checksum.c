#include "dataplane/tcp/checksum.h"

#include <immintrin.h>
#include <rte_mbuf.h>
#include <string.h>

#include "dataplane/tcp/tcp.h"

#define protocol_tcp     6
#define vector_bytes_min 256 /* below that setting the vectors up costs more */

/* Sums little-endian words and swaps at the end: the ones' complement sum allows it (RFC 1071 2B). */
static uint16_t fold_swap(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return __builtin_bswap16((uint16_t)sum);
}

/* 2^64 is 1 modulo 2^16 - 1: what is carried out comes in again below. */
static inline uint64_t add_carry(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

static inline uint64_t word_at(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

/* Two sums side by side, so that carries do not wait for each other. */
static inline uint64_t sum_words(const uint8_t *p, size_t n, uint64_t sum)
{
    uint64_t other = 0, last = 0;
    for (; n >= 16; n -= 16, p += 16) {
        sum = add_carry(sum, word_at(p));
        other = add_carry(other, word_at(p + 8));
    }
    if (n >= 8) {
        sum = add_carry(sum, word_at(p));
        p += 8;
        n -= 8;
    }
    for (size_t i = 0; i < n; i++) /* the missing byte of an odd end is zero */
        last |= (uint64_t)p[i] << (8 * i);
    return add_carry(add_carry(sum, other), last);
}

uint16_t checksum_scalar(const uint8_t *p, size_t n)
{
    return fold_swap(sum_words(p, n, 0));
}

/* 32-bit words widened to 64-bit lanes: no carry is lost below 2^32 words. */
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, size_t n)
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
    return lane[0] + lane[1] + lane[2] + lane[3];
}

uint16_t checksum_avx2(const uint8_t *p, size_t n)
{
    size_t wide = n >= vector_bytes_min ? n / 64 * 64 : 0;
    uint64_t sum = wide > 0 ? sum_avx2(p, wide) : 0;
    return fold_swap(sum_words(p + wide, n - wide, sum));
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

uint16_t checksum_pseudo(const struct tcp_addrs *addrs, uint32_t len)
{
    /* An IPv4 address's ::ffff: before it adds 0xffff, which is zero in this arithmetic. */
    uint64_t sum = __builtin_bswap32(len) + (uint64_t)__builtin_bswap16(protocol_tcp);
    sum = add_carry(sum, word_at(addrs->local.b));
    sum = add_carry(sum, word_at(addrs->local.b + 8));
    sum = add_carry(sum, word_at(addrs->remote.b));
    return fold_swap(add_carry(sum, word_at(addrs->remote.b + 8)));
}
