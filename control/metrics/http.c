#include "control/metrics/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/err.h"
#include "base/log.h"
#include "dataplane/nic/capture.h"

#define address_bytes_max 80
#define listen_backlog    16

struct metrics_http {
    struct MHD_Daemon *daemon;
    struct metrics *metrics;
    uint16_t port;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              char *text, size_t len, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
    if (!r) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(text);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result done = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned status, const char *line)
{
    return answer(c, status, "text/plain", (char *)(uintptr_t)line, strlen(line),
                  MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result say_metrics(struct MHD_Connection *c, const struct metrics *m)
{
    char *text;
    size_t len;
    if (metrics_render(m, &text, &len) < 0)
        return say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the metrics\n");
    return answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, len,
                  MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result say_ready(struct MHD_Connection *c, const struct metrics *m)
{
    int state = atomic_load(&m->state);
    if (state == METRICS_READY)
        return say(c, MHD_HTTP_OK, "ready\n");
    return say(c, MHD_HTTP_SERVICE_UNAVAILABLE,
               state == METRICS_STARTING ? "starting\n" : "stopping\n");
}

/* ---- captures: POST /capture/start?port=9092&address=10.0.0.1&snap=128, POST /capture/stop ---- */

static bool number_of(struct MHD_Connection *c, const char *name, uint32_t most, uint32_t *out)
{
    const char *text = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
    char *end;
    *out = 0;
    if (text == NULL)
        return true;
    unsigned long n = strtoul(text, &end, 10);
    *out = (uint32_t)n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= most;
}

static bool filter_of(struct MHD_Connection *c, struct capture_filter *f)
{
    const char *address = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "address");
    uint32_t port, snap;
    if (!number_of(c, "port", UINT16_MAX, &port) || !number_of(c, "snap", UINT16_MAX, &snap))
        return false;
    *f = (struct capture_filter){
        .port = (uint16_t)port, .snap = snap, .has_address = address != NULL};
    if (address == NULL || inet_pton(AF_INET6, address, f->address) == 1)
        return true;
    f->address[10] = f->address[11] = 0xff;
    return inet_pton(AF_INET, address, f->address + 12) == 1;
}

static enum MHD_Result say_started(struct MHD_Connection *c, struct capture_set *s)
{
    struct capture_filter filter;
    if (!filter_of(c, &filter))
        return say(c, MHD_HTTP_BAD_REQUEST,
                   "port=, snap= (up to 65535) and address= (numeric) are understood\n");
    if (capture_set_start(s, &filter) != 0)
        return say(c, MHD_HTTP_CONFLICT, "a capture is on already\n");
    log_info("metrics", "capture of packets switched on");
    return say(c, MHD_HTTP_OK, "on\n");
}

static enum MHD_Result say_captured(struct MHD_Connection *c, struct capture_set *s)
{
    struct capture_taken taken;
    int err = capture_set_stop(s, &taken);
    if (err != 0)
        return err == ERR_NOT_FOUND
                   ? say(c, MHD_HTTP_CONFLICT, "no capture is on\n")
                   : say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the capture\n");
    log_info("metrics", "capture of packets switched off: %llu frames, %llu did not fit",
             (unsigned long long)taken.frames, (unsigned long long)taken.missed);
    return answer(c, MHD_HTTP_OK, "application/vnd.tcpdump.pcap", taken.pcap, taken.bytes,
                  MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result handle_capture(struct metrics_http *h, struct MHD_Connection *c,
                                      const char *url, const char *method, void **request)
{
    static char seen;
    struct capture_set *s = h->metrics->captures;
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
        return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only POST\n");
    if (*request == NULL) { /* the headers alone are there */
        *request = &seen;
        return MHD_YES;
    }
    if (s == NULL)
        return say(c, MHD_HTTP_FORBIDDEN,
                   "sluice.capture.bytes is 0, or no listener is on a port of ours\n");
    return strcmp(url, "/capture/start") == 0 ? say_started(c, s) : say_captured(c, s);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **request)
{
    struct metrics_http *h = ctx;
    if (strcmp(url, "/capture/start") == 0 || strcmp(url, "/capture/stop") == 0)
        return handle_capture(h, c, url, method, request);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (strcmp(url, "/metrics") == 0)
        return say_metrics(c, h->metrics);
    if (strcmp(url, "/healthz") == 0)
        return say(c, MHD_HTTP_OK, "ok\n");
    if (strcmp(url, "/readyz") == 0)
        return say_ready(c, h->metrics);
    return say(c, MHD_HTTP_NOT_FOUND, "there are /metrics, /healthz and /readyz\n");
}

/* "host:port" with a numeric host, IPv6 in brackets. */
static struct addrinfo *parse(struct str address)
{
    char text[address_bytes_max], *host = text;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (address.len <= 0 || address.len >= (int32_t)sizeof(text))
        return NULL;
    memcpy(text, address.p, (size_t)address.len);
    text[address.len] = 0;
    char *colon = strrchr(text, ':');
    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > UINT16_MAX) /* getaddrinfo would cut it */
        return NULL;
    *colon = 0;
    if (host[0] == '[' && colon[-1] == ']') {
        host++;
        colon[-1] = 0;
    }
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

/* A listening socket, or a negative err; errno tells more. */
static int listen_on(const struct addrinfo *a, uint16_t *port)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    int one = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, listen_backlog) ||
        getsockname(fd, (struct sockaddr *)&bound, &len)) {
        int err = errno == EADDRINUSE ? ERR_BUSY : errno == EACCES ? ERR_PERMISSION : ERR_SYSTEM;
        close(fd);
        return err;
    }
    *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return fd;
}

int metrics_http_new(struct metrics_http **out, struct str address, struct metrics *m, char *why,
                     size_t why_size)
{
    struct addrinfo *a = parse(address);
    if (!a) {
        snprintf(why, why_size,
                 "sluice.metrics.listener is '%.*s': it must be a numeric address and a port, "
                 "like 127.0.0.1:9404 or [::1]:9404",
                 STR_ARG(address));
        return ERR_INVALID;
    }
    struct metrics_http *h = calloc(1, sizeof(*h));
    int fd = h ? listen_on(a, &h->port) : ERR_NO_MEMORY;
    freeaddrinfo(a);
    if (fd < 0) {
        snprintf(why, why_size, "sluice.metrics.listener %.*s cannot be opened: %s",
                 STR_ARG(address), err_text(fd));
        free(h);
        return fd;
    }
    h->metrics = m;
    h->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, handle, h,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)metrics_http_conns_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)metrics_http_idle_s, MHD_OPTION_END);
    if (!h->daemon) {
        snprintf(why, why_size, "sluice.metrics.listener %.*s: no thread for it", STR_ARG(address));
        close(fd);
        free(h);
        return ERR_SYSTEM;
    }
    *out = h;
    return 0;
}

uint16_t metrics_http_port(const struct metrics_http *h)
{
    return h->port;
}

void metrics_http_free(struct metrics_http *h)
{
    if (!h)
        return;
    MHD_stop_daemon(h->daemon); /* closes the listening socket */
    free(h);
}
