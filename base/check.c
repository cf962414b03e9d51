#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *text)
{
    char buf[512];
    int n = snprintf(buf, sizeof(buf), "%s:%d: CHECK failed: %s\n", file, line, text);
    if (n > 0) {
        ssize_t ignored =
            write(STDERR_FILENO, buf, n < (int)sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
        (void)ignored;
    }
    abort();
}
