#include <arpa/inet.h>
#include <strings.h>

#include "base/err.h"
#include "control/config/config_impl.h"
#include "control/config/number.h"

/* listeners, advertised.listeners and what belongs to them, by Kafka's rules. */

struct endpoint {
    struct str name; /* as written */
    struct str host; /* without brackets */
    int32_t port;
    bool is_ipv6;
};

static const char *const endpoint_form =
    "NAME://host:port separated by commas, an IPv6 address in brackets";

static bool same_name(struct str a, struct str b)
{
    return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

static bool is_inet(int family, struct str host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.p, host.len);
    text[host.len] = '\0';
    return inet_pton(family, text, &address) == 1;
}

static bool is_host_text(struct str host)
{
    for (uint32_t i = 0; i < host.len; i++) {
        char c = host.p[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!alnum && (c == '\0' || strchr("-%._:", c) == NULL))
            return false;
    }
    return true;
}

/* NAME://host:port; the host may stand in brackets. */
static bool parse_endpoint(struct str s, struct endpoint *out)
{
    const char *slashes = s.len ? memmem(s.p, s.len, "://", 3) : NULL;
    uint32_t colon = s.len;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (slashes == NULL || slashes == s.p || s.p + colon <= slashes + 1)
        return false;
    struct endpoint e = {.name = {s.p, (uint32_t)(slashes - s.p)}};
    struct str port = {s.p + colon, s.len - colon};
    e.host = (struct str){slashes + 3, (uint32_t)(s.p + colon - 1 - slashes - 3)};
    if (e.host.len >= 2 && e.host.p[0] == '[' && e.host.p[e.host.len - 1] == ']')
        e.host = (struct str){e.host.p + 1, e.host.len - 2};
    int64_t number;
    if (!is_host_text(e.host) || !number_parse_long(port, &number) || number < 0 || number > 65535)
        return false;
    e.is_ipv6 = is_inet(AF_INET6, e.host);
    e.port = (int32_t)number;
    *out = e;
    return true;
}

static bool parse_all(const struct config *c, enum config_key key, struct endpoint *all,
                      uint32_t *count, struct config_errors *errs)
{
    struct config_list list = config_list(c, key);
    *count = 0;
    if (list.count > config_listeners_max) {
        config_complain(errs, c, key, "at most 32 listeners");
        return false;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        if (!parse_endpoint(list.items[i], &all[i])) {
            config_complain(errs, c, key, endpoint_form);
            return false;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (same_name(all[i].name, all[j].name)) {
                config_complain(errs, c, key, "each listener with a name of its own");
                return false;
            }
        }
    }
    *count = list.count;
    return true;
}

/* Two listeners on one port: only as an IPv4 and an IPv6 address. Port 0 is no one's. */
static void check_ports(const struct config *c, const struct endpoint *all, uint32_t count,
                        struct config_errors *errs)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t same = 0;
        bool pair = false;
        for (uint32_t j = 0; j < count; j++) {
            if (j == i || all[j].port != all[i].port || all[i].port == 0)
                continue;
            same++;
            pair = (all[i].is_ipv6 && is_inet(AF_INET, all[j].host)) ||
                   (all[j].is_ipv6 && is_inet(AF_INET, all[i].host));
        }
        if (same > 1 || (same == 1 && !pair)) {
            config_complain(errs, c, CONFIG_LISTENERS,
                            "each listener with a port of its own, or one port for one IPv4 and "
                            "one IPv6 address");
            return;
        }
    }
}

static int protocol_of(struct str s)
{
    static const char *const names[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
    for (int i = 0; i < 4; i++)
        if (str_eqz(s, names[i]))
            return i;
    return -1;
}

static bool is_controller_name(const struct config *c, struct str name)
{
    struct config_list names = config_list(c, CONFIG_CONTROLLER_LISTENER_NAMES);
    for (uint32_t i = 0; i < names.count; i++)
        if (same_name(names.items[i], name))
            return true;
    return false;
}

/* The protocol that listener.security.protocol.map gives; -1: none. errs NULL: no complaint. */
static int mapped_protocol(const struct config *c, struct str name, struct config_errors *errs)
{
    struct config_list map;
    struct arena arena;
    int found = -1;
    arena_init(&arena, 1 * MIB);
    if (config_list_split(config_string(c, CONFIG_LISTENER_SECURITY_PROTOCOL_MAP), &arena, &map))
        map.count = 0;
    for (uint32_t i = 0; i < map.count; i++) {
        struct str item = map.items[i];
        const char *colon = memrchr(item.p, ':', item.len);
        uint32_t n = colon ? (uint32_t)(colon - item.p) : 0;
        struct str left = config_trim((struct str){item.p, n});
        struct str right = config_trim((struct str){item.p + n + 1, colon ? item.len - n - 1 : 0});
        int protocol = protocol_of(right);
        if ((left.len == 0 || protocol < 0) && errs) {
            config_complain(errs, c, CONFIG_LISTENER_SECURITY_PROTOCOL_MAP,
                            "NAME:PROTOCOL separated by commas, a protocol one of PLAINTEXT, SSL, "
                            "SASL_PLAINTEXT, SASL_SSL");
            break;
        }
        if (same_name(left, name))
            found = protocol;
    }
    arena_free(&arena);
    /* While nobody sets the map, a controller listener is PLAINTEXT, as in Kafka. */
    if (found < 0 && !config_is_set(c, CONFIG_LISTENER_SECURITY_PROTOCOL_MAP) &&
        is_controller_name(c, name))
        found = CONFIG_PROTOCOL_PLAINTEXT;
    return found;
}

static void resolve_protocol(const struct config *c, struct config_listener *l,
                             struct config_errors *errs)
{
    int protocol = mapped_protocol(c, l->name, NULL);
    if (protocol < 0) {
        config_message(
            errs, &errs->errors,
            "%.*s: listeners: no protocol for listener %.*s in listener.security.protocol.map",
            STR_ARG(config_where(c, CONFIG_LISTENERS, &errs->arena)), STR_ARG(l->name));
        return;
    }
    l->protocol = (enum config_protocol)protocol;
    if (l->protocol != CONFIG_PROTOCOL_PLAINTEXT)
        config_message(errs, &errs->errors,
                       "%.*s: listeners: %.*s wants SSL or SASL, which is not built yet; allowed: "
                       "PLAINTEXT",
                       STR_ARG(config_where(c, CONFIG_LISTENERS, &errs->arena)), STR_ARG(l->name));
}

/* True for the name of this listener's own setting of that key. */
static bool is_own(struct str name, struct str listener, const char *key)
{
    struct str found, rest;
    return config_key_split_listener(name, &found, &rest) && same_name(found, listener) &&
           str_eqz(rest, key);
}

/* What a file or an override says of the listener's own setting, or NULL. */
static const struct config_static *own_static(const struct config *c, struct str listener,
                                              const char *key)
{
    for (uint32_t i = 0; i < c->extra_count; i++)
        if (is_own(c->extra[i].name, listener, key))
            return &c->extra[i];
    return NULL;
}

struct str config_listener_own(const struct config *c, struct str listener, const char *key)
{
    const struct config_pairs *layers[] = {&c->broker, &c->cluster};
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < layers[k]->count; i++)
            if (is_own(layers[k]->items[i].name, listener, key))
                return layers[k]->items[i].value;
    const struct config_static *s = own_static(c, listener, key);
    return s ? config_trim(s->raw) : STR_NULL;
}

static void resolve_transport(const struct config *c, struct config_listener *l,
                              struct config_errors *errs)
{
    const struct config_static *own = own_static(c, l->name, "sluice.transport");
    struct str text = own ? config_trim(own->raw) : config_string(c, CONFIG_SLUICE_TRANSPORT);
    bool dpdk = str_eqz(text, "dpdk");
    l->transport = dpdk ? CONFIG_TRANSPORT_DPDK : CONFIG_TRANSPORT_URING;
    if (dpdk || str_eqz(text, "uring"))
        return;
    const char *allowed = "uring or dpdk";
    if (own == NULL) {
        config_complain(errs, c, CONFIG_SLUICE_TRANSPORT, allowed);
        return;
    }
    config_message(errs, &errs->errors, "%.*s: %.*s: found '%.*s', allowed: %s",
                   STR_ARG(config_static_where(own, &errs->arena)), STR_ARG(own->name),
                   STR_ARG(text), allowed);
}

static void check_own_limit(const struct config_static *s, struct config_errors *errs)
{
    const struct config_def *def = config_key_def(CONFIG_MAX_CONNECTIONS);
    struct str at = config_static_where(s, &errs->arena);
    struct config_value value;
    if (config_value_parse(def, config_trim(s->raw), &errs->arena, &value, NULL) == ERR_INVALID)
        config_message(errs, &errs->errors, "%.*s: %.*s: found '%.*s', allowed: %.*s", STR_ARG(at),
                       STR_ARG(s->name), CONFIG_SHOWN(s->raw),
                       STR_ARG(config_rule_text(def, &errs->arena)));
}

/* Settings of single listeners: of one that exists, and of a kind that this broker knows. */
static void check_own_settings(const struct config *c, struct config_errors *errs)
{
    for (uint32_t i = 0; i < c->extra_count; i++) {
        const struct config_static *s = &c->extra[i];
        struct str listener, rest, at;
        if (!config_key_split_listener(s->name, &listener, &rest))
            continue;
        bool known = false;
        for (uint32_t j = 0; j < c->listener_count && !known; j++)
            known = same_name(c->listeners[j].name, listener);
        at = config_static_where(s, &errs->arena);
        if (!known)
            config_message(errs, &errs->warnings, "%.*s: %.*s: there is no listener %.*s",
                           STR_ARG(at), STR_ARG(s->name), STR_ARG(listener));
        else if (str_eqz(rest, "max.connections"))
            check_own_limit(s, errs);
        else if (!str_eqz(rest, "sluice.transport"))
            config_message(errs, &errs->notes, "%.*s: %.*s is accepted and has no effect here",
                           STR_ARG(at), STR_ARG(s->name));
    }
}

static int fill_listener(struct config *c, struct config_listener *l, const struct endpoint *e)
{
    char *upper = arena_dup(&c->arena, e->name.p, e->name.len);
    *l = (struct config_listener){.port = e->port, .is_ipv6 = e->is_ipv6};
    l->host = e->host.len ? arena_str(&c->arena, e->host) : STR("");
    if (upper == NULL || l->host.p == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < e->name.len; i++)
        if (upper[i] >= 'a' && upper[i] <= 'z')
            upper[i] = (char)(upper[i] - 32);
    l->name = (struct str){upper, e->name.len};
    l->is_controller = is_controller_name(c, l->name);
    return 0;
}

static struct config_listener *find_listener(struct config *c, struct str name)
{
    for (uint32_t i = 0; i < c->listener_count; i++)
        if (same_name(c->listeners[i].name, name))
            return &c->listeners[i];
    return NULL;
}

static bool is_every_address(struct str host)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    if (str_eqz(host, "0.0.0.0"))
        return true;
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.p, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 && IN6_IS_ADDR_UNSPECIFIED(&address);
}

/* Without advertised.listeners, the broker's listeners are advertised as they are. */
static void advertise_listeners(struct config *c)
{
    for (uint32_t i = 0; i < c->listener_count; i++) {
        struct config_listener *l = &c->listeners[i];
        l->is_advertised = !l->is_controller;
        l->advertised_host = l->host.len ? l->host : c->hostname;
        l->advertised_port = l->port;
    }
}

static int advertise(struct config *c, struct config_errors *errs)
{
    struct endpoint all[config_listeners_max];
    uint32_t count;
    if (!config_has(c, CONFIG_ADVERTISED_LISTENERS)) {
        advertise_listeners(c);
        return 0;
    }
    if (!parse_all(c, CONFIG_ADVERTISED_LISTENERS, all, &count, errs))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        struct config_listener *l = find_listener(c, all[i].name);
        if (l == NULL) {
            config_complain(errs, c, CONFIG_ADVERTISED_LISTENERS,
                            "names that stand in listeners too");
            return 0;
        }
        l->is_advertised = true;
        l->advertised_port = all[i].port;
        l->advertised_host = arena_str(&c->arena, all[i].host.len ? all[i].host : c->hostname);
        if (l->advertised_host.p == NULL)
            return ERR_NO_MEMORY;
    }
    return 0;
}

static void check_advertised(struct config *c, struct config_errors *errs)
{
    bool given = config_has(c, CONFIG_ADVERTISED_LISTENERS), any = false;
    enum config_key key = given ? CONFIG_ADVERTISED_LISTENERS : CONFIG_LISTENERS;
    for (uint32_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        if (!l->is_advertised)
            continue;
        any = any || !l->is_controller;
        if (is_every_address(l->advertised_host))
            config_complain(errs, c, key,
                            given ? "an address that clients can connect to; 0.0.0.0 and [::] "
                                    "stand for every interface"
                                  : "with 0.0.0.0 or [::] here, set advertised.listeners to an "
                                    "address that clients can connect to");
    }
    if (!any)
        config_complain(errs, c, key, "at least one listener that is not the controllers'");
}

/* The listener that brokers would use among themselves; without a setting, one called PLAINTEXT. */
static void resolve_inter_broker(struct config *c, struct config_errors *errs)
{
    bool named = config_has(c, CONFIG_INTER_BROKER_LISTENER_NAME);
    if (named && config_is_set(c, CONFIG_SECURITY_INTER_BROKER_PROTOCOL)) {
        config_complain(errs, c, CONFIG_INTER_BROKER_LISTENER_NAME,
                        "only one of this and security.inter.broker.protocol");
        return;
    }
    struct str name = config_string(c, named ? CONFIG_INTER_BROKER_LISTENER_NAME
                                             : CONFIG_SECURITY_INTER_BROKER_PROTOCOL);
    struct config_listener *l = find_listener(c, name);
    if (l && l->is_advertised && !l->is_controller) {
        l->is_inter_broker = true;
    } else if (named) {
        config_complain(errs, c, CONFIG_INTER_BROKER_LISTENER_NAME,
                        "the name of an advertised listener that is not the controllers'");
    } else {
        for (uint32_t i = 0; i < c->listener_count; i++) {
            if (c->listeners[i].is_advertised && !c->listeners[i].is_controller) {
                c->listeners[i].is_inter_broker = true;
                return;
            }
        }
    }
}

static void check_controllers(struct config *c, struct config_errors *errs)
{
    struct config_list names = config_list(c, CONFIG_CONTROLLER_LISTENER_NAMES);
    for (uint32_t i = 0; i < names.count; i++) {
        if (find_listener(c, names.items[i]) == NULL) {
            config_complain(errs, c, CONFIG_CONTROLLER_LISTENER_NAMES,
                            "names that stand in listeners");
            return;
        }
    }
}

int config_resolve_listeners(struct config *c, struct config_errors *errs)
{
    struct endpoint all[config_listeners_max];
    uint32_t count;
    if (!parse_all(c, CONFIG_LISTENERS, all, &count, errs))
        return 0;
    check_ports(c, all, count, errs);
    c->listeners = arena_calloc(&c->arena, count, sizeof(*c->listeners));
    if (c->listeners == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        int err = fill_listener(c, &c->listeners[i], &all[i]);
        if (err)
            return err;
        c->listener_count = i + 1;
    }
    uint32_t before = errs->errors.count;
    mapped_protocol(c, STR(""), errs); /* complains once about a map that cannot be read */
    for (uint32_t i = 0; i < count; i++) {
        if (errs->errors.count == before)
            resolve_protocol(c, &c->listeners[i], errs);
        if (!c->listeners[i].is_controller)
            resolve_transport(c, &c->listeners[i], errs);
    }
    check_controllers(c, errs);
    check_own_settings(c, errs);
    int err = advertise(c, errs);
    if (err)
        return err;
    check_advertised(c, errs);
    resolve_inter_broker(c, errs);
    return 0;
}

int config_copy_listeners(struct config *to, const struct config *from)
{
    uint32_t n = from->listener_count;
    to->listeners = arena_calloc(&to->arena, n, sizeof(*to->listeners));
    if (to->listeners == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        struct config_listener *l = &to->listeners[i];
        *l = from->listeners[i];
        l->name = arena_str(&to->arena, l->name);
        l->host = arena_str(&to->arena, l->host);
        bool had = l->advertised_host.p != NULL;
        l->advertised_host = arena_str(&to->arena, l->advertised_host);
        if (l->name.p == NULL || l->host.p == NULL || (had && l->advertised_host.p == NULL))
            return ERR_NO_MEMORY;
    }
    to->listener_count = n;
    return 0;
}
