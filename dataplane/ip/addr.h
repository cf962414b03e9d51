/*
 * addr: Internet addresses. IPv4 ones are kept as ::ffff:a.b.c.d, so that one type serves both.
 * Network byte order; pure.
 */
#ifndef DATAPLANE_IP_ADDR_H
#define DATAPLANE_IP_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ip_addr {
    uint8_t b[16];
};

#define IP_ADDR_TEXT_MAX 46

/* Four bytes of an IPv4 header. */
static inline struct ip_addr ip_addr_v4(const void *four)
{
    uint32_t v4;
    memcpy(&v4, four, 4);
    /* two stores of words: what compares them next need not wait for smaller ones */
    uint64_t words[2] = {0, (uint64_t)v4 << 32 | 0xffff0000u};
    struct ip_addr a;
    memcpy(a.b, words, 16);
    return a;
}

static inline struct ip_addr ip_addr_v6(const void *sixteen)
{
    struct ip_addr a;
    memcpy(a.b, sixteen, 16);
    return a;
}

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a->b, mapped, 12) == 0;
}

static inline bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a->b, b->b, 16) == 0;
}

/* 0.0.0.0 or :: */
bool ip_addr_is_any(const struct ip_addr *a);

/* 224/4, 255.255.255.255 or ff00::/8 */
bool ip_addr_is_multicast(const struct ip_addr *a);

/* fe80::/10 */
bool ip_addr_is_link_local(const struct ip_addr *a);

/* True if the first `bits` bits agree; of an IPv4 address the 96 bits before it are counted. */
bool ip_addr_in(const struct ip_addr *a, const struct ip_addr *prefix, uint32_t bits);

/* The multicast address on which neighbours ask for a (RFC 4291, section 2.7.1). */
struct ip_addr ip_addr_solicited(const struct ip_addr *a);

/* prefix/64 and the interface identifier made from a MAC address (RFC 4291, appendix A). */
struct ip_addr ip_addr_from_mac(const struct ip_addr *prefix, const uint8_t mac[6]);

/* "10.0.0.1" or "fd00::1". ERR_INVALID. */
int ip_addr_parse(const char *text, struct ip_addr *out);

/* "10.0.0.1/24": *bits counts from the front of the 128 (24 is 120). ERR_INVALID. */
int ip_addr_parse_prefix(const char *text, struct ip_addr *out, uint32_t *bits);

void ip_addr_text(const struct ip_addr *a, char out[IP_ADDR_TEXT_MAX]);

#endif
