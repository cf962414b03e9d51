#include "control/cli/meta_dump.h"

#include <inttypes.h>

#include "base/err.h"
#include "control/meta/load.h"

static void print_configs(FILE *out, const struct meta_record *r)
{
    for (uint32_t i = 0; i < r->config_count; i++)
        fprintf(out, " %.*s=%.*s", STR_ARG(r->configs[i].name), STR_ARG(r->configs[i].value));
}

static void print_fields(FILE *out, const struct meta_record *r)
{
    char id[UUID_TEXT_LEN + 1], directory[UUID_TEXT_LEN + 1];
    uuid_format(&r->id, id);
    uuid_format(&r->directory, directory);
    switch (r->type) {
    case META_CLUSTER:
    case META_TOPIC_REMOVING:
    case META_TOPIC_REMOVED:
        fprintf(out, " id=%s", id);
        break;
    case META_BOOT:
        fprintf(out, " number=%" PRId64 " durability=%s", r->value,
                r->os_durability ? "os" : "fsync");
        break;
    case META_TOPIC:
        fprintf(out, " id=%s name=%.*s%s", id, STR_ARG(r->name), r->internal ? " internal" : "");
        break;
    case META_PARTITION:
        fprintf(out, " id=%s partition=%d directory=%s leader-epoch=%d partition-epoch=%d", id,
                r->partition, directory, r->leader_epoch, r->partition_epoch);
        break;
    case META_PARTITION_DIRECTORY:
        fprintf(out, " id=%s partition=%d directory=%s", id, r->partition, directory);
        break;
    case META_TOPIC_CONFIGS:
        fprintf(out, " id=%s", id);
        print_configs(out, r);
        break;
    case META_BROKER_CONFIGS:
    case META_CLUSTER_CONFIGS:
        print_configs(out, r);
        break;
    case META_GROUP_CONFIGS:
        fprintf(out, " group=%.*s", STR_ARG(r->name));
        print_configs(out, r);
        break;
    case META_PRODUCER_IDS:
        fprintf(out, " next=%" PRId64, r->value);
        break;
    }
}

static int print_record(void *ctx, enum meta_file file, int64_t offset, const struct meta_record *r)
{
    FILE *out = ctx;
    if (file == META_FILE_SNAPSHOT)
        fprintf(out, "snapshot<%" PRId64 " ", offset);
    else
        fprintf(out, "%" PRId64 " ", offset);
    fprintf(out, "%s", meta_record_type_name(r->type));
    print_fields(out, r);
    fputc('\n', out);
    return 0;
}

int meta_dump(struct fs *fs, const char *dir, FILE *out, char *why, size_t why_size)
{
    struct meta_load l = {.fs = fs, .dir = dir, .record = print_record, .ctx = out};
    int err = meta_load(&l, why, why_size);
    if (err == ERR_NOT_FOUND)
        snprintf(why, why_size, "%s has neither " meta_log_name " nor " meta_snapshot_name, dir);
    else if (err == 0 && l.log_good != l.log_bytes)
        fprintf(out, "# %" PRId64 " bytes of a torn append at the end\n", l.log_bytes - l.log_good);
    return err;
}
