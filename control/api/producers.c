/*
 * producers: InitProducerId without transactions, FindCoordinator, and ListPartitionReassignments, of
 * which one node has none.
 */
#include "control/api/api.h"
#include "control/groups.h"
#include "dataplane/proto/gen/find_coordinator.h"
#include "dataplane/proto/gen/init_producer_id.h"
#include "dataplane/proto/gen/list_partition_reassignments.h"

API_ENCODER(init_producer_id_response)
API_ENCODER(find_coordinator_response)
API_ENCODER(list_partition_reassignments_response)

#define coordinator_keys_max 10000 /* keys of one batched FindCoordinator */

enum { KEY_GROUP = 0, KEY_TRANSACTION = 1, KEY_SHARE = 2 };

/* KafkaApis.handleInitProducerIdRequest, then TransactionCoordinator with a null transactional id. */
void api_init_producer_id(struct control_request *rq)
{
    struct init_producer_id_request req;
    API_DECODE(rq, init_producer_id_request, &req);
    struct init_producer_id_response res;
    init_producer_id_response_init(&res);
    res.producer_id = -1;
    res.producer_epoch = -1;
    if ((req.producer_id == -1) != (req.producer_epoch == -1)) {
        res.error_code = KERR_INVALID_REQUEST;
    } else if (!str_is_null(req.transactional_id)) {
        /* Nothing here could keep a transaction's promises: an error that clients give up on. */
        res.error_code = req.transactional_id.len == 0 ? KERR_INVALID_REQUEST
                                                       : KERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    } else if (topics_next_producer_id(rq->control, &res.producer_id) < 0) {
        res.producer_id = -1;
        res.error_code = KERR_COORDINATOR_NOT_AVAILABLE;
    } else {
        res.producer_epoch = 0;
    }
    control_reply(rq, &res, init_producer_id_response_encode_any);
}

/*
 * A group's coordinator is this node, once the topic is there that holds groups: asking makes it.
 * For transactions and share groups the error must be one that clients give up on
 * (COORDINATOR_NOT_AVAILABLE is retried for ever).
 */
static struct find_coordinator_response_coordinator find_one(struct control_request *rq,
                                                             int8_t key_type, struct str key)
{
    struct find_coordinator_response_coordinator c;
    find_coordinator_response_coordinator_init(&c);
    c.key = key;
    c.node_id = -1;
    c.host = STR("");
    c.port = -1;
    c.error_code = KERR_UNSUPPORTED_VERSION;
    if (key_type == KEY_GROUP && (c.error_code = groups_topic_ensure(rq->control->groups)) != 0) {
        c.error_message = rq->version < 4 ? str_from(kerr_text(c.error_code)) : STR("");
    } else if (key_type == KEY_GROUP) {
        c.node_id = broker_node_id(rq->control->broker);
        c.host = api_advertised_host(rq);
        c.port = api_advertised_port(rq);
        c.error_message = rq->version < 4 ? STR("NONE") : STR(""); /* stock Kafka's words */
    } else if (key_type == KEY_TRANSACTION) {
        c.error_message = STR("This broker does not serve transactions.");
    } else if (key_type == KEY_SHARE) {
        c.error_message = STR("This broker does not serve share groups.");
    } else {
        c.error_code = KERR_INVALID_REQUEST;
        c.error_message = str_from(kerr_text(KERR_INVALID_REQUEST));
    }
    return c;
}

void api_find_coordinator(struct control_request *rq)
{
    struct find_coordinator_request req;
    API_DECODE(rq, find_coordinator_request, &req);
    struct find_coordinator_response res;
    find_coordinator_response_init(&res);
    if (rq->version < 4) {
        struct find_coordinator_response_coordinator c = find_one(rq, req.key_type, req.key);
        res.error_code = c.error_code;
        res.error_message = c.error_message;
        res.node_id = c.node_id;
        res.host = c.host;
        res.port = c.port;
        control_reply(rq, &res, find_coordinator_response_encode_any);
        return;
    }
    if (req.n_coordinator_keys > coordinator_keys_max) {
        control_close(rq, "FindCoordinator names more than coordinator_keys_max keys");
        return;
    }
    API_ALLOC(rq, res.coordinators, req.n_coordinator_keys > 0 ? req.n_coordinator_keys : 0);
    for (int32_t i = 0; i < req.n_coordinator_keys; i++)
        res.coordinators[res.n_coordinators++] =
            find_one(rq, req.key_type, req.coordinator_keys[i]);
    control_reply(rq, &res, find_coordinator_response_encode_any);
}

void api_list_partition_reassignments(struct control_request *rq)
{
    struct list_partition_reassignments_request req;
    API_DECODE(rq, list_partition_reassignments_request, &req);
    struct list_partition_reassignments_response res;
    list_partition_reassignments_response_init(&res);
    res.error_message = STR_NULL;
    control_reply(rq, &res, list_partition_reassignments_response_encode_any);
}
