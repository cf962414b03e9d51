#include "tests/unit/control/api/goods.h"

#include <string.h>

#include "base/kerr.h"
#include "dataplane/proto/gen/alter_configs.h"
#include "dataplane/proto/gen/api_versions.h"
#include "dataplane/proto/gen/create_partitions.h"
#include "dataplane/proto/gen/create_topics.h"
#include "dataplane/proto/gen/delete_records.h"
#include "dataplane/proto/gen/delete_topics.h"
#include "dataplane/proto/gen/describe_cluster.h"
#include "dataplane/proto/gen/describe_configs.h"
#include "dataplane/proto/gen/describe_log_dirs.h"
#include "dataplane/proto/gen/describe_producers.h"
#include "dataplane/proto/gen/describe_topic_partitions.h"
#include "dataplane/proto/gen/find_coordinator.h"
#include "dataplane/proto/gen/incremental_alter_configs.h"
#include "dataplane/proto/gen/init_producer_id.h"
#include "dataplane/proto/gen/list_config_resources.h"
#include "dataplane/proto/gen/list_partition_reassignments.h"
#include "dataplane/proto/gen/metadata.h"
#include "dataplane/proto/gen/offset_for_leader_epoch.h"

#define MAKE(api)   static struct ask_bytes make_##api(struct ask *a, int v)
#define CHECK_(api) static void check_##api(struct ask *a, int v, struct reader *rd)
#define ANSWER(api, r)                                                                             \
    struct api##_response r;                                                                       \
    ASK_DECODE(a, api, v, rd, &r)

static char last[64]; /* the name of the topic that the last make_ used */

struct str good_topic(struct ask *a, int32_t partitions)
{
    static uint32_t n;
    snprintf(last, sizeof(last), "topic-%u", n++);
    if (partitions > 0)
        CU_ASSERT_EQUAL_FATAL(rig_create(&a->rig, last, partitions), 0);
    return str_from(last);
}

MAKE(api_versions)
{
    struct api_versions_request q;
    api_versions_request_init(&q);
    if (v >= 3) {
        q.client_software_name = STR("good");
        q.client_software_version = STR("1.0");
    }
    return ASK_BYTES(a, api_versions, &q, v);
}

CHECK_(api_versions)
{
    ANSWER(api_versions, r);
    CU_ASSERT_EQUAL(r.error_code, 0);
    int served = 0;
    for (int32_t i = 0; i < r.n_api_keys; i++)
        served += r.api_keys[i].api_key == API_Metadata && r.api_keys[i].max_version == 13;
    CU_ASSERT_EQUAL(served, 1);
}

MAKE(metadata)
{
    struct metadata_request q;
    struct metadata_request_topic t;
    metadata_request_init(&q);
    metadata_request_topic_init(&t);
    t.name = good_topic(a, 3);
    q.topics = &t;
    q.n_topics = 1;
    return ASK_BYTES(a, metadata, &q, v);
}

CHECK_(metadata)
{
    ANSWER(metadata, r);
    CU_ASSERT_EQUAL_FATAL(r.n_topics, 1);
    CU_ASSERT_EQUAL(r.topics[0].error_code, 0);
    CU_ASSERT_EQUAL(r.topics[0].n_partitions, 3);
    CU_ASSERT(str_eqz(r.topics[0].name, last));
    CU_ASSERT_EQUAL_FATAL(r.n_brokers, 1);
    CU_ASSERT_EQUAL(r.brokers[0].node_id, 1);
}

MAKE(create_topics)
{
    struct create_topics_request_config c = {STR("retention.ms"), STR("5000")};
    struct create_topics_request_topic t = {
        .num_partitions = 2, .replication_factor = 1, .configs = &c, .n_configs = 1};
    struct create_topics_request q = {.topics = &t, .n_topics = 1, .timeout_ms = 5000};
    t.name = good_topic(a, 0);
    return ASK_BYTES(a, create_topics, &q, v);
}

CHECK_(create_topics)
{
    ANSWER(create_topics, r);
    CU_ASSERT_EQUAL_FATAL(r.n_topics, 1);
    CU_ASSERT_EQUAL(r.topics[0].error_code, 0);
    const struct image_topic *t = rig_topic(&a->rig, last);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CU_ASSERT_EQUAL(t->partition_count, 2);
    CU_ASSERT(v < 7 || uuid_eq(&r.topics[0].topic_id, &t->id));
    CU_ASSERT(v < 5 || (r.topics[0].num_partitions == 2 && r.topics[0].n_configs > 10));
}

MAKE(delete_topics)
{
    struct delete_topics_request_topic t = {.name = good_topic(a, 2)};
    struct str name = t.name;
    struct delete_topics_request q = {.timeout_ms = 5000};
    if (v >= 6) {
        q.topics = &t;
        q.n_topics = 1;
    } else {
        q.topic_names = &name;
        q.n_topic_names = 1;
    }
    return ASK_BYTES(a, delete_topics, &q, v);
}

CHECK_(delete_topics)
{
    ANSWER(delete_topics, r);
    CU_ASSERT_EQUAL_FATAL(r.n_responses, 1);
    CU_ASSERT_EQUAL(r.responses[0].error_code, 0);
    CU_ASSERT_PTR_NULL(rig_topic(&a->rig, last));
}

MAKE(create_partitions)
{
    struct create_partitions_request_topic t = {
        .name = good_topic(a, 1), .count = 4, .n_assignments = -1};
    struct create_partitions_request q = {.topics = &t, .n_topics = 1, .timeout_ms = 5000};
    return ASK_BYTES(a, create_partitions, &q, v);
}

CHECK_(create_partitions)
{
    ANSWER(create_partitions, r);
    CU_ASSERT_EQUAL_FATAL(r.n_results, 1);
    CU_ASSERT_EQUAL(r.results[0].error_code, 0);
    CU_ASSERT_EQUAL(rig_topic(&a->rig, last)->partition_count, 4);
}

MAKE(delete_records)
{
    struct delete_records_request_partition p = {1, -1};
    struct delete_records_request_topic t = {good_topic(a, 2), &p, 1};
    struct delete_records_request q = {&t, 1, 5000};
    return ASK_BYTES(a, delete_records, &q, v);
}

CHECK_(delete_records)
{
    ANSWER(delete_records, r);
    CU_ASSERT_EQUAL_FATAL(r.n_topics, 1);
    CU_ASSERT_EQUAL_FATAL(r.topics[0].n_partitions, 1);
    CU_ASSERT_EQUAL(r.topics[0].partitions[0].error_code, 0);
    CU_ASSERT_EQUAL(r.topics[0].partitions[0].low_watermark, 0);
}

MAKE(describe_configs)
{
    struct str key = STR("retention.ms");
    struct describe_configs_request_resource r[2] = {{2, good_topic(a, 1), &key, 1},
                                                     {4, STR("1"), NULL, -1}};
    struct describe_configs_request q = {r, 2, true, true};
    if (v == 0)
        q.include_synonyms = q.include_documentation = false;
    if (v < 3)
        q.include_documentation = false;
    return ASK_BYTES(a, describe_configs, &q, v);
}

CHECK_(describe_configs)
{
    ANSWER(describe_configs, r);
    CU_ASSERT_EQUAL_FATAL(r.n_results, 2);
    CU_ASSERT_EQUAL_FATAL(r.results[0].n_configs, 1);
    CU_ASSERT(str_eqz(r.results[0].configs[0].value, "604800000"));
    CU_ASSERT_EQUAL(r.results[1].error_code, 0);
    CU_ASSERT(r.results[1].n_configs > 100);
}

MAKE(alter_configs)
{
    struct alter_configs_request_config c = {STR("segment.ms"), STR("77777")};
    struct alter_configs_request_resource r = {2, good_topic(a, 1), &c, 1};
    struct alter_configs_request q = {&r, 1, false};
    return ASK_BYTES(a, alter_configs, &q, v);
}

static void check_altered(struct ask *a)
{
    const struct image_topic *t = rig_topic(&a->rig, last);
    CU_ASSERT_EQUAL_FATAL(t->configs.count, 1);
    CU_ASSERT_STRING_EQUAL(t->configs.items[0].value, "77777");
}

CHECK_(alter_configs)
{
    ANSWER(alter_configs, r);
    CU_ASSERT_EQUAL_FATAL(r.n_responses, 1);
    CU_ASSERT_EQUAL(r.responses[0].error_code, 0);
    check_altered(a);
}

MAKE(incremental_alter_configs)
{
    struct incremental_alter_configs_request_config c = {STR("segment.ms"), 0, STR("77777")};
    struct incremental_alter_configs_request_resource r = {2, good_topic(a, 1), &c, 1};
    struct incremental_alter_configs_request q = {&r, 1, false};
    return ASK_BYTES(a, incremental_alter_configs, &q, v);
}

CHECK_(incremental_alter_configs)
{
    ANSWER(incremental_alter_configs, r);
    CU_ASSERT_EQUAL_FATAL(r.n_responses, 1);
    CU_ASSERT_EQUAL(r.responses[0].error_code, 0);
    check_altered(a);
}

MAKE(describe_cluster)
{
    struct describe_cluster_request q;
    describe_cluster_request_init(&q);
    q.endpoint_type = 1;
    return ASK_BYTES(a, describe_cluster, &q, v);
}

CHECK_(describe_cluster)
{
    ANSWER(describe_cluster, r);
    CU_ASSERT_EQUAL(r.error_code, 0);
    CU_ASSERT_EQUAL_FATAL(r.n_brokers, 1);
    CU_ASSERT_EQUAL(r.brokers[0].broker_id, 1);
}

MAKE(describe_topic_partitions)
{
    struct describe_topic_partitions_request_topic t = {good_topic(a, 5)};
    struct describe_topic_partitions_request q = {&t, 1, 3, NULL};
    return ASK_BYTES(a, describe_topic_partitions, &q, v);
}

CHECK_(describe_topic_partitions)
{
    ANSWER(describe_topic_partitions, r);
    CU_ASSERT_EQUAL_FATAL(r.n_topics, 1);
    CU_ASSERT_EQUAL(r.topics[0].error_code, 0);
    CU_ASSERT_EQUAL(r.topics[0].n_partitions, 3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r.next_cursor);
    CU_ASSERT_EQUAL(r.next_cursor->partition_index, 3);
}

MAKE(describe_log_dirs)
{
    int32_t parts[] = {0, 1};
    struct describe_log_dirs_request_topic t = {good_topic(a, 2), parts, 2};
    struct describe_log_dirs_request q = {&t, 1};
    return ASK_BYTES(a, describe_log_dirs, &q, v);
}

CHECK_(describe_log_dirs)
{
    ANSWER(describe_log_dirs, r);
    CU_ASSERT_EQUAL_FATAL(r.n_results, 2);
    int32_t found = 0;
    for (int i = 0; i < 2; i++)
        for (int32_t k = 0; k < r.results[i].n_topics; k++)
            found += r.results[i].topics[k].n_partitions;
    CU_ASSERT_EQUAL(found, 2);
}

MAKE(init_producer_id)
{
    struct init_producer_id_request q;
    init_producer_id_request_init(&q);
    q.transactional_id = STR_NULL;
    q.transaction_timeout_ms = 1000;
    return ASK_BYTES(a, init_producer_id, &q, v);
}

CHECK_(init_producer_id)
{
    static int64_t before = -1;
    ANSWER(init_producer_id, r);
    CU_ASSERT_EQUAL(r.error_code, 0);
    CU_ASSERT(r.producer_id >= 0 && r.producer_id != before);
    before = r.producer_id;
    CU_ASSERT_EQUAL(r.producer_epoch, 0);
}

MAKE(find_coordinator)
{
    struct str key = STR("a-group");
    struct find_coordinator_request q;
    find_coordinator_request_init(&q);
    if (v >= 4) {
        q.coordinator_keys = &key;
        q.n_coordinator_keys = 1;
    } else {
        q.key = key;
    }
    return ASK_BYTES(a, find_coordinator, &q, v);
}

CHECK_(find_coordinator)
{
    ANSWER(find_coordinator, r);
    CU_ASSERT(v < 4 ? r.n_coordinators == 0 : r.n_coordinators == 1);
    CU_ASSERT(v >= 4 || r.error_code == 0 || r.error_code == KERR_COORDINATOR_NOT_AVAILABLE);
}

MAKE(describe_producers)
{
    int32_t parts[] = {0, 7};
    struct describe_producers_request_topic t = {good_topic(a, 1), parts, 2};
    struct describe_producers_request q = {&t, 1};
    return ASK_BYTES(a, describe_producers, &q, v);
}

CHECK_(describe_producers)
{
    ANSWER(describe_producers, r);
    CU_ASSERT_EQUAL_FATAL(r.n_topics, 1);
    CU_ASSERT_EQUAL_FATAL(r.topics[0].n_partitions, 2);
    CU_ASSERT_EQUAL(r.topics[0].partitions[0].error_code, 0);
    CU_ASSERT_EQUAL(r.topics[0].partitions[1].error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
}

MAKE(list_partition_reassignments)
{
    struct list_partition_reassignments_request q = {.timeout_ms = 1000, .n_topics = -1};
    return ASK_BYTES(a, list_partition_reassignments, &q, v);
}

CHECK_(list_partition_reassignments)
{
    ANSWER(list_partition_reassignments, r);
    CU_ASSERT_EQUAL(r.error_code, 0);
    CU_ASSERT_EQUAL(r.n_topics, 0);
}

MAKE(offset_for_leader_epoch)
{
    struct offset_for_leader_epoch_request_partition p = {1, -1, 0};
    struct offset_for_leader_epoch_request_topic t = {good_topic(a, 2), &p, 1};
    struct offset_for_leader_epoch_request q;
    offset_for_leader_epoch_request_init(&q);
    q.topics = &t;
    q.n_topics = 1;
    return ASK_BYTES(a, offset_for_leader_epoch, &q, v);
}

CHECK_(offset_for_leader_epoch)
{
    ANSWER(offset_for_leader_epoch, r);
    CU_ASSERT_EQUAL_FATAL(r.n_topics, 1);
    CU_ASSERT_EQUAL_FATAL(r.topics[0].n_partitions, 1);
    CU_ASSERT_EQUAL(r.topics[0].partitions[0].error_code, 0);
    CU_ASSERT_EQUAL(r.topics[0].partitions[0].partition, 1);
}

MAKE(list_config_resources)
{
    static int8_t types[] = {2, 4};
    struct list_config_resources_request q;
    good_topic(a, 1);
    list_config_resources_request_init(&q);
    if (v >= 1) {
        q.resource_types = types;
        q.n_resource_types = 2;
    }
    return ASK_BYTES(a, list_config_resources, &q, v);
}

CHECK_(list_config_resources)
{
    ANSWER(list_config_resources, r);
    int topics = 0, brokers = 0;
    CU_ASSERT_EQUAL(r.error_code, 0);
    for (int32_t i = 0; i < r.n_config_resources; i++) {
        topics += str_eqz(r.config_resources[i].resource_name, last);
        brokers += r.config_resources[i].resource_type == 4;
    }
    CU_ASSERT_EQUAL(topics, v >= 1);
    CU_ASSERT_EQUAL(brokers, v >= 1);
}

#define GOOD(name, api)                                                                            \
    {                                                                                              \
        API_##name, make_##api, check_##api                                                        \
    }

const struct good goods[] = {
    GOOD(ApiVersions, api_versions),
    GOOD(Metadata, metadata),
    GOOD(CreateTopics, create_topics),
    GOOD(DeleteTopics, delete_topics),
    GOOD(CreatePartitions, create_partitions),
    GOOD(DeleteRecords, delete_records),
    GOOD(DescribeConfigs, describe_configs),
    GOOD(AlterConfigs, alter_configs),
    GOOD(IncrementalAlterConfigs, incremental_alter_configs),
    GOOD(DescribeCluster, describe_cluster),
    GOOD(DescribeTopicPartitions, describe_topic_partitions),
    GOOD(DescribeLogDirs, describe_log_dirs),
    GOOD(InitProducerId, init_producer_id),
    GOOD(FindCoordinator, find_coordinator),
    GOOD(DescribeProducers, describe_producers),
    GOOD(ListConfigResources, list_config_resources),
    GOOD(ListPartitionReassignments, list_partition_reassignments),
    GOOD(OffsetForLeaderEpoch, offset_for_leader_epoch),
};
const size_t goods_count = sizeof(goods) / sizeof(goods[0]);
