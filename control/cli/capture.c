#include "control/cli/capture.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "control/cli/http.h"

#define head_bytes_max 4096

/* What came behind the answer's headers. */
struct answer {
    char head[head_bytes_max];
    size_t have, body; /* body: where it starts; 0: the headers are not complete */
};

/* Reads the headers; the broker's line becomes the reason if its status is not 200. */
static int read_head(int fd, struct answer *a, char *why, size_t why_size)
{
    ssize_t got = 1;
    *a = (struct answer){.have = 0};
    while (a->body == 0 && got > 0 && a->have < sizeof(a->head) - 1) {
        got = recv(fd, a->head + a->have, sizeof(a->head) - 1 - a->have, 0);
        a->have += got > 0 ? (size_t)got : 0;
        const char *end = memmem(a->head, a->have, "\r\n\r\n", 4);
        a->body = end != NULL ? (size_t)(end - a->head) + 4 : 0;
    }
    if (a->body != 0 && strncmp(a->head, "HTTP/1.1 200", 12) == 0)
        return 0;
    while (got > 0 && a->have < sizeof(a->head) - 1) { /* the line itself may come later */
        got = recv(fd, a->head + a->have, sizeof(a->head) - 1 - a->have, 0);
        a->have += got > 0 ? (size_t)got : 0;
    }
    a->head[a->have] = '\0';
    const char *line = a->body != 0 ? a->head + a->body : "no answer";
    snprintf(why, why_size, "%.*s", (int)strcspn(line, "\r\n"), line);
    return ERR_INVALID;
}

static int start(const struct capture_order *o, char *why, size_t why_size)
{
    struct answer a;
    char path[http_request_bytes_max / 2];
    snprintf(path, sizeof(path), "/capture/start?port=%u&snap=%u%s%.64s", o->port, o->snap,
             o->address ? "&address=" : "", o->address ? o->address : "");
    int fd = http_ask(o->broker, "POST", path, why, why_size);
    if (fd < 0)
        return fd;
    int err = read_head(fd, &a, why, why_size);
    close(fd);
    return err;
}

/* The rest of the answer, into the file. */
static int copy(int fd, const struct answer *a, FILE *file, uint64_t *bytes)
{
    char part[16384];
    size_t first = a->have - a->body;
    bool ok = fwrite(a->head + a->body, 1, first, file) == first;
    *bytes = first;
    for (ssize_t got; ok && (got = recv(fd, part, sizeof(part), 0)) != 0;) {
        ok = got > 0 && fwrite(part, 1, (size_t)got, file) == (size_t)got;
        *bytes += got > 0 ? (uint64_t)got : 0;
    }
    return ok ? 0 : ERR_IO;
}

static int stop(const struct capture_order *o, FILE *file, uint64_t *bytes, char *why,
                size_t why_size)
{
    struct answer a;
    int fd = http_ask(o->broker, "POST", "/capture/stop", why, why_size);
    if (fd < 0)
        return fd;
    int err = read_head(fd, &a, why, why_size);
    if (!err && (err = copy(fd, &a, file, bytes)) != 0)
        snprintf(why, why_size, "%s: %s", o->file, err_text(err));
    close(fd);
    return err;
}

/* Until the time is over or somebody wants to end it. */
static void wait_for(uint32_t seconds)
{
    sigset_t set;
    struct timespec time = {.tv_sec = seconds};
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigtimedwait(&set, NULL, &time);
}

int capture_run(const struct capture_order *o, uint64_t *bytes, char *why, size_t why_size)
{
    FILE *file = fopen(o->file, "we");
    if (file == NULL) {
        snprintf(why, why_size, "%s: %s", o->file, strerror(errno));
        return err_from_errno(errno);
    }
    int err = start(o, why, why_size);
    if (!err) {
        wait_for(o->seconds);
        err = stop(o, file, bytes, why, why_size);
    }
    if (fclose(file) != 0 && !err) {
        snprintf(why, why_size, "%s: %s", o->file, strerror(errno));
        err = ERR_IO;
    }
    return err;
}
