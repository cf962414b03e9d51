/*
 * process: limits of the operating system on this process.
 *
 * Purpose: raised as far as the hard limits allow, before threads and rings are made. Process-wide,
 * called once by main's thread. Never fails: what could not be raised shows in the answer.
 */
#ifndef CONTROL_PROCESS_H
#define CONTROL_PROCESS_H

#include <stdint.h>

struct process_limits {
    uint64_t files;        /* descriptors, RLIMIT_NOFILE; UINT64_MAX: no limit */
    uint64_t locked_bytes; /* RLIMIT_MEMLOCK */
};

struct process_limits process_limits_raise(void);

/* CPUs that this process may run on, at least 1. */
uint32_t process_cpu_count(void);

/* A write to a closed socket or pipe is an error, not a signal. */
void process_ignore_sigpipe(void);

#endif
