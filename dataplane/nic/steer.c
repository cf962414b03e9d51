#include "dataplane/nic/steer.h"

#include <rte_mbuf.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define key_word 0x6d5a /* spreads well and is symmetric (Woo and Park, 2012) */

#define ether_bytes    14
#define vlan_bytes     4
#define ethertype_vlan 0x8100
#define ethertype_arp  0x0806
#define ethertype_v4   0x0800
#define ethertype_v6   0x86dd

#define proto_icmp   1
#define proto_tcp    6
#define proto_icmpv6 58

#define extensions_max   8 /* IPv6 extension headers, as in dataplane/ip */
#define next_hop_by_hop  0
#define next_routing     43
#define next_fragment    44
#define next_destination 60

void steer_key(uint8_t key[steer_key_bytes])
{
    for (size_t i = 0; i < steer_key_bytes; i += 2)
        bytes_put_u16(key + i, key_word);
}

/*
 * Toeplitz is linear, and with this key the window of bit i is that of bit i mod 16: so the words
 * may be joined by XOR first.
 */
static uint32_t toeplitz_word(uint16_t word)
{
    const uint64_t key = 0x0001000100010001ULL * key_word;
    uint32_t hash = 0;
    for (uint32_t bit = 0; bit < 16; bit++) {
        uint32_t window = (uint32_t)(key >> (32 - bit));
        hash ^= window & -(uint32_t)((word >> (15 - bit)) & 1);
    }
    return hash;
}

static uint16_t fold_words(uint16_t word, const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 2)
        word ^= bytes_get_u16(p + i);
    return word;
}

uint32_t steer_hash(const void *a, const void *b, size_t bytes, uint16_t port_a, uint16_t port_b)
{
    uint16_t word = fold_words(__builtin_bswap16(port_a ^ port_b), a, bytes);
    return toeplitz_word(fold_words(word, b, bytes));
}

struct bytes_in {
    const uint8_t *p;
    size_t n;
};

static uint32_t tuple_owner(const uint8_t *src, const uint8_t *dst, size_t bytes,
                            const uint8_t *ports, uint32_t n)
{
    uint16_t a, b;
    memcpy(&a, ports, 2);
    memcpy(&b, ports + 2, 2);
    return steer_owner(steer_hash(src, dst, bytes, a, b), n);
}

/* The tuple of a packet: `quoted` when it stands inside an ICMP error and may be cut short. */
static bool v4_owner(struct bytes_in in, bool quoted, uint32_t n, uint32_t *owner);
static bool v6_owner(struct bytes_in in, bool quoted, uint32_t n, uint32_t *owner);

static bool v4_owner(struct bytes_in in, bool quoted, uint32_t n, uint32_t *owner)
{
    if (in.n < 20 || in.p[0] >> 4 != 4)
        return false;
    size_t header = (size_t)(in.p[0] & 15) * 4;
    /* Fragments meet on one shard, which passes the packet on; what is quoted may be a first one. */
    uint16_t fragment = bytes_get_u16(in.p + 6) & (quoted ? 0x1fff : 0x3fff);
    if (header < 20 || in.n < header + 8 || fragment != 0)
        return false;
    const uint8_t *next = in.p + header;
    if (in.p[9] == proto_tcp) {
        *owner = tuple_owner(in.p + 12, in.p + 16, 4, next, n);
        return true;
    }
    /* destination unreachable, time exceeded, parameter problem: they quote a packet */
    if (in.p[9] != proto_icmp || quoted || (next[0] != 3 && next[0] != 11 && next[0] != 12))
        return false;
    return v4_owner((struct bytes_in){next + 8, in.n - header - 8}, true, n, owner);
}

/* Past extension headers; fragments stay, but for those that are a whole packet. Bytes, or 0. */
static size_t v6_upper(struct bytes_in in, uint8_t *protocol)
{
    size_t at = 40;
    *protocol = in.p[6];
    for (int i = 0; i <= extensions_max && in.n >= at + 8; i++) {
        const uint8_t *p = in.p + at;
        bool whole = *protocol == next_fragment && (bytes_get_u16(p + 2) & 0xfff9) == 0;
        if (!whole && *protocol != next_hop_by_hop && *protocol != next_routing &&
            *protocol != next_destination)
            return at;
        *protocol = p[0];
        at += 8 + (whole ? 0 : p[1] * 8u);
    }
    return 0;
}

static bool v6_owner(struct bytes_in in, bool quoted, uint32_t n, uint32_t *owner)
{
    if (in.n < 48 || in.p[0] >> 4 != 6)
        return false;
    uint8_t protocol;
    size_t at = v6_upper(in, &protocol);
    const uint8_t *next = in.p + at;
    if (at == 0)
        return false;
    if (protocol == proto_tcp) {
        *owner = tuple_owner(in.p + 8, in.p + 24, 16, next, n);
        return true;
    }
    if (protocol != proto_icmpv6 || quoted)
        return false;
    if (next[0] >= 133 && next[0] <= 137) { /* neighbour discovery (RFC 4861) */
        *owner = STEER_ALL;
        return true;
    }
    if (next[0] >= 128)
        return false;
    return v6_owner((struct bytes_in){next + 8, in.n - at - 8}, true, n, owner);
}

uint32_t steer_frame(const struct rte_mbuf *frame, uint32_t n)
{
    struct bytes_in in = {rte_pktmbuf_mtod(frame, const uint8_t *), frame->data_len};
    uint32_t owner = 0;
    if (n == 1 || in.n < ether_bytes)
        return 0;
    uint16_t type = bytes_get_u16(in.p + 12);
    size_t link = ether_bytes;
    if (type == ethertype_vlan && in.n >= ether_bytes + vlan_bytes) {
        type = bytes_get_u16(in.p + 16);
        link += vlan_bytes;
    }
    in = (struct bytes_in){in.p + link, in.n - link};
    if (type == ethertype_arp)
        return STEER_ALL;
    if (type == ethertype_v4)
        v4_owner(in, false, n, &owner);
    else if (type == ethertype_v6)
        v6_owner(in, false, n, &owner);
    return owner;
}
