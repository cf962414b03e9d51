/*
 * produce_batch: the first look at the records of a Produce request, before any log sees them.
 *
 * Purpose: what Kafka's ProduceRequest.validateRecords and RequestUtils check: exactly one batch,
 * of magic 2. Everything inside the batch is the plog's business. Pure. Never fails: the verdict
 * is in the look. Kept in a header of its own because tests ask it directly.
 */
#ifndef DATAPLANE_KAFKA_PRODUCE_BATCH_H
#define DATAPLANE_KAFKA_PRODUCE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/chain.h"

struct batch_look {
    int16_t error;      /* KERR_* for this partition, 0 if the batch may go to the log */
    bool corrupt;       /* so broken that Kafka refuses the whole request */
    bool transactional; /* written inside a transaction */
    uint32_t bytes;     /* of the first batch; what trails it is ignored */
    uint32_t records;   /* as its header says */
    int32_t size;       /* its length field */
    int8_t magic;
};

void batch_look(struct batch_look *out, struct chain_view records, int version);

/* Kafka's message about a corrupt batch. */
void batch_corrupt_text(const struct batch_look *look, char *out, size_t size);

#endif
