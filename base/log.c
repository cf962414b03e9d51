#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define log_lines_per_second 10
#define log_lines_burst      20

static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store(&log_level, (int)level);
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

/* Text from clients may hold control characters: they must not forge lines. */
static void log_tame(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            p[i] = '?';
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    char line[LOG_LINE_BYTES_MAX];
    int64_t ms = clock_wall_ms(clock_system());
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03dZ %s %s: ", (int)(ms % 1000),
                          names[level], area);
    if (n > sizeof(line) - 2)
        n = sizeof(line) - 2;
    va_list ap;
    va_start(ap, fmt);
    int more = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
    va_end(ap);
    size_t text = more < 0 ? 0 : (size_t)more;
    if (text > sizeof(line) - n - 2)
        text = sizeof(line) - n - 2;
    log_tame(line + n, text);
    n += text;
    line[n++] = '\n';
    ssize_t ignored = write(atomic_load(&log_fd), line, n);
    (void)ignored;
}

bool log_limit_pass(struct log_limit *limit, int64_t now_ns, uint64_t *suppressed)
{
    int64_t refill = (now_ns - limit->last_ns) / (CLOCK_NS_PER_S / log_lines_per_second);
    if (refill > 0) {
        limit->used = refill >= limit->used ? 0 : limit->used - (int32_t)refill;
        limit->last_ns = now_ns;
    }
    if (limit->used >= log_lines_burst) {
        limit->suppressed++;
        return false;
    }
    limit->used++;
    if (suppressed)
        *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
