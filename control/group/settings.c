#include "control/group/settings.h"

void group_settings_init(struct group_settings *s)
{
    *s = (struct group_settings){
        .min_session_timeout_ms = 6000,
        .max_session_timeout_ms = 1800000,
        .initial_rebalance_delay_ms = 3000,
        .max_size = INT32_MAX,
        .offset_metadata_max_bytes = 4096,
        .offsets_retention_ms = 10080LL * 60 * 1000,
        .offsets_retention_check_ms = 600000,
        .append_bytes_max = group_append_bytes_chosen,
        .consumer_session_timeout_ms = 45000,
        .consumer_heartbeat_interval_ms = 5000,
        .consumer_max_size = INT32_MAX,
        .consumer_assignment_interval_ms = 1000,
        .consumer_regex_refresh_ms = 600000,
        .consumer_assignors = {GROUP_ASSIGNOR_UNIFORM, GROUP_ASSIGNOR_RANGE},
        .n_consumer_assignors = 2,
        .consumer_migration = GROUP_MIGRATION_BIDIRECTIONAL,
        .consumer_enabled = true,
        .groups_max = group_count_max,
        .members_max = group_members_max,
        .offsets_max = group_offsets_max,
        .waiting_calls_max = group_waiting_calls_max,
        .pending_members_max = group_pending_members_max,
    };
}

bool group_settings_valid(const struct group_settings *s)
{
    return s->max_size > 0 && s->offsets_retention_ms > 0 && s->offsets_retention_check_ms > 0 &&
           s->append_bytes_max > 0 && s->append_bytes_max <= INT32_MAX / 2 &&
           s->n_consumer_assignors > 0 && s->n_consumer_assignors <= group_assignors_max &&
           s->groups_max > 0 && s->members_max > 0 && s->offsets_max > 0 &&
           s->waiting_calls_max > 0 && s->pending_members_max > 0;
}
