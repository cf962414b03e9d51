/*
 * nic_test: `sluice nic test`: a network port put through what the broker will ask of it.
 *
 * Purpose: opens one or two devices, runs dataplane/nic/exercise.h over them and prints a table: what was looked at,
 * ok, failed or skipped, the figures. Owner: the calling thread; EAL as in ports.h. Memory: EAL's
 * heap. Failure: a device that is refused is a line of the table, and counts as failed.
 */
#ifndef CONTROL_CLI_NIC_TEST_H
#define CONTROL_CLI_NIC_TEST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define nic_test_devices_max 2

struct nic_test {
    const char *devices[nic_test_devices_max]; /* as in ports.h; two: joined by a cable */
    uint32_t count;
    uint32_t queues;
    const char *neighbor; /* IPv4 address to ask for echoes, from the first address= of the first
                             device; NULL: none */
};

/* Returns how many lines say failed. ERR_INVALID, or EAL did not start; why gets one line. */
int nic_test(const struct nic_test *t, FILE *out, char *why, size_t why_size);

#endif
