/* table: which handler answers which API key. */
#include "control/api/api.h"
#include "dataplane/proto/apis.h"

api_fn *api_handler(int16_t api_key)
{
    switch (api_key) {
    case API_ApiVersions:
        return api_versions;
    case API_Metadata:
        return api_metadata;
    case API_CreateTopics:
        return api_create_topics;
    case API_DeleteTopics:
        return api_delete_topics;
    case API_CreatePartitions:
        return api_create_partitions;
    case API_DeleteRecords:
        return api_delete_records;
    case API_DescribeConfigs:
        return api_describe_configs;
    case API_AlterConfigs:
        return api_alter_configs;
    case API_IncrementalAlterConfigs:
        return api_incremental_alter_configs;
    case API_DescribeCluster:
        return api_describe_cluster;
    case API_DescribeTopicPartitions:
        return api_describe_topic_partitions;
    case API_DescribeLogDirs:
        return api_describe_log_dirs;
    case API_InitProducerId:
        return api_init_producer_id;
    case API_FindCoordinator:
        return api_find_coordinator;
    case API_DescribeProducers:
        return api_describe_producers;
    case API_ListPartitionReassignments:
        return api_list_partition_reassignments;
    case API_OffsetForLeaderEpoch:
        return api_offset_for_leader_epoch;
    case API_JoinGroup:
        return api_join_group;
    case API_SyncGroup:
        return api_sync_group;
    case API_Heartbeat:
        return api_heartbeat;
    case API_LeaveGroup:
        return api_leave_group;
    case API_OffsetCommit:
        return api_offset_commit;
    case API_OffsetFetch:
        return api_offset_fetch;
    case API_OffsetDelete:
        return api_offset_delete;
    case API_ListGroups:
        return api_list_groups;
    case API_DescribeGroups:
        return api_describe_groups;
    case API_DeleteGroups:
        return api_delete_groups;
    case API_ConsumerGroupHeartbeat:
        return api_consumer_group_heartbeat;
    case API_ConsumerGroupDescribe:
        return api_consumer_group_describe;
    case API_ListConfigResources:
        return api_list_config_resources;
    default:
        return NULL;
    }
}
