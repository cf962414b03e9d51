/*
 * tune: what a machine lacks for a broker, and how to put it right.
 *
 * Purpose: `sluice tune --check [server.properties]`: looks at the kernel, the memory, the CPUs, the
 * cards and the disks that the settings name, and prints a line each: ok, could be better (works,
 * slower), wrong (the start would be refused, or an acknowledged record could be lost). Changes
 * nothing. Owner: the calling thread. Memory: the report, on the caller's stack or heap.
 * Invariants: what reads /proc and /sys takes them below `root`, so that a test can make them up.
 * Failure: what cannot be read is said in the line that needs it.
 */
#ifndef CONTROL_CLI_TUNE_H
#define CONTROL_CLI_TUNE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/limits.h"

#define tune_lines_max      128 /* further ones are left out */
#define tune_text_bytes_max 512
#define tune_cards_max      8

enum tune_verdict { TUNE_OK, TUNE_BETTER, TUNE_WRONG };

struct tune_line {
    enum tune_verdict verdict;
    char what[24];
    char found[tune_text_bytes_max];
    char remedy[tune_text_bytes_max]; /* empty for TUNE_OK */
};

struct tune_report {
    struct tune_line items[tune_lines_max];
    uint32_t count;
};

/* What the settings ask of the machine. */
struct tune_wants {
    uint64_t memory_bytes;          /* sluice.memory */
    bool fsync;                     /* sluice.durability */
    uint16_t cpus[shard_count_max]; /* sluice.cpus */
    uint32_t cpu_count;
    char cards[tune_cards_max][16]; /* "0000:03:00.0", of sluice.dpdk.ports */
    uint32_t card_count;
    const char *ring_refusal; /* why no io_uring could be made just now; NULL: one was made */
};

/* What was found at a directory of log.dirs. */
struct tune_disk {
    const char *dir;
    bool reachable;      /* it, or the directory above in which it would be made */
    bool writable;       /* a file could be made and written there */
    bool direct;         /* O_DIRECT works */
    uint64_t fs_magic;   /* statfs's f_type */
    uint64_t free_bytes; /* for an ordinary user */
};

void tune_add(struct tune_report *r, enum tune_verdict verdict, const char *what,
              const char *remedy, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Everything below root/proc and root/sys; root "": this machine's own. */
void tune_machine(struct tune_report *r, const char *root, const struct tune_wants *w);

/* Looks; makes a file in it and takes it away. */
void tune_disk_look(struct tune_disk *out, const char *dir);
void tune_disk_judge(struct tune_report *r, const struct tune_disk *d, bool fsync);

/* The lines and a last one that counts them; returns how many are wrong. */
uint32_t tune_print(const struct tune_report *r, FILE *out);

/*
 * The whole check; properties may be NULL (defaults). 0; 1: something is wrong. ERR_INVALID: the
 * settings are refused, why gets the first reason. ERR_NO_MEMORY.
 */
int tune_check(const char *properties, FILE *out, char *why, size_t why_size);

#endif
