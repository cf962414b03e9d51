/*
 * groups: what the handlers of group requests share (api/group_*.c, api/offsets*.c).
 *
 * Purpose: a request about one group becomes one call of its coordinator; a request about several
 * becomes one call each, and their answers are put together. Owner: the control thread. Memory: the
 * request's arena. Failure: a response that finds no room closes the connection.
 */
#ifndef CONTROL_API_GROUPS_H
#define CONTROL_API_GROUPS_H

#include "control/api/api.h"
#include "control/groups.h"

/* Bit set of AclOperation codes that may be done to a group without an authoriser. */
#define API_GROUP_OPERATIONS 0x0d48

#define api_groups_max 10000 /* groups named in one request; more close the connection */

/* One group of a request that names several. */
struct group_item {
    struct group_work work; /* first */
    struct fan *fan;
    /* Puts call.response where it belongs. */
    void (*put)(struct group_item *item, const void *response);
    void *out;
};

/*
 * A call to the coordinator of p for a request about one group; it is answered with `encode`, or
 * cancelled when its connection closes. NULL: closed, return.
 */
struct group_call *group_single(struct control_request *rq, struct group_partition *p,
                                control_encode_fn *encode);

/*
 * The call of group_single is forgotten when it is not answered in time (its effects stay), and `late`
 * answers the request. Before the call is handed to the coordinator.
 */
void group_single_deadline(struct control_request *rq, int64_t ms,
                           void (*late)(struct control_request *rq, const void *req),
                           const void *req);

/* A call for one of several. The fan has been added to; fan_done follows. */
struct group_call *group_item_begin(struct group_item *item, struct fan *fan,
                                    void (*put)(struct group_item *item, const void *response),
                                    void *out);

static inline struct groups *api_groups(const struct control_request *rq)
{
    return rq->control->groups;
}

#endif
