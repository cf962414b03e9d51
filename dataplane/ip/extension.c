/* extension: past IPv6's extension headers to what the packet carries (RFC 8200, section 4). */
#include "dataplane/ip/ip_impl.h"

#define extensions_max 8 /* of one packet */

#define next_hop_by_hop  0
#define next_routing     43
#define next_destination 60

#define option_pad1     0
#define option_pad_n    1
#define icmp_errors_max 127 /* ICMPv6 types of errors, the least informational one less one */

/* What an option that we do not know says about itself: the upper two bits of its number. */
enum unknown { UNKNOWN_SKIP, UNKNOWN_DROP, UNKNOWN_TELL, UNKNOWN_TELL_ONE };

static void wrong(struct upper *out, uint8_t code, uint32_t pointer, bool tell)
{
    if (out->refused)
        return;
    out->refused = true;
    out->tell = tell;
    out->code = code;
    out->pointer = pointer;
}

/* We know padding alone. False: an option reaches beyond its header. */
static bool look_at_options(const uint8_t *p, uint32_t at, uint32_t end, struct upper *out)
{
    for (at += 2; at < end;) {
        if (p[at] == option_pad1) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at < 2u + p[at + 1])
            return false;
        enum unknown action = (enum unknown)(p[at] >> 6);
        if (p[at] != option_pad_n && action != UNKNOWN_SKIP)
            wrong(out, ICMP_PROBLEM_OPTION, at, action != UNKNOWN_DROP);
        at += 2u + p[at + 1];
    }
    return true;
}

/* The header at `at`, whole and of `bytes`. False: it is broken. */
static bool look_at(const uint8_t *p, uint8_t kind, uint32_t at, uint32_t bytes, struct upper *out)
{
    if (kind == next_hop_by_hop && at != v6_bytes) /* it stands in front, or is none (4.1) */
        wrong(out, ICMP_PROBLEM_HEADER, out->next_at, true);
    if (kind == next_routing && p[at + 3] != 0) /* we are not its last hop */
        wrong(out, ICMP_PROBLEM_FIELD, at + 2, true);
    if (kind == next_hop_by_hop || kind == next_destination)
        return look_at_options(p, at, at + bytes, out);
    return true;
}

static bool is_error(const struct rte_mbuf *m, const struct upper *out)
{
    return out->protocol == proto_icmpv6 &&
           (m->data_len <= out->at ||
            *rte_pktmbuf_mtod_offset(m, const uint8_t *, out->at) <= icmp_errors_max);
}

bool upper_find(struct ip *ip, const struct rte_mbuf *m, struct upper *out)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    *out = (struct upper){.at = v6_bytes, .next_at = 6, .counter = &ip->counters.drop_header};
    for (int i = 0; i < extensions_max; i++) {
        uint8_t kind = out->protocol = p[out->next_at];
        bool skipped = kind == next_hop_by_hop || kind == next_destination ||
                       kind == next_routing || kind == next_fragment;
        if (skipped && m->data_len < out->at + 8) {
            out->counter = &ip->counters.drop_short;
            return false;
        }
        /* a fragment that is the whole packet is none (RFC 6946) */
        bool piece = kind == next_fragment && (bytes_get_u16(p + out->at + 2) & 0xfff9) != 0;
        if (!skipped || piece) {
            out->tell = out->tell && !is_error(m, out); /* no errors about errors (RFC 4443) */
            return true;
        }
        /* a fragment header has a reserved byte there */
        uint32_t bytes = 8 + (kind == next_fragment ? 0 : p[out->at + 1] * 8u);
        if (m->data_len < out->at + bytes) {
            out->counter = &ip->counters.drop_short;
            return false;
        }
        if (!look_at(p, kind, out->at, bytes, out))
            return false;
        out->next_at = out->at;
        out->at += bytes;
    }
    return false;
}
