/*
 * broker: the composition root. It alone knows every part.
 *
 * Purpose: builds shards, workers, control and listeners from a configuration, hands each part its
 * clock, disk and transport, puts the stages on the shards, recovers the logs, and takes all of it
 * down in order.
 * Owner: main. Memory: one block per part, released by broker_free. There are no singletons: a
 * simulator makes several brokers in one process.
 * Failure: broker_new and broker_start answer an err with one line for the operator in `why`.
 */
#ifndef CONTROL_BROKER_H
#define CONTROL_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "control/config/config.h"
#include "storage/io/io.h"

struct broker;
struct control;
struct shard;

struct broker_seams {
    struct clock *clock;
    struct fs *fs;
    uint64_t seed;
};

int broker_new(struct broker **out, struct config *config, const struct broker_seams *seams,
               char *why, size_t why_size);

/*
 * Recovers, listens; afterwards clients are served. ready gets "listener://host:port ..." as
 * accepted.
 */
int broker_start(struct broker *b, char *ready, size_t ready_size, char *why, size_t why_size);

/* Runs the control loop on the calling thread until broker_request_stop. */
int broker_run(struct broker *b);

/* From a signal handler or any thread. */
void broker_request_stop(struct broker *b);

void broker_free(struct broker *b);

/* control->config is a new one: what of it is not read anew each time is applied. */
void broker_settings_changed(struct broker *b);

/* For control and its handlers. */
uint32_t broker_shard_count(const struct broker *b);
struct shard *broker_shard(struct broker *b, uint32_t index);
uint32_t broker_log_dir_count(const struct broker *b);
const char *broker_log_dir(const struct broker *b, uint32_t index);
bool broker_log_dir_online(const struct broker *b, uint32_t index);
/*
 * Bytes of the file system under it, as a worker saw them last (a mount may hang). ERR_NOT_FOUND before
 * it looked.
 */
int broker_log_dir_space(const struct broker *b, uint32_t index, uint64_t *total,
                         uint64_t *available);
const struct uuid *broker_log_dir_id(const struct broker *b, uint32_t index);
int32_t broker_node_id(const struct broker *b);

/* Port the listener really has (0 in the configuration: the kernel's choice). */
uint16_t broker_listener_port(const struct broker *b, uint32_t listener);

#endif
