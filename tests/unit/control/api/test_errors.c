/* What each API of control refuses, with Kafka's error codes, and that nothing of it is done. */
#include <string.h>

#include "base/kerr.h"
#include "dataplane/proto/gen/create_partitions.h"
#include "dataplane/proto/gen/create_topics.h"
#include "dataplane/proto/gen/delete_records.h"
#include "dataplane/proto/gen/delete_topics.h"
#include "dataplane/proto/gen/describe_cluster.h"
#include "dataplane/proto/gen/describe_configs.h"
#include "dataplane/proto/gen/describe_producers.h"
#include "dataplane/proto/gen/describe_topic_partitions.h"
#include "dataplane/proto/gen/find_coordinator.h"
#include "dataplane/proto/gen/incremental_alter_configs.h"
#include "dataplane/proto/gen/init_producer_id.h"
#include "dataplane/proto/gen/list_partition_reassignments.h"
#include "dataplane/proto/gen/metadata.h"
#include "dataplane/proto/gen/offset_for_leader_epoch.h"
#include "tests/unit/control/api/goods.h"

static struct ask ask;
static struct str topic; /* three partitions */

static void up(void)
{
    static char name[64];
    ask_up(&ask);
    struct str made = good_topic(&ask, 3);
    snprintf(name, sizeof(name), "%.*s", STR_ARG(made));
    topic = str_from(name);
}

static const struct {
    const char *name;
    int16_t error;
} create_errors[] = {
    {"", KERR_INVALID_TOPIC_EXCEPTION},
    {"..", KERR_INVALID_TOPIC_EXCEPTION},
    {"\xc3\xbc", KERR_INVALID_TOPIC_EXCEPTION},
    {"none", KERR_INVALID_PARTITIONS},
    {"three", KERR_INVALID_REPLICATION_FACTOR},
    {"zero", KERR_INVALID_REPLICATION_FACTOR},
    {"odd", KERR_INVALID_CONFIG},
    {"key", KERR_INVALID_CONFIG},
    {"away", KERR_INVALID_REPLICA_ASSIGNMENT},
    {"both", KERR_INVALID_REQUEST},
    {"twice", KERR_INVALID_REQUEST},
};

/* What creating it is answered with; any other name is an illegal one. */
static int16_t create_error(struct str name)
{
    for (size_t k = 0; k < sizeof(create_errors) / sizeof(create_errors[0]); k++)
        if (str_eqz(name, create_errors[k].name))
            return create_errors[k].error;
    return str_eq(name, topic) ? KERR_TOPIC_ALREADY_EXISTS : KERR_INVALID_TOPIC_EXCEPTION;
}

static void create_topics(void)
{
    up();
    char long_name[251];
    memset(long_name, 'x', 250);
    long_name[250] = '\0';
    int32_t stranger = 9;
    struct create_topics_request_assignment assignment = {0, &stranger, 1};
    struct create_topics_request_config odd = {STR("retention.ms"), STR("soon")};
    struct create_topics_request_config unknown = {STR("no.such.key"), STR("1")};
    struct create_topics_request_topic t[] = {
        {.name = topic, .num_partitions = 1, .replication_factor = 1},
        {.name = STR(""), .num_partitions = 1, .replication_factor = 1},
        {.name = STR(".."), .num_partitions = 1, .replication_factor = 1},
        {.name = STR("\xc3\xbc"), .num_partitions = 1, .replication_factor = 1},
        {.name = str_from(long_name), .num_partitions = 1, .replication_factor = 1},
        {.name = STR("none"), .num_partitions = 0, .replication_factor = 1},
        {.name = STR("three"), .num_partitions = 1, .replication_factor = 3},
        {.name = STR("zero"), .num_partitions = 1, .replication_factor = 0},
        {.name = STR("odd"),
         .num_partitions = 1,
         .replication_factor = 1,
         .configs = &odd,
         .n_configs = 1},
        {.name = STR("key"),
         .num_partitions = 1,
         .replication_factor = 1,
         .configs = &unknown,
         .n_configs = 1},
        {.name = STR("away"),
         .num_partitions = -1,
         .replication_factor = -1,
         .assignments = &assignment,
         .n_assignments = 1},
        {.name = STR("both"),
         .num_partitions = 1,
         .replication_factor = 1,
         .assignments = &assignment,
         .n_assignments = 1},
        {.name = STR("twice"), .num_partitions = 1, .replication_factor = 1},
        {.name = STR("twice"), .num_partitions = 1, .replication_factor = 1},
    };
    for (int v = 0; v <= 7; v++) {
        struct create_topics_request q = {t, 14, 1000, false};
        struct create_topics_response r;
        ASK(&ask, create_topics, API_CreateTopics, v, &q, &r);
        CU_ASSERT_EQUAL(r.n_topics, 13); /* what stands twice is answered once */
        for (int32_t i = 0; i < r.n_topics; i++) {
            const struct create_topics_response_topic *x = &r.topics[i];
            int16_t wanted = create_error(x->name);
            CU_ASSERT_EQUAL(x->error_code, wanted);
            if (x->error_code != wanted)
                printf("    v%d %.*s: %d, wanted %d\n", v, STR_ARG(x->name), x->error_code, wanted);
            CU_ASSERT(v < 1 || x->error_message.len > 0);
        }
    }
    CU_ASSERT_EQUAL(ask.rig.control.image.by_id.count, 1);
    struct create_topics_request_topic fine = {
        .name = STR("fine"), .num_partitions = 1, .replication_factor = 1};
    struct create_topics_request q = {&fine, 1, 1000, true};
    struct create_topics_response r;
    ASK(&ask, create_topics, API_CreateTopics, 5, &q, &r);
    CU_ASSERT_EQUAL(r.topics[0].error_code, 0);
    CU_ASSERT_PTR_NULL(rig_topic(&ask.rig, "fine"));
    ask_down(&ask);
}

static void delete_topics(void)
{
    up();
    struct str names[] = {STR("nobody"), STR("..")};
    struct uuid unknown = {{7}};
    struct image_topic *known = image_by_name(&ask.rig.control.image, topic);
    struct delete_topics_request_topic t[] = {{.name = STR("nobody")},
                                              {.name = STR_NULL, .topic_id = unknown},
                                              {.name = topic, .topic_id = known->id}};
    for (int v = 0; v <= 6; v++) {
        struct delete_topics_request q = {.timeout_ms = 1000};
        q.topics = v < 6 ? NULL : t;
        q.n_topics = v < 6 ? 0 : 3;
        q.topic_names = v < 6 ? names : NULL;
        q.n_topic_names = v < 6 ? 2 : 0;
        struct delete_topics_response r;
        ASK(&ask, delete_topics, API_DeleteTopics, v, &q, &r);
        CU_ASSERT_EQUAL_FATAL(r.n_responses, v < 6 ? 2 : 3);
        int errors[4] = {0};
        for (int32_t i = 0; i < r.n_responses; i++) {
            int16_t e = r.responses[i].error_code;
            errors[e == KERR_UNKNOWN_TOPIC_OR_PARTITION ? 0
                   : e == KERR_UNKNOWN_TOPIC_ID         ? 1
                   : e == KERR_INVALID_REQUEST          ? 2
                                                        : 3]++;
        }
        CU_ASSERT_EQUAL(errors[3], 0);
        CU_ASSERT_EQUAL(errors[0], v < 6 ? 2 : 1);
        CU_ASSERT(v < 6 || (errors[1] == 1 && errors[2] == 1));
    }
    CU_ASSERT_PTR_NOT_NULL(image_by_name(&ask.rig.control.image, topic));
    ask_down(&ask);
}

static int16_t grow(struct str name, int32_t count, int32_t *brokers, int32_t assignments)
{
    struct create_partitions_request_assignment as[8];
    for (int32_t i = 0; i < assignments; i++)
        as[i] = (struct create_partitions_request_assignment){brokers, 1};
    struct create_partitions_request_topic t = {name, count, as, brokers ? assignments : -1};
    struct create_partitions_request q = {&t, 1, 1000, false};
    struct create_partitions_response r;
    ASK(&ask, create_partitions, API_CreatePartitions, 3, &q, &r);
    CU_ASSERT_EQUAL_FATAL(r.n_results, 1);
    return r.results[0].error_code;
}

static void create_partitions(void)
{
    int32_t self = 1, stranger = 9;
    up();
    CU_ASSERT_EQUAL(grow(STR("nobody"), 5, NULL, 0), KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(grow(topic, 3, NULL, 0), KERR_INVALID_PARTITIONS);
    CU_ASSERT_EQUAL(grow(topic, 2, NULL, 0), KERR_INVALID_PARTITIONS);
    CU_ASSERT_EQUAL(grow(topic, -1, NULL, 0), KERR_INVALID_PARTITIONS);
    CU_ASSERT_EQUAL(grow(topic, 5, &stranger, 2), KERR_INVALID_REPLICA_ASSIGNMENT);
    CU_ASSERT_EQUAL(grow(topic, 5, &self, 3), KERR_INVALID_REPLICA_ASSIGNMENT);
    CU_ASSERT_EQUAL(image_by_name(&ask.rig.control.image, topic)->partition_count, 3);
    CU_ASSERT_EQUAL(grow(topic, 5, &self, 2), 0);
    CU_ASSERT_EQUAL(image_by_name(&ask.rig.control.image, topic)->partition_count, 5);
    ask_down(&ask);
}

static void delete_records(void)
{
    up();
    struct delete_records_request_partition p[] = {{0, 5}, {1, -2}, {8, 0}, {-1, 0}, {2, 0}};
    struct delete_records_request_topic t[] = {{topic, p, 5}, {STR("nobody"), p, 1}};
    struct delete_records_request q = {t, 2, 1000};
    struct delete_records_response r;
    static const int16_t want[] = {KERR_OFFSET_OUT_OF_RANGE, KERR_OFFSET_OUT_OF_RANGE,
                                   KERR_UNKNOWN_TOPIC_OR_PARTITION, KERR_UNKNOWN_TOPIC_OR_PARTITION,
                                   0};
    for (int v = 0; v <= 2; v++) {
        int seen = 0;
        ASK(&ask, delete_records, API_DeleteRecords, v, &q, &r);
        for (int32_t i = 0; i < r.n_topics; i++)
            for (int32_t k = 0; k < r.topics[i].n_partitions; k++, seen++) {
                const struct delete_records_response_partition *x = &r.topics[i].partitions[k];
                int16_t wanted = KERR_UNKNOWN_TOPIC_OR_PARTITION;
                for (int j = 0; j < 5 && str_eq(r.topics[i].name, topic); j++)
                    if (p[j].partition_index == x->partition_index)
                        wanted = want[j];
                CU_ASSERT_EQUAL(x->error_code, wanted);
                CU_ASSERT_EQUAL(x->low_watermark, wanted ? -1 : 0);
            }
        CU_ASSERT_EQUAL(seen, 6);
    }
    ask_down(&ask);
}

static int16_t described(int8_t type, struct str name)
{
    struct describe_configs_request_resource r = {type, name, NULL, -1};
    struct describe_configs_request q = {&r, 1, false, false};
    struct describe_configs_response out;
    ASK(&ask, describe_configs, API_DescribeConfigs, 4, &q, &out);
    CU_ASSERT_EQUAL_FATAL(out.n_results, 1);
    CU_ASSERT(out.results[0].error_code == 0 || out.results[0].n_configs == 0);
    return out.results[0].error_code;
}

static int16_t altered(int8_t type, struct str name, const char *key, const char *value, int8_t op)
{
    struct incremental_alter_configs_request_config c = {str_from(key), op, str_from(value)};
    struct incremental_alter_configs_request_resource r = {type, name, &c, 1};
    struct incremental_alter_configs_request q = {&r, 1, false};
    struct incremental_alter_configs_response out;
    ASK(&ask, incremental_alter_configs, API_IncrementalAlterConfigs, 1, &q, &out);
    CU_ASSERT_EQUAL_FATAL(out.n_responses, 1);
    return out.responses[0].error_code;
}

static void configs(void)
{
    up();
    CU_ASSERT_EQUAL(described(2, topic), 0);
    CU_ASSERT_EQUAL(described(2, STR("nobody")), KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(described(2, STR("..")), KERR_INVALID_TOPIC_EXCEPTION);
    CU_ASSERT_EQUAL(described(4, STR("7")), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(described(4, STR("seven")), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(described(99, topic), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(2, STR("nobody"), "retention.ms", "5", 0),
                    KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(altered(2, topic, "retention.ms", "soon", 0), KERR_INVALID_CONFIG);
    CU_ASSERT_EQUAL(altered(2, topic, "no.such.key", "1", 0), KERR_INVALID_CONFIG);
    CU_ASSERT_EQUAL(altered(2, topic, "retention.ms", "5", 9), KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(altered(2, topic, "retention.ms", "5", 2), KERR_INVALID_CONFIG);
    CU_ASSERT_EQUAL(altered(4, STR("7"), "max.connections", "5", 0), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(4, STR("1"), "node.id", "5", 0), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(4, STR("1"), "max.connections", "-5", 0), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(99, topic, "a", "5", 0), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(image_by_name(&ask.rig.control.image, topic)->configs.count, 0);
    CU_ASSERT_EQUAL(ask.rig.control.image.broker.count, 0);
    /* One resource twice; both are refused. */
    struct incremental_alter_configs_request_config c = {STR("retention.ms"), 0, STR("5")};
    struct incremental_alter_configs_request_resource r[] = {{2, topic, &c, 1}, {2, topic, &c, 1}};
    struct incremental_alter_configs_request q = {r, 2, false};
    struct incremental_alter_configs_response out;
    ASK(&ask, incremental_alter_configs, API_IncrementalAlterConfigs, 1, &q, &out);
    for (int32_t i = 0; i < out.n_responses; i++)
        CU_ASSERT_EQUAL(out.responses[i].error_code, KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(4, STR("1"), "max.connections", "55", 0), 0);
    CU_ASSERT_EQUAL(config_int(ask.rig.control.config, CONFIG_MAX_CONNECTIONS), 55);
    CU_ASSERT_EQUAL(altered(4, STR(""), "max.connections", "66", 0), 0);
    CU_ASSERT_EQUAL(config_int(ask.rig.control.config, CONFIG_MAX_CONNECTIONS), 55);
    CU_ASSERT_EQUAL(altered(4, STR("1"), "max.connections", "", 1), 0);
    CU_ASSERT_EQUAL(config_int(ask.rig.control.config, CONFIG_MAX_CONNECTIONS), 66);
    ask_down(&ask);
}

static void group_configs(void)
{
    static const char session[] = "consumer.session.timeout.ms";
    const struct image *image = &ask.rig.control.image;
    char name[32], zero[] = {'g', '\0', 'h'};
    up();
    CU_ASSERT_EQUAL(described(32, STR("any")), 0);
    CU_ASSERT_EQUAL(described(32, STR("")), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(32, STR(""), session, "50000", 0), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(altered(32, STR("g"), session, "5", 0), KERR_INVALID_CONFIG);
    CU_ASSERT_EQUAL(altered(32, STR("g"), "share.session.timeout.ms", "50000", 0),
                    KERR_INVALID_CONFIG);
    CU_ASSERT_EQUAL(altered(32, (struct str){zero, 3}, session, "50000", 0), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(image->groups.count, 0);
    for (int i = 0; i < group_configs_max; i++) {
        snprintf(name, sizeof(name), "group-%d", i);
        struct topics_config c = {STR("consumer.session.timeout.ms"), STR("50000")};
        CU_ASSERT_EQUAL_FATAL(group_configure(&ask.rig.control, str_from(name), &c, 1), 0);
    }
    CU_ASSERT_EQUAL(altered(32, STR("one-more"), session, "50000", 0), KERR_POLICY_VIOLATION);
    CU_ASSERT_EQUAL(altered(32, STR("group-7"), session, "51000", 0), 0);
    CU_ASSERT_STRING_EQUAL(image_configs_get(&image_group(image, STR("group-7"))->configs,
                                             STR("consumer.session.timeout.ms")),
                           "51000");
    CU_ASSERT_EQUAL(altered(32, STR("group-7"), session, "", 1), 0);
    CU_ASSERT_PTR_NULL(image_group(image, STR("group-7")));
    CU_ASSERT_EQUAL(altered(32, STR("one-more"), session, "50000", 0), 0);
    ask_down(&ask);
}

static void metadata(void)
{
    up();
    struct uuid unknown = {{3}};
    struct metadata_request_topic t[3];
    struct metadata_request q;
    struct metadata_response r;
    metadata_request_init(&q);
    for (int i = 0; i < 3; i++)
        metadata_request_topic_init(&t[i]);
    t[0].name = STR("nobody");
    t[1].name = STR("a b");
    q.topics = t;
    q.allow_auto_topic_creation = false;
    for (int v = 4; v <= 13; v++) {
        q.n_topics = 2;
        ASK(&ask, metadata, API_Metadata, v, &q, &r);
        CU_ASSERT_EQUAL_FATAL(r.n_topics, 2);
        for (int32_t i = 0; i < 2; i++)
            CU_ASSERT_EQUAL(r.topics[i].error_code, str_eqz(r.topics[i].name, "nobody")
                                                        ? KERR_UNKNOWN_TOPIC_OR_PARTITION
                                                        : KERR_INVALID_TOPIC_EXCEPTION);
    }
    t[0].name = STR_NULL;
    t[0].topic_id = unknown;
    q.n_topics = 1;
    ASK(&ask, metadata, API_Metadata, 12, &q, &r);
    CU_ASSERT_EQUAL(r.topics[0].error_code, KERR_UNKNOWN_TOPIC_ID);
    CU_ASSERT_EQUAL(ask.rig.control.image.by_id.count, 1);
    t[0].topic_id = UUID_ZERO;
    t[0].name = STR("made");
    q.allow_auto_topic_creation = true;
    ASK(&ask, metadata, API_Metadata, 9, &q, &r);
    rig_settle(&ask.rig);
    CU_ASSERT_PTR_NOT_NULL(rig_topic(&ask.rig, "made"));
    ask_down(&ask);
}

static struct config *replicated(void)
{
    static const char *const overrides[] = {"default.replication.factor=2"};
    struct config_sources from = {.overrides = overrides, .override_count = 1};
    struct config_errors errs;
    struct config *config;
    config_errors_init(&errs);
    CU_ASSERT_EQUAL_FATAL(config_load(&config, &from, &errs), 0);
    config_errors_free(&errs);
    return config;
}

/* What CreateTopics refuses is not created by asking for it. */
static void auto_creation_refused(void)
{
    up();
    struct config *own = ask.rig.control.config, *other = replicated();
    struct metadata_request_topic t[] = {{UUID_ZERO, STR("made.here")}};
    struct metadata_request q;
    struct metadata_response r;
    metadata_request_init(&q);
    q.topics = t;
    q.n_topics = 1;
    q.allow_auto_topic_creation = true;
    ASK(&ask, metadata, API_Metadata, 9, &q, &r);
    rig_settle(&ask.rig);
    CU_ASSERT_PTR_NOT_NULL(rig_topic(&ask.rig, "made.here"));
    t[0].name = STR("made_here");
    ASK(&ask, metadata, API_Metadata, 9, &q, &r);
    CU_ASSERT_EQUAL(r.topics[0].error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    rig_settle(&ask.rig);
    CU_ASSERT_PTR_NULL(rig_topic(&ask.rig, "made_here"));
    t[0].name = STR("other");
    ask.rig.control.config = other;
    ASK(&ask, metadata, API_Metadata, 9, &q, &r);
    CU_ASSERT_EQUAL(r.topics[0].error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    rig_settle(&ask.rig);
    CU_ASSERT_PTR_NULL(rig_topic(&ask.rig, "other"));
    ask.rig.control.config = own;
    ASK(&ask, metadata, API_Metadata, 9, &q, &r);
    rig_settle(&ask.rig);
    CU_ASSERT_PTR_NOT_NULL(rig_topic(&ask.rig, "other"));
    config_free(other);
    ask_down(&ask);
}

static void epochs(void)
{
    up();
    struct offset_for_leader_epoch_request_partition p[] = {{0, 9, 0}, {7, -1, 0}, {1, -1, 3}};
    struct offset_for_leader_epoch_request_topic t[] = {{topic, p, 3}, {STR("nobody"), p, 1}};
    struct offset_for_leader_epoch_request q;
    offset_for_leader_epoch_request_init(&q);
    q.topics = t;
    q.n_topics = 2;
    struct offset_for_leader_epoch_response r;
    for (int v = 2; v <= 4; v++) {
        ASK(&ask, offset_for_leader_epoch, API_OffsetForLeaderEpoch, v, &q, &r);
        int seen = 0;
        for (int32_t i = 0; i < r.n_topics; i++)
            for (int32_t k = 0; k < r.topics[i].n_partitions; k++, seen++) {
                const struct offset_for_leader_epoch_response_partition *x =
                    &r.topics[i].partitions[k];
                bool known = str_eq(r.topics[i].topic, topic);
                int16_t wanted = !known || x->partition == 7 ? KERR_UNKNOWN_TOPIC_OR_PARTITION
                                 : x->partition == 0         ? KERR_UNKNOWN_LEADER_EPOCH
                                                             : 0;
                CU_ASSERT_EQUAL(x->error_code, wanted);
                CU_ASSERT_EQUAL(x->end_offset, -1); /* nothing was written, or an error */
            }
        CU_ASSERT_EQUAL(seen, 4);
    }
    ask_down(&ask);
}

static void the_others(void)
{
    up();
    struct describe_cluster_request dc = {false, 3, false};
    struct describe_cluster_response dcr;
    ASK(&ask, describe_cluster, API_DescribeCluster, 1, &dc, &dcr);
    CU_ASSERT_EQUAL(dcr.error_code, KERR_UNSUPPORTED_ENDPOINT_TYPE);

    struct describe_topic_partitions_request_topic t[] = {{STR("nobody")}, {topic}};
    struct describe_topic_partitions_request dt = {t, 2, 2000, NULL};
    struct describe_topic_partitions_response dtr;
    ASK(&ask, describe_topic_partitions, API_DescribeTopicPartitions, 0, &dt, &dtr);
    CU_ASSERT_EQUAL_FATAL(dtr.n_topics, 2);
    CU_ASSERT_EQUAL(dtr.topics[0].error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(dtr.topics[1].n_partitions, 3);

    struct str key = STR("x");
    struct find_coordinator_request fc = {.key = key, .key_type = 9};
    struct find_coordinator_response fcr;
    ASK(&ask, find_coordinator, API_FindCoordinator, 1, &fc, &fcr);
    CU_ASSERT_EQUAL(fcr.error_code, KERR_INVALID_REQUEST);

    struct init_producer_id_request ip;
    struct init_producer_id_response ipr;
    init_producer_id_request_init(&ip);
    ip.transactional_id = STR("tx");
    ip.transaction_timeout_ms = 1000;
    for (int v = 0; v <= 5; v++) {
        ASK(&ask, init_producer_id, API_InitProducerId, v, &ip, &ipr);
        CU_ASSERT(ipr.error_code != 0 && ipr.producer_id == -1);
    }

    int32_t parts[] = {0};
    struct describe_producers_request_topic dpt = {STR("nobody"), parts, 1};
    struct describe_producers_request dp = {&dpt, 1};
    struct describe_producers_response dpr;
    ASK(&ask, describe_producers, API_DescribeProducers, 0, &dp, &dpr);
    CU_ASSERT_EQUAL(dpr.topics[0].partitions[0].error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);

    struct list_partition_reassignments_request_topic lt = {STR("nobody"), parts, 1};
    struct list_partition_reassignments_request lp = {1000, &lt, 1};
    struct list_partition_reassignments_response lpr;
    ASK(&ask, list_partition_reassignments, API_ListPartitionReassignments, 0, &lp, &lpr);
    CU_ASSERT(lpr.error_code == 0 && lpr.n_topics == 0);
    ask_down(&ask);
}

UNIT_MAIN("control/api/errors", UNIT_CASE(create_topics), UNIT_CASE(delete_topics),
          UNIT_CASE(create_partitions), UNIT_CASE(delete_records), UNIT_CASE(configs),
          UNIT_CASE(group_configs), UNIT_CASE(metadata), UNIT_CASE(auto_creation_refused),
          UNIT_CASE(epochs), UNIT_CASE(the_others))
