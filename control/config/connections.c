#include <arpa/inet.h>

#include "control/config/config_impl.h"
#include "control/config/number.h"

/* Limits of connections: of one listener, of single addresses. */

bool config_override_split(struct str item, struct str *address, struct str *count)
{
    uint32_t colon = item.len;
    while (colon > 0 && item.p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    *address = config_trim((struct str){item.p, colon - 1});
    *count = config_trim((struct str){item.p + colon, item.len - colon});
    return true;
}

bool config_address_parse(struct str s, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    uint8_t v4[4];
    if (s.len >= 2 && s.p[0] == '[' && s.p[s.len - 1] == ']')
        s = (struct str){s.p + 1, s.len - 2};
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    if (inet_pton(AF_INET, text, v4) != 1)
        return inet_pton(AF_INET6, text, out) == 1;
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, v4, 4);
    return true;
}

uint32_t config_address_limits(const struct config *c, struct config_address_limit *out,
                               uint32_t room)
{
    struct str rest = config_string(c, CONFIG_MAX_CONNECTIONS_PER_IP_OVERRIDES);
    uint32_t count = 0;
    while (rest.len) {
        const char *comma = memchr(rest.p, ',', rest.len);
        uint32_t n = comma ? (uint32_t)(comma - rest.p) : rest.len, at = 0;
        struct config_address_limit one;
        struct str address, number;
        int64_t limit;
        if (config_override_split(config_trim((struct str){rest.p, n}), &address, &number) &&
            config_address_parse(address, one.address) && number_parse_long(number, &limit)) {
            one.limit = limit > 0 ? (int32_t)limit : 0;
            while (at < count && memcmp(out[at].address, one.address, sizeof(one.address)) != 0)
                at++;
            if (at < room)
                out[at] = one;
            count += at == count && at < room;
        }
        rest = (struct str){rest.p + n + (comma != NULL), rest.len - n - (comma != NULL)};
    }
    return count;
}

int32_t config_listener_connections(const struct config *c, const struct config_listener *l)
{
    const struct config_def *def = config_key_def(CONFIG_MAX_CONNECTIONS);
    struct config_value value = {.integer = config_int(c, CONFIG_MAX_CONNECTIONS)};
    struct arena arena;
    arena_init(&arena, 1 * MIB);
    struct str own = config_listener_own(c, l->name, def->name);
    if (own.p)
        config_value_parse(def, own, &arena, &value, NULL);
    arena_free(&arena);
    return (int32_t)value.integer;
}
