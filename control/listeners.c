#include "control/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static int refuse(const struct listener *l, int err, const char *what, char *why, size_t why_size)
{
    snprintf(why, why_size, "listener %.*s://%.*s:%d: %s", STR_ARG(l->config->name),
             STR_ARG(l->config->host), l->config->port, what);
    return err;
}

static void port_set(struct sockaddr_storage *a, uint16_t port)
{
    if (a->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)a)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)a)->sin_port = htons(port);
}

static uint16_t port_get(const struct sockaddr_storage *a)
{
    return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
                                          : ((const struct sockaddr_in *)a)->sin_port);
}

/* No IPv6 in this kernel: then any address means any IPv4 address. */
static bool have_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void any_address(struct sockaddr_storage *out)
{
    if (have_ipv6()) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;
        a->sin6_family = AF_INET6;
        a->sin6_addr = in6addr_any;
    } else {
        struct sockaddr_in *a = (struct sockaddr_in *)out;
        a->sin_family = AF_INET;
        a->sin_addr.s_addr = htonl(INADDR_ANY);
    }
}

static int resolve(struct listener *l, char *why, size_t why_size)
{
    char host[256];
    struct str name = l->config->host;
    memset(&l->address, 0, sizeof(l->address));
    if (name.len == 0) {
        any_address(&l->address);
    } else {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
        snprintf(host, sizeof(host), "%.*s", STR_ARG(name));
        int answer = getaddrinfo(host, NULL, &hints, &found);
        if (answer != 0)
            return refuse(l, ERR_INVALID, gai_strerror(answer), why, why_size);
        memcpy(&l->address, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
    }
    port_set(&l->address, (uint16_t)l->config->port);
    return 0;
}

static socklen_t address_size(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/*
 * A killed broker's sockets outlive it for a moment: the kernel takes its io_uring down in the
 * background. So an address in use is tried again for bind_wait_ms before the start is refused.
 */
#define bind_wait_ms 5000
#define bind_try_ms  20

static int bind_patiently(int fd, const struct sockaddr *address, socklen_t size)
{
    for (int waited = 0;; waited += bind_try_ms) {
        if (bind(fd, address, size) == 0)
            return 0;
        if (errno != EADDRINUSE || waited >= bind_wait_ms)
            return -1;
        usleep(bind_try_ms * 1000);
    }
}

/* Bound without SO_REUSEPORT: that fails where anybody listens. Shared with our shards after it. */
static int reserve(struct listener *l, char *why, size_t why_size)
{
    int on = 1, off = 0;
    int fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return refuse(l, err_from_errno(errno), strerror(errno), why, why_size);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (l->address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&l->address;
        bool any = IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
    }
    socklen_t size = address_size(&l->address);
    if (bind_patiently(fd, (struct sockaddr *)&l->address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&l->address, &size) != 0) {
        int errnum = errno;
        close(fd);
        return refuse(l, errnum == EADDRINUSE ? ERR_BUSY : err_from_errno(errnum), strerror(errnum),
                      why, why_size);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    l->port = port_get(&l->address);
    l->reserved = fd;
    return 0;
}

/* On a network port of ours: nobody else can have it, and nobody chooses a port number. */
static int take(struct listener *l, char *why, size_t why_size)
{
    l->port = port_get(&l->address);
    if (l->port == 0)
        return refuse(l, ERR_INVALID, "sluice.transport=dpdk needs a port number", why, why_size);
    return 0;
}

int listeners_reserve(struct listeners *out, const struct config *config, char *why,
                      size_t why_size)
{
    uint32_t count;
    const struct config_listener *all = config_listeners(config, &count);
    out->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct listener *l = &out->items[i];
        *l = (struct listener){.config = &all[i], .reserved = -1, .serves = !all[i].is_controller};
        out->count = i + 1;
        if (!l->serves)
            continue;
        int err = resolve(l, why, why_size);
        if (!err && all[i].transport == CONFIG_TRANSPORT_DPDK)
            err = take(l, why, why_size);
        else if (!err)
            err = reserve(l, why, why_size);
        if (err) {
            listeners_release(out);
            return err;
        }
    }
    return 0;
}

void listeners_release(struct listeners *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->items[i].reserved >= 0)
            close(l->items[i].reserved);
        l->items[i].reserved = -1;
    }
}

void listeners_text(const struct listeners *l, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < l->count && n < size; i++) {
        const struct listener *x = &l->items[i];
        if (!x->serves)
            continue;
        const char *open = x->config->is_ipv6 ? "[" : "", *close_ = x->config->is_ipv6 ? "]" : "";
        n += (size_t)snprintf(out + n, size - n, "%s%.*s://%s%.*s%s:%u", n ? " " : "",
                              STR_ARG(x->config->name), open, STR_ARG(x->config->host), close_,
                              x->port);
    }
}
