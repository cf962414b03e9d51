/*
 * err: the one list of our own errors.
 *
 * Purpose: functions return 0 or a positive count, or one of these negative values. Kafka's wire
 * error codes are another list (kerr.h): a client sees those, never these.
 * Owner: none, constants only. Outputs of a failed call are untouched.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* name, value, text. Values are stable within a build only; nothing persists them. */
#define ERR_TABLE(X)                                                                               \
    X(ERR_NO_MEMORY, -1, "out of budgeted memory")                                                 \
    X(ERR_INVALID, -2, "invalid argument or value")                                                \
    X(ERR_NEED_MORE, -3, "more bytes are needed")                                                  \
    X(ERR_MALFORMED, -4, "malformed input")                                                        \
    X(ERR_TOO_LARGE, -5, "over a limit")                                                           \
    X(ERR_NOT_FOUND, -6, "not found")                                                              \
    X(ERR_EXISTS, -7, "exists already")                                                            \
    X(ERR_IO, -8, "input/output error")                                                            \
    X(ERR_NO_SPACE, -9, "no space left on device")                                                 \
    X(ERR_CORRUPT, -10, "stored data is corrupt")                                                  \
    X(ERR_BUSY, -11, "busy or locked by another process")                                          \
    X(ERR_FULL, -12, "queue or table is full")                                                     \
    X(ERR_CLOSED, -13, "closed")                                                                   \
    X(ERR_UNSUPPORTED, -14, "not supported here")                                                  \
    X(ERR_PERMISSION, -15, "permission denied")                                                    \
    X(ERR_RANGE, -16, "outside the valid range")                                                   \
    X(ERR_TIMEOUT, -17, "timed out")                                                               \
    X(ERR_SYSTEM, -18, "operating system refused")                                                 \
    X(ERR_CANCELLED, -19, "cancelled")

enum err {
#define ERR_ENUM(name, value, text) name = (value),
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

/* Static text for a value of enum err (or 0); "unknown error" for anything else. */
const char *err_text(int err);

/* The name of the enumerator, for logs; "ERR_?" for anything else. */
const char *err_name(int err);

/* The err that stands for an errno value (either sign), e.g. ENOSPC -> ERR_NO_SPACE. */
int err_from_errno(int errnum);

#endif
