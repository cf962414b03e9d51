/*
 * http: one request to a running broker's endpoint, for commands that ask it (stages, capture).
 *
 * Purpose: connects to sluice.metrics.listener and sends a request without a body; the caller
 * reads the answer until the connection closes. Owner: the calling thread. Memory: none kept.
 * Failure: an err with a line in why.
 */
#ifndef CONTROL_CLI_HTTP_H
#define CONTROL_CLI_HTTP_H

#include <stddef.h>

#define http_request_bytes_max 512
#define http_wait_s            5 /* for each piece of the answer */

/*
 * A socket from which the answer is to be read; the caller closes it. address: "127.0.0.1:9404" or
 * "[::1]:9404". ERR_INVALID: no such address, or a path over the limit; ERR_CLOSED: nobody answers;
 * ERR_SYSTEM: no socket.
 */
int http_ask(const char *address, const char *method, const char *path, char *why, size_t why_size);

#endif
