#include "control/config/config_impl.h"
#include "control/config/number.h"

/* Conditions between keys. Each check returns true if it holds, or fills the fault. */

typedef bool check_fn(const struct config *c, struct arena *arena, struct config_fault *fault);

static bool blame(struct config_fault *fault, enum config_key key, struct str why)
{
    *fault = (struct config_fault){.key = key, .why = why, .is_requirement = true};
    return false;
}

static bool check_times(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    if (config_roll_ms(c) < 1)
        return blame(fault, CONFIG_LOG_ROLL_MS,
                     STR("log.roll.ms must be greater than or equal to 1"));
    if (config_roll_jitter_ms(c) < 0)
        return blame(fault, CONFIG_LOG_ROLL_JITTER_MS,
                     STR("log.roll.jitter.ms must be greater than or equal to 0"));
    if (config_retention_ms(c) == 0)
        return blame(fault, CONFIG_LOG_RETENTION_MS,
                     STR("log.retention.ms must be unlimited (-1) or, greater than or equal to 1"));
    return true;
}

static bool check_cordoned(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    struct config_list cordoned = config_list(c, CONFIG_CORDONED_LOG_DIRS);
    for (uint32_t i = 0; i < cordoned.count; i++) {
        bool known = str_eqz(cordoned.items[i], "*");
        if (known && cordoned.count > 1)
            return blame(
                fault, CONFIG_CORDONED_LOG_DIRS,
                STR("When cordoned.log.dirs is set to *, it must not contain other values"));
        for (uint32_t j = 0; j < c->log_dirs.count && !known; j++)
            known = str_eq(cordoned.items[i], c->log_dirs.items[j]);
        if (!known)
            return blame(fault, CONFIG_CORDONED_LOG_DIRS,
                         arena_printf(arena,
                                      "All entries in cordoned.log.dirs must be present in "
                                      "log.dirs or log.dir. Missing entries : %.*s",
                                      STR_ARG(cordoned.items[i])));
    }
    return true;
}

static bool check_cleaner(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    int32_t threads = config_int(c, CONFIG_LOG_CLEANER_THREADS);
    int64_t share = config_long(c, CONFIG_LOG_CLEANER_DEDUPE_BUFFER_SIZE) / (threads ? threads : 1);
    if (config_bool(c, CONFIG_LOG_CLEANER_ENABLE) && share <= (int64_t)MIB)
        return blame(fault, CONFIG_LOG_CLEANER_DEDUPE_BUFFER_SIZE,
                     STR("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner "
                         "thread."));
    return true;
}

static bool check_replica(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    int32_t wait = config_int(c, CONFIG_REPLICA_FETCH_WAIT_MAX_MS);
    if (wait > config_int(c, CONFIG_REPLICA_SOCKET_TIMEOUT_MS))
        return blame(fault, CONFIG_REPLICA_SOCKET_TIMEOUT_MS,
                     STR("replica.socket.timeout.ms should always be at least "
                         "replica.fetch.wait.max.ms to prevent unnecessary socket timeouts"));
    if (wait > config_long(c, CONFIG_REPLICA_LAG_TIME_MAX_MS))
        return blame(fault, CONFIG_REPLICA_FETCH_WAIT_MAX_MS,
                     STR("replica.fetch.wait.max.ms should always be less than or equal to "
                         "replica.lag.time.max.ms to prevent frequent changes in ISR"));
    return true;
}

static bool check_requests(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    int64_t queued = config_long(c, CONFIG_QUEUED_MAX_REQUEST_BYTES);
    if (queued > 0 && queued < config_int(c, CONFIG_SOCKET_REQUEST_MAX_BYTES))
        return blame(fault, CONFIG_QUEUED_MAX_REQUEST_BYTES,
                     STR("queued.max.request.bytes must be larger or equal to "
                         "socket.request.max.bytes"));
    int32_t delay = config_int(c, CONFIG_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS);
    int64_t idle = config_long(c, CONFIG_CONNECTIONS_MAX_IDLE_MS);
    if (idle > 0 && delay >= idle)
        return blame(fault, CONFIG_CONNECTIONS_MAX_IDLE_MS,
                     arena_printf(arena,
                                  "connection.failed.authentication.delay.ms=%d should always be "
                                  "less than connections.max.idle.ms=%lld to prevent failed "
                                  "authentication responses from timing out",
                                  delay, (long long)idle));
    return true;
}

static bool check_connections(const struct config *c, struct arena *arena,
                              struct config_fault *fault)
{
    enum config_key key = CONFIG_MAX_CONNECTIONS_PER_IP_OVERRIDES;
    struct config_list overrides;
    if (config_list_split(config_string(c, key), arena, &overrides))
        return blame(fault, key, STR("max.connections.per.ip.overrides has too many entries"));
    for (uint32_t i = 0; i < overrides.count; i++) {
        struct str item = overrides.items[i], address, count;
        uint8_t binary[16];
        struct config_fault plain = {.key = key};
        int64_t n;
        if (!config_override_split(item, &address, &count))
            plain.why = arena_printf(arena,
                                     "Error parsing configuration property '%s': begin 0, end -1, "
                                     "length %u",
                                     config_key_def(key)->name, item.len);
        else if (!number_parse_long(count, &n) || n < INT32_MIN || n > INT32_MAX)
            plain.why = arena_printf(arena, "For input string: \"%.*s\"", STR_ARG(count));
        else if (!config_address_parse(address, binary))
            return blame(fault, key,
                         arena_printf(arena, "%s contains invalid addresses : %.*s",
                                      config_key_def(key)->name, STR_ARG(address)));
        else
            continue;
        *fault = plain;
        return false;
    }
    if (config_int(c, CONFIG_MAX_CONNECTIONS_PER_IP) == 0 && overrides.count == 0)
        return blame(fault, CONFIG_MAX_CONNECTIONS_PER_IP,
                     STR("max.connections.per.ip can be set to zero only if "
                         "max.connections.per.ip.overrides property is set."));
    return true;
}

/* The limits that a group's own setting may move between. */
static bool check_between(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    static const enum config_key triples[][3] = {
        {CONFIG_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS,
         CONFIG_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS,
         CONFIG_GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS},
        {CONFIG_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS, CONFIG_GROUP_CONSUMER_SESSION_TIMEOUT_MS,
         CONFIG_GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS},
        {CONFIG_GROUP_CONSUMER_MIN_ASSIGNMENT_INTERVAL_MS,
         CONFIG_GROUP_CONSUMER_ASSIGNMENT_INTERVAL_MS,
         CONFIG_GROUP_CONSUMER_MAX_ASSIGNMENT_INTERVAL_MS},
        {CONFIG_GROUP_SHARE_MIN_HEARTBEAT_INTERVAL_MS, CONFIG_GROUP_SHARE_HEARTBEAT_INTERVAL_MS,
         CONFIG_GROUP_SHARE_MAX_HEARTBEAT_INTERVAL_MS},
        {CONFIG_GROUP_SHARE_MIN_SESSION_TIMEOUT_MS, CONFIG_GROUP_SHARE_SESSION_TIMEOUT_MS,
         CONFIG_GROUP_SHARE_MAX_SESSION_TIMEOUT_MS},
        {CONFIG_GROUP_SHARE_MIN_ASSIGNMENT_INTERVAL_MS, CONFIG_GROUP_SHARE_ASSIGNMENT_INTERVAL_MS,
         CONFIG_GROUP_SHARE_MAX_ASSIGNMENT_INTERVAL_MS},
        {CONFIG_GROUP_STREAMS_MIN_HEARTBEAT_INTERVAL_MS, CONFIG_GROUP_STREAMS_HEARTBEAT_INTERVAL_MS,
         CONFIG_GROUP_STREAMS_MAX_HEARTBEAT_INTERVAL_MS},
        {CONFIG_GROUP_STREAMS_MIN_SESSION_TIMEOUT_MS, CONFIG_GROUP_STREAMS_SESSION_TIMEOUT_MS,
         CONFIG_GROUP_STREAMS_MAX_SESSION_TIMEOUT_MS},
        {CONFIG_GROUP_STREAMS_MIN_ASSIGNMENT_INTERVAL_MS,
         CONFIG_GROUP_STREAMS_ASSIGNMENT_INTERVAL_MS,
         CONFIG_GROUP_STREAMS_MAX_ASSIGNMENT_INTERVAL_MS},
    };
    for (size_t i = 0; i < sizeof(triples) / sizeof(triples[0]); i++) {
        const enum config_key *t = triples[i];
        int32_t min = config_int(c, t[0]), value = config_int(c, t[1]), max = config_int(c, t[2]);
        enum config_key left = max < min ? t[2] : t[1], right = value > max ? t[2] : t[0];
        if (max >= min && value >= min && value <= max)
            continue;
        fault->key = left;
        fault->why =
            arena_printf(arena, "%s must be %s than or equal to %s", config_key_def(left)->name,
                         max >= min && value > max ? "less" : "greater",
                         config_key_def(max < min ? t[0] : right)->name);
        fault->is_requirement = false;
        return false;
    }
    return true;
}

static bool check_heartbeat(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    int32_t beat = config_int(c, CONFIG_BROKER_HEARTBEAT_INTERVAL_MS);
    int32_t session = config_int(c, CONFIG_BROKER_SESSION_TIMEOUT_MS);
    if ((int64_t)beat * 2 <= session)
        return true;
    return blame(fault, CONFIG_BROKER_HEARTBEAT_INTERVAL_MS,
                 arena_printf(arena,
                              "broker.heartbeat.interval.ms (%d ms) must be less than or equal to "
                              "half of the broker.session.timeout.ms (%d ms).",
                              beat, session));
}

static bool check_cpus(const struct config *c, struct arena *arena, struct config_fault *fault)
{
    int32_t shards = config_int(c, CONFIG_SLUICE_SHARDS);
    int cpus = config_cpus(c, NULL, 0);
    if (cpus == 0 || shards == 0 || cpus >= shards)
        return true;
    return blame(
        fault, CONFIG_SLUICE_CPUS,
        arena_printf(arena, "sluice.cpus names %d CPUs for sluice.shards=%d", cpus, shards));
}

bool config_check_next(const struct config *c, unsigned *at, struct arena *arena,
                       struct config_fault *out)
{
    static check_fn *const checks[] = {check_between,  check_times,       check_cordoned,
                                       check_cleaner,  check_replica,     check_heartbeat,
                                       check_requests, check_connections, check_cpus};
    while (*at < sizeof(checks) / sizeof(checks[0]))
        if (!checks[(*at)++](c, arena, out))
            return true;
    return false;
}
