/*
 * consumer_ops: consumer groups (KIP-848) as the coordinator uses them.
 *
 * Purpose: the table of functions that a coordinator is given (coordinator_options.consumer) to
 * offer the newer protocol. Each runs inside a coordinator's step; see struct consumer_protocol in
 * group.h. Owner: the coordinator's thread. Constant.
 */
#ifndef CONTROL_GROUP_CONSUMER_OPS_H
#define CONTROL_GROUP_CONSUMER_OPS_H

struct consumer_protocol;

extern const struct consumer_protocol consumer_protocol_ops;

#endif
