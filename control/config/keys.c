#include "control/config/keys.h"

#include "base/check.h"
#include "control/config/rules.h"

static const struct config_def defs[CONFIG_KEY_COUNT] = {
#define KEY(symbol, name, type, default_text, rule, importance, mode, use, doc)                    \
    [CONFIG_##symbol] = CONFIG_DEF(name, type, default_text, rule, importance, mode, use, doc),
#include "control/config/keys.def"
#undef KEY
};

const struct config_def *config_key_def(enum config_key key)
{
    CHECK(key < CONFIG_KEY_COUNT);
    return &defs[key];
}

enum config_key config_key_find(struct str name)
{
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
        if (name.len == defs[i].name_len && name.p && memcmp(name.p, defs[i].name, name.len) == 0)
            return (enum config_key)i;
    return CONFIG_KEY_NONE;
}

int config_key_synonyms(enum config_key key, enum config_key out[config_synonyms_max])
{
    static const enum config_key groups[][config_synonyms_max] = {
        {CONFIG_LOG_ROLL_MS, CONFIG_LOG_ROLL_HOURS, CONFIG_KEY_NONE},
        {CONFIG_LOG_ROLL_JITTER_MS, CONFIG_LOG_ROLL_JITTER_HOURS, CONFIG_KEY_NONE},
        {CONFIG_LOG_RETENTION_MS, CONFIG_LOG_RETENTION_MINUTES, CONFIG_LOG_RETENTION_HOURS},
        {CONFIG_LOG_FLUSH_INTERVAL_MS, CONFIG_LOG_FLUSH_SCHEDULER_INTERVAL_MS, CONFIG_KEY_NONE},
    };
    int found = -1;
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        for (int i = 0; i < config_synonyms_max; i++)
            if (groups[g][i] == key && key != CONFIG_LOG_FLUSH_SCHEDULER_INTERVAL_MS)
                found = (int)g;
    if (found < 0) {
        out[0] = key;
        return 1;
    }
    int n = 0;
    while (n < config_synonyms_max && groups[found][n] != CONFIG_KEY_NONE) {
        out[n] = groups[found][n];
        n++;
    }
    return n;
}

bool config_key_split_listener(struct str name, struct str *listener, struct str *rest)
{
    static const char prefix[] = "listener.name.";
    uint32_t n = sizeof(prefix) - 1;
    if (name.len <= n || memcmp(name.p, prefix, n) != 0)
        return false;
    const char *dot = memchr(name.p + n, '.', name.len - n);
    if (dot == NULL)
        return false;
    *listener = (struct str){name.p + n, (uint32_t)(dot - name.p) - n};
    *rest = (struct str){dot + 1, (uint32_t)(name.p + name.len - dot - 1)};
    return true;
}

/* Levenshtein distance, or more than limit if it is over limit. */
static uint32_t distance(struct str a, const char *b, uint32_t limit)
{
    uint32_t blen = (uint32_t)strlen(b), row[config_name_bytes_max + 1];
    if (a.len > config_name_bytes_max || blen > config_name_bytes_max ||
        (a.len > blen ? a.len - blen : blen - a.len) > limit)
        return limit + 1;
    for (uint32_t j = 0; j <= blen; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= blen; j++) {
            uint32_t best = diagonal + (a.p[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[blen];
}

const char *config_key_suggest(struct str name)
{
    uint32_t best = name.len / 5 < 3 ? name.len / 5 : 3; /* at most every fifth character wrong */
    const char *found = NULL;
    for (unsigned i = 0; i < CONFIG_KEY_COUNT && best > 0; i++) {
        uint32_t d = distance(name, defs[i].name, best);
        if (d < best || (d == best && found == NULL)) {
            best = d;
            found = defs[i].name;
        }
    }
    return found;
}

const char *config_key_removed(struct str name)
{
    static const char *const removed[] = {"zookeeper.*",
                                          "password.encoder.*",
                                          "broker.id.generation.enable",
                                          "reserved.broker.max.id",
                                          "inter.broker.protocol.version",
                                          "log.message.format.version",
                                          "log.message.timestamp.difference.max.ms",
                                          "log.message.downconversion.enable",
                                          "control.plane.listener.name",
                                          "delegation.token.master.key",
                                          "offsets.commit.required.acks",
                                          "advertised.host.name",
                                          "advertised.port",
                                          "host.name",
                                          "port",
                                          "auto.include.jmx.reporter",
                                          "group.coordinator.new.enable"};
    for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
        size_t n = strlen(removed[i]);
        bool prefix = removed[i][n - 1] == '*';
        if (prefix ? name.len >= n && memcmp(name.p, removed[i], n - 1) == 0
                   : str_eqz(name, removed[i]))
            return "Kafka 4 no longer has it";
    }
    return NULL;
}

static uint32_t java_bucket(const char *name, uint32_t buckets)
{
    uint32_t h = 0;
    for (const char *p = name; *p; p++)
        h = h * 31 + (unsigned char)*p;
    return (h ^ h >> 16) & (buckets - 1);
}

void config_java_order(const char *const *names, uint32_t count, uint32_t buckets, uint16_t *order)
{
    uint32_t bucket_of[CONFIG_KEY_COUNT];
    CHECK(count <= CONFIG_KEY_COUNT);
    for (uint32_t i = 0; i < count; i++) { /* insertion sort: stable, and these are few */
        uint32_t j = i;
        bucket_of[i] = java_bucket(names[i], buckets);
        while (j > 0 && bucket_of[order[j - 1]] > bucket_of[i]) {
            order[j] = order[j - 1];
            j--;
        }
        order[j] = (uint16_t)i;
    }
}

uint32_t config_java_buckets(uint32_t count)
{
    uint32_t buckets = 16;
    while (count > buckets / 4 * 3)
        buckets *= 2;
    return buckets;
}
