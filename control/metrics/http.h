/*
 * http: /metrics, /healthz and /readyz on an address of its own (libmicrohttpd); /capture/start and /capture/stop.
 *
 * Purpose: what monitoring asks for, on a thread of the library's, off the shards. Owner: the
 * broker. Memory: the library's, bounded by metrics_http_conns_max connections.
 * Failure: metrics_http_new answers an err with one line in `why`; a request that is none of
 * these gets 404 or 405.
 */
#ifndef CONTROL_METRICS_HTTP_H
#define CONTROL_METRICS_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "control/metrics/metrics.h"

#define metrics_http_conns_max 32
#define metrics_http_idle_s    10

struct metrics_http;

/*
 * address: "127.0.0.1:9404" or "[::1]:9404" (port 0: the kernel's choice). m outlives it.
 * ERR_INVALID: not such an address; ERR_BUSY, ERR_PERMISSION, ERR_SYSTEM: it cannot be opened.
 */
int metrics_http_new(struct metrics_http **out, struct str address, struct metrics *m, char *why,
                     size_t why_size);
uint16_t metrics_http_port(const struct metrics_http *h);

/* Waits for answers under way. NULL is accepted. */
void metrics_http_free(struct metrics_http *h);

#endif
