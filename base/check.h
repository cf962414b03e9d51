/*
 * check: assertions that stay on in release builds.
 *
 * CHECK states an invariant whose breach means memory can no longer be trusted: it writes one line
 * to standard error and aborts. DCHECK is for per-packet loops and vanishes in release builds.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Never returns. Writes "file:line: CHECK failed: text" to standard error and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *text);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            check_failed(__FILE__, __LINE__, #cond);                                               \
    } while (0)

#ifdef NDEBUG
#define DCHECK(cond)                                                                               \
    do {                                                                                           \
        (void)sizeof(cond);                                                                        \
    } while (0)
#else
#define DCHECK(cond) CHECK(cond)
#endif

#endif
