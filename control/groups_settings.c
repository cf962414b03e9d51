/* groups_settings: the group.* and offsets.* properties as the coordinators want them. */
#include <strings.h>

#include "control/config/group_config.h"
#include "control/config/topic_config.h"
#include "control/groups_impl.h"

static enum group_migration migration(struct str name)
{
    static const char *const names[] = {[GROUP_MIGRATION_DISABLED] = "disabled",
                                        [GROUP_MIGRATION_DOWNGRADE] = "downgrade",
                                        [GROUP_MIGRATION_UPGRADE] = "upgrade",
                                        [GROUP_MIGRATION_BIDIRECTIONAL] = "bidirectional"};
    for (int i = 0; i < GROUP_MIGRATION_BIDIRECTIONAL; i++)
        if (strlen(names[i]) == name.len && strncasecmp(names[i], name.p, name.len) == 0)
            return (enum group_migration)i;
    return GROUP_MIGRATION_BIDIRECTIONAL;
}

static bool list_has(struct config_list list, const char *word)
{
    for (uint32_t i = 0; i < list.count; i++)
        if (str_eqz(list.items[i], word))
            return true;
    return false;
}

static void assignors(struct config_list list, struct group_settings *s)
{
    s->n_consumer_assignors = 0;
    for (uint32_t i = 0; i < list.count && s->n_consumer_assignors < group_assignors_max; i++) {
        if (str_eqz(list.items[i], "uniform"))
            s->consumer_assignors[s->n_consumer_assignors++] = GROUP_ASSIGNOR_UNIFORM;
        else if (str_eqz(list.items[i], "range"))
            s->consumer_assignors[s->n_consumer_assignors++] = GROUP_ASSIGNOR_RANGE;
    }
}

#define batch_header_bytes 61
#define append_bytes_least 1024 /* a setting below it refuses batches, not all of them at once */

/* What the topic takes, as far as control sends it. */
uint32_t groups_append_bytes_max(const struct groups *g)
{
    const struct config *c = g->control->config;
    const struct image_topic *t = image_by_id(&g->control->image, &g->topic_id);
    const char *own = t ? image_configs_get(&t->configs, STR("max.message.bytes")) : NULL;
    struct config_value value;
    int64_t most = config_int(c, CONFIG_MESSAGE_MAX_BYTES);
    if (own &&
        topic_config_value(c, TOPIC_MAX_MESSAGE_BYTES, str_from(own), NULL, &value, NULL) == 0)
        most = value.integer;
    if (most > (int64_t)internal_batch_bytes_max)
        most = internal_batch_bytes_max;
    most -= batch_header_bytes;
    return most > append_bytes_least ? (uint32_t)most : append_bytes_least;
}

void groups_settings_of(const struct groups *g, struct group_settings *out)
{
    const struct config *c = g->control->config;
    group_settings_init(out);
    out->min_session_timeout_ms = config_int(c, CONFIG_GROUP_MIN_SESSION_TIMEOUT_MS);
    out->max_session_timeout_ms = config_int(c, CONFIG_GROUP_MAX_SESSION_TIMEOUT_MS);
    out->initial_rebalance_delay_ms = config_int(c, CONFIG_GROUP_INITIAL_REBALANCE_DELAY_MS);
    out->max_size = config_int(c, CONFIG_GROUP_MAX_SIZE);
    out->offset_metadata_max_bytes = config_int(c, CONFIG_OFFSET_METADATA_MAX_BYTES);
    out->offsets_retention_ms = (int64_t)config_int(c, CONFIG_OFFSETS_RETENTION_MINUTES) * 60000;
    out->offsets_retention_check_ms = config_long(c, CONFIG_OFFSETS_RETENTION_CHECK_INTERVAL_MS);
    out->append_bytes_max = groups_append_bytes_max(g);
    out->consumer_session_timeout_ms = config_int(c, CONFIG_GROUP_CONSUMER_SESSION_TIMEOUT_MS);
    out->consumer_heartbeat_interval_ms =
        config_int(c, CONFIG_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS);
    out->consumer_max_size = config_int(c, CONFIG_GROUP_CONSUMER_MAX_SIZE);
    out->consumer_assignment_interval_ms =
        config_int(c, CONFIG_GROUP_CONSUMER_ASSIGNMENT_INTERVAL_MS);
    out->consumer_regex_refresh_ms = config_int(c, CONFIG_GROUP_CONSUMER_REGEX_REFRESH_INTERVAL_MS);
    out->consumer_migration = migration(config_string(c, CONFIG_GROUP_CONSUMER_MIGRATION_POLICY));
    assignors(config_list(c, CONFIG_GROUP_CONSUMER_ASSIGNORS), out);
    out->consumer_enabled =
        list_has(config_list(c, CONFIG_GROUP_COORDINATOR_REBALANCE_PROTOCOLS), "consumer");
}

static void own_settings(void *ctx, struct str group_id, struct group_settings *inout)
{
    const struct groups *g = ctx;
    const struct image_group *own = image_group(&g->control->image, group_id);
    int32_t values[GROUP_KEY_COUNT];
    if (!own)
        return;
    for (unsigned k = 0; k < GROUP_KEY_COUNT; k++)
        values[k] = group_config_value(
            g->control->config, (enum group_key)k,
            str_from(image_configs_get(&own->configs,
                                       str_from(group_key_def((enum group_key)k)->name))));
    inout->consumer_session_timeout_ms = values[GROUP_KEY_SESSION_TIMEOUT_MS];
    inout->consumer_assignment_interval_ms = values[GROUP_KEY_ASSIGNMENT_INTERVAL_MS];
    inout->consumer_heartbeat_interval_ms = values[GROUP_KEY_HEARTBEAT_INTERVAL_MS];
}

void groups_overrides_init(struct groups *g, struct group_overrides *out)
{
    *out = (struct group_overrides){g, own_settings};
}
