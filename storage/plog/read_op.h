/* read_op: the life of a read that needs the disk or must wait (read_op.c), and where it goes on
 * (read.c). Private to these two; what others call is in plog_internal.h. */
#ifndef STORAGE_PLOG_READ_OP_H
#define STORAGE_PLOG_READ_OP_H

#include "storage/plog/plog_internal.h"

/* --- read_op.c --- */
/* An answer without an op. */
void read_answer(struct plog *p, struct plog_read *r, int16_t error);
/* One for r; NULL: r begins when there is one. */
struct read_op *read_op_take(struct plog *p, struct plog_read *r);
/* The op and what it holds are gone afterwards. */
void read_op_answer(struct read_op *op, int16_t error);
/* No bytes now; the reader asks again. */
void read_op_empty(struct read_op *op);
/* The bytes at position `at` are no batch: the partition's own damage. */
void read_op_corrupt(struct read_op *op, uint32_t at);
/*
 * Counts for op's reader what this read will take. False: its answers that were not sent hold so
 * much that the read has to be empty.
 */
bool read_op_hold(struct read_op *op, uint32_t bytes);
/* A first batch that is larger than what is left to the reader comes when it has taken the others. */
bool read_op_holds_too_much(const struct read_op *op, uint32_t bytes);
/* It waits at most plog_read_wait_ms for what is short. False: it was answered. */
bool read_op_may_wait(struct read_op *op);
/* Goes on when n chunks of the cache can be taken (0: when it runs next). */
void read_op_wait(struct read_op *op, struct cache *cache, uint32_t n);

/* --- read.c --- */
/* From where the op is. */
void read_op_again(struct read_op *op);
/*
 * Finds the segment, answers from the cache or goes to the disk. op: one that r already has, or
 * NULL.
 */
void read_try(struct plog *p, struct plog_read *r, struct read_op *op);

#endif
