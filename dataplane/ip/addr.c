#include "dataplane/ip/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

bool ip_addr_is_any(const struct ip_addr *a)
{
    static const uint8_t zero[16];
    if (ip_addr_is_v4(a))
        return memcmp(a->b + 12, zero, 4) == 0;
    return memcmp(a->b, zero, 16) == 0;
}

bool ip_addr_is_multicast(const struct ip_addr *a)
{
    if (ip_addr_is_v4(a))
        return a->b[12] >= 224 && (a->b[12] < 240 || memcmp(a->b + 12, "\xff\xff\xff\xff", 4) == 0);
    return a->b[0] == 0xff;
}

bool ip_addr_is_link_local(const struct ip_addr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ip_addr_in(const struct ip_addr *a, const struct ip_addr *prefix, uint32_t bits)
{
    uint32_t bytes = bits / 8, rest = bits % 8;
    if (memcmp(a->b, prefix->b, bytes) != 0)
        return false;
    return rest == 0 || ((a->b[bytes] ^ prefix->b[bytes]) >> (8 - rest)) == 0;
}

struct ip_addr ip_addr_solicited(const struct ip_addr *a)
{
    struct ip_addr s = {{0xff, 0x02, [11] = 1, [12] = 0xff}};
    memcpy(s.b + 13, a->b + 13, 3);
    return s;
}

struct ip_addr ip_addr_from_mac(const struct ip_addr *prefix, const uint8_t mac[6])
{
    struct ip_addr a = *prefix;
    memcpy(a.b + 8, mac, 3);
    a.b[8] ^= 2;
    a.b[11] = 0xff;
    a.b[12] = 0xfe;
    memcpy(a.b + 13, mac + 3, 3);
    return a;
}

int ip_addr_parse(const char *text, struct ip_addr *out)
{
    uint8_t four[4];
    if (inet_pton(AF_INET, text, four) == 1)
        *out = ip_addr_v4(four);
    else if (inet_pton(AF_INET6, text, out->b) != 1)
        return ERR_INVALID;
    return 0;
}

int ip_addr_parse_prefix(const char *text, struct ip_addr *out, uint32_t *bits)
{
    char address[IP_ADDR_TEXT_MAX], *end;
    const char *slash = strchr(text, '/');
    if (slash == NULL || (size_t)(slash - text) >= sizeof(address))
        return ERR_INVALID;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    struct ip_addr a;
    int err = ip_addr_parse(address, &a);
    unsigned long n = strtoul(slash + 1, &end, 10);
    if (err || slash[1] < '0' || slash[1] > '9' || *end != '\0' ||
        n > (ip_addr_is_v4(&a) ? 32 : 128))
        return ERR_INVALID;
    *out = a;
    *bits = (uint32_t)n + (ip_addr_is_v4(&a) ? 96 : 0);
    return 0;
}

void ip_addr_text(const struct ip_addr *a, char out[IP_ADDR_TEXT_MAX])
{
    if (ip_addr_is_v4(a))
        inet_ntop(AF_INET, a->b + 12, out, IP_ADDR_TEXT_MAX);
    else
        inet_ntop(AF_INET6, a->b, out, IP_ADDR_TEXT_MAX);
}
