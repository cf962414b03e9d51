#include "base/clock.h"
#include "base/log.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <unistd.h>

static size_t written(int fd, char *buf, size_t size)
{
    ssize_t n = read(fd, buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void one_line_each_and_no_forgery(void)
{
    int fd[2];
    CU_ASSERT_FATAL(pipe(fd) == 0);
    log_set_fd(fd[1]);
    char buf[4 * LOG_LINE_BYTES_MAX];
    log_warn("conn", "bad name '%s'", "a\nERROR fake: line\x1b[0m");
    size_t n = written(fd[0], buf, sizeof(buf));
    CU_ASSERT(strchr(buf, '\n') == buf + n - 1);
    CU_ASSERT(strstr(buf, "WARN conn: bad name 'a?ERROR fake: line?[0m'") != NULL);
    char huge[3000];
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    log_error("conn", "%s", huge);
    n = written(fd[0], buf, sizeof(buf));
    CU_ASSERT(n <= LOG_LINE_BYTES_MAX && buf[n - 1] == '\n');
    log_set_level(LOG_LEVEL_ERROR);
    log_info("conn", "not written");
    log_error("conn", "written");
    written(fd[0], buf, sizeof(buf));
    CU_ASSERT(strstr(buf, "not written") == NULL && strstr(buf, "written") != NULL);
    log_set_level(LOG_LEVEL_INFO);
    log_set_fd(STDERR_FILENO);
    close(fd[0]);
    close(fd[1]);
}

static void limit_bounds_a_flood(void)
{
    struct log_limit limit = {0};
    int64_t now = 5 * CLOCK_NS_PER_S;
    int passed = 0;
    uint64_t suppressed = 99;
    for (int i = 0; i < 1000; i++)
        passed += log_limit_pass(&limit, now, NULL);
    CU_ASSERT(passed == 20);
    CU_ASSERT(log_limit_pass(&limit, now + CLOCK_NS_PER_S / 5, &suppressed));
    CU_ASSERT(suppressed == 980);
    passed = 0;
    for (int i = 0; i < 10000; i++)
        passed += log_limit_pass(&limit, now + (int64_t)i * CLOCK_NS_PER_MS, NULL);
    CU_ASSERT(passed >= 95 && passed <= 130);
}

UNIT_MAIN("log", UNIT_CASE(one_line_each_and_no_forgery), UNIT_CASE(limit_bounds_a_flood))
