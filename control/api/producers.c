/*
 * producers: InitProducerId without transactions, FindCoordinator before there are coordinators, and
 * ListPartitionReassignments, of which one node has none.
 */
#include "control/api/api.h"
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

static int16_t coordinator_error(int8_t key_type, struct str *message)
{
    switch (key_type) {
    case KEY_GROUP:
        *message = STR("This broker does not serve consumer groups.");
        return KERR_UNSUPPORTED_VERSION;
    case KEY_TRANSACTION:
        *message = STR("This broker does not serve transactions.");
        return KERR_UNSUPPORTED_VERSION;
    case KEY_SHARE:
        *message = STR("This broker does not serve share groups.");
        return KERR_UNSUPPORTED_VERSION;
    default:
        *message = str_from(kerr_text(KERR_INVALID_REQUEST));
        return KERR_INVALID_REQUEST;
    }
}

/*
 * Without groups and transactions no key has a coordinator. The error must be one that clients do
 * not retry for ever (COORDINATOR_NOT_AVAILABLE would be): UNSUPPORTED_VERSION ends the attempt with
 * the message.
 */
void api_find_coordinator(struct control_request *rq)
{
    struct find_coordinator_request req;
    API_DECODE(rq, find_coordinator_request, &req);
    struct find_coordinator_response res;
    find_coordinator_response_init(&res);
    struct str message;
    int16_t error = coordinator_error(req.key_type, &message);
    if (rq->version < 4) {
        res.error_code = error;
        res.error_message = message;
        res.node_id = -1;
        res.host = STR("");
        res.port = -1;
        control_reply(rq, &res, find_coordinator_response_encode_any);
        return;
    }
    if (req.n_coordinator_keys > coordinator_keys_max) {
        control_close(rq, "FindCoordinator names more than coordinator_keys_max keys");
        return;
    }
    API_ALLOC(rq, res.coordinators, req.n_coordinator_keys > 0 ? req.n_coordinator_keys : 0);
    for (int32_t i = 0; i < req.n_coordinator_keys; i++) {
        struct find_coordinator_response_coordinator *k = &res.coordinators[res.n_coordinators++];
        find_coordinator_response_coordinator_init(k);
        k->key = req.coordinator_keys[i];
        k->node_id = -1;
        k->host = STR("");
        k->port = -1;
        k->error_code = error;
        k->error_message = message;
    }
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
