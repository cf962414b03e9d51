#include "control/cli/http.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

#define address_max 80

static int connect_to(const char *address)
{
    char host[address_max];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (len == 0 || len >= sizeof(host))
        return ERR_INVALID;
    bool brackets = address[0] == '[' && address[len - 1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(brackets ? len - 2 : len), address + brackets);
    if (getaddrinfo(host, colon + 1, &hints, &found))
        return ERR_INVALID;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {http_wait_s, 0};
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen)) {
        close(fd);
        fd = ERR_CLOSED;
    }
    freeaddrinfo(found);
    return fd == -1 ? ERR_SYSTEM : fd;
}

int http_ask(const char *address, const char *method, const char *path, char *why, size_t why_size)
{
    char request[http_request_bytes_max];
    int n = snprintf(request, sizeof(request),
                     "%s %s HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n",
                     method, path);
    if (n >= (int)sizeof(request)) {
        snprintf(why, why_size, "the request is too long");
        return ERR_INVALID;
    }
    int fd = connect_to(address);
    if (fd < 0) {
        snprintf(why, why_size,
                 fd == ERR_INVALID ? "'%s' is not an address and a port"
                                   : "nobody answers at %s: is sluice.metrics.listener set?",
                 address);
        return fd;
    }
    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
        close(fd);
        snprintf(why, why_size, "%s closed the connection", address);
        return ERR_CLOSED;
    }
    return fd;
}
