#include "control/meta/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "control/meta/record.h"

#define image_topics_initial 64
#define image_groups_initial 16

/* ---- config sets ---- */

static void configs_free(struct image_configs *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->items[i].name);
        free(c->items[i].value);
    }
    free(c->items);
    *c = (struct image_configs){0};
}

static int config_cmp(const void *a, const void *b)
{
    const struct image_config *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static char *str_copy(struct str s)
{
    return strndup(s.p ? s.p : "", s.len);
}

static bool configs_have_twins(const struct image_configs *c)
{
    for (uint32_t i = 1; i < c->count; i++)
        if (strcmp(c->items[i - 1].name, c->items[i].name) == 0)
            return true;
    return false;
}

/* Replaces the whole set. */
static int configs_set(struct image_configs *c, const struct meta_record *r)
{
    struct image_configs made = {0};
    made.items = calloc(r->config_count + 1, sizeof(*made.items));
    if (!made.items)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < r->config_count; i++) {
        made.items[i].name = str_copy(r->configs[i].name);
        made.items[i].value = str_copy(r->configs[i].value);
        made.count++;
        if (!made.items[i].name || !made.items[i].value) {
            configs_free(&made);
            return ERR_NO_MEMORY;
        }
    }
    qsort(made.items, made.count, sizeof(*made.items), config_cmp);
    if (configs_have_twins(&made)) {
        configs_free(&made);
        return ERR_CORRUPT;
    }
    configs_free(c);
    *c = made;
    return 0;
}

const char *image_configs_get(const struct image_configs *c, struct str name)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (str_eqz(name, c->items[i].name))
            return c->items[i].value;
    return NULL;
}

/* ---- topics ---- */

static void topic_free(struct image_topic *t)
{
    CHECK(t->view == NULL && t->work == NULL);
    configs_free(&t->configs);
    free(t->partitions);
    free(t->name);
    free(t);
}

static struct image_topic *topic_of(const struct image *img, const struct meta_record *r)
{
    return image_by_id(img, &r->id);
}

static int topic_enter(struct image *img, struct image_topic *t)
{
    int err = map_put(&img->by_id, t->id.b, sizeof(t->id.b), t, NULL);
    if (err)
        return err;
    err = map_put(&img->by_name, t->name, strlen(t->name), t, NULL);
    if (err)
        map_remove(&img->by_id, t->id.b, sizeof(t->id.b));
    return err;
}

static int apply_topic(struct image *img, const struct meta_record *r)
{
    if (r->name.len == 0 || r->name.len > topic_name_bytes_max || uuid_is_zero(&r->id) ||
        topic_of(img, r) || image_by_name(img, r->name))
        return ERR_CORRUPT;
    struct image_topic *t = calloc(1, sizeof(*t));
    if (!t)
        return ERR_NO_MEMORY;
    t->id = r->id;
    t->internal = r->internal;
    t->state = IMAGE_TOPIC_CREATING;
    t->name = str_copy(r->name);
    int err = t->name ? topic_enter(img, t) : ERR_NO_MEMORY;
    if (err)
        topic_free(t);
    return err;
}

static int partitions_reserve(struct image_topic *t)
{
    if (t->partition_count < t->partition_capacity)
        return 0;
    int32_t capacity = t->partition_capacity ? t->partition_capacity * 2 : 1;
    struct image_partition *grown = realloc(t->partitions, sizeof(*grown) * (size_t)capacity);
    if (!grown)
        return ERR_NO_MEMORY;
    t->partitions = grown;
    t->partition_capacity = capacity;
    return 0;
}

static int apply_partition(struct image *img, const struct meta_record *r)
{
    struct image_topic *t = topic_of(img, r);
    if (!t || t->state == IMAGE_TOPIC_DELETING || r->partition != t->partition_count ||
        r->partition >= topic_partitions_max || r->leader_epoch < 0 || r->partition_epoch < 0)
        return ERR_CORRUPT;
    int err = partitions_reserve(t);
    if (err)
        return err;
    t->partitions[t->partition_count++] = (struct image_partition){
        .leader_epoch = r->leader_epoch,
        .leader_epoch_base = r->leader_epoch,
        .partition_epoch = r->partition_epoch,
        .directory = r->directory,
        .log_dir = image_no_log_dir,
    };
    return 0;
}

static int apply_partition_directory(struct image *img, const struct meta_record *r)
{
    struct image_topic *t = topic_of(img, r);
    if (!t || r->partition < 0 || r->partition >= t->partition_count)
        return ERR_CORRUPT;
    t->partitions[r->partition].directory = r->directory;
    return 0;
}

static int apply_topic_configs(struct image *img, const struct meta_record *r)
{
    struct image_topic *t = topic_of(img, r);
    if (!t || t->state == IMAGE_TOPIC_DELETING)
        return ERR_CORRUPT;
    return configs_set(&t->configs, r);
}

static int apply_removing(struct image *img, const struct meta_record *r)
{
    struct image_topic *t = topic_of(img, r);
    if (!t || t->state == IMAGE_TOPIC_DELETING)
        return ERR_CORRUPT;
    map_remove(&img->by_name, t->name, strlen(t->name));
    t->state = IMAGE_TOPIC_DELETING;
    return 0;
}

static int apply_removed(struct image *img, const struct meta_record *r)
{
    struct image_topic *t = topic_of(img, r);
    if (!t || t->state != IMAGE_TOPIC_DELETING)
        return ERR_CORRUPT;
    map_remove(&img->by_id, t->id.b, sizeof(t->id.b));
    topic_free(t);
    return 0;
}

/* ---- the broker ---- */

static int apply_cluster(struct image *img, const struct meta_record *r)
{
    if (!uuid_is_zero(&img->cluster_uuid) || uuid_is_zero(&r->id))
        return ERR_CORRUPT;
    img->cluster_uuid = r->id;
    return 0;
}

/*
 * Each start is a new leadership of every partition. An empty image takes any number (a snapshot).
 */
static int apply_boot(struct image *img, const struct meta_record *r)
{
    if (r->value < 1 || (img->boots != 0 && (uint64_t)r->value != img->boots + 1))
        return ERR_CORRUPT;
    img->boots = (uint64_t)r->value;
    img->os_durability = r->os_durability;
    size_t cursor = 0;
    for (struct image_topic *t; (t = map_next(&img->by_id, &cursor)) != NULL;) {
        for (int32_t i = 0; i < t->partition_count; i++) {
            t->partitions[i].leader_epoch++;
            t->partitions[i].partition_epoch++;
        }
    }
    return 0;
}

static int apply_producer_ids(struct image *img, const struct meta_record *r)
{
    if (r->value < img->next_producer_id)
        return ERR_CORRUPT;
    img->next_producer_id = r->value;
    return 0;
}

static void group_free(struct image_group *g)
{
    configs_free(&g->configs);
    free(g->name);
    free(g);
}

static int apply_group_configs(struct image *img, const struct meta_record *r)
{
    if (r->name.len == 0)
        return ERR_CORRUPT;
    struct image_group *g = map_get(&img->groups, r->name.p, r->name.len);
    if (r->config_count == 0) {
        if (g) {
            map_remove(&img->groups, g->name, strlen(g->name));
            group_free(g);
        }
        return 0;
    }
    if (g)
        return configs_set(&g->configs, r);
    g = calloc(1, sizeof(*g));
    if (!g)
        return ERR_NO_MEMORY;
    g->name = str_copy(r->name);
    int err = g->name ? configs_set(&g->configs, r) : ERR_NO_MEMORY;
    if (!err)
        err = map_put(&img->groups, g->name, strlen(g->name), g, NULL);
    if (err)
        group_free(g);
    return err;
}

static int apply_by_type(struct image *img, const struct meta_record *r)
{
    switch (r->type) {
    case META_CLUSTER:
        return apply_cluster(img, r);
    case META_BOOT:
        return apply_boot(img, r);
    case META_TOPIC:
        return apply_topic(img, r);
    case META_PARTITION:
        return apply_partition(img, r);
    case META_PARTITION_DIRECTORY:
        return apply_partition_directory(img, r);
    case META_TOPIC_CONFIGS:
        return apply_topic_configs(img, r);
    case META_TOPIC_REMOVING:
        return apply_removing(img, r);
    case META_TOPIC_REMOVED:
        return apply_removed(img, r);
    case META_BROKER_CONFIGS:
        return configs_set(&img->broker, r);
    case META_CLUSTER_CONFIGS:
        return configs_set(&img->cluster, r);
    case META_PRODUCER_IDS:
        return apply_producer_ids(img, r);
    case META_GROUP_CONFIGS:
        return apply_group_configs(img, r);
    }
    return ERR_CORRUPT;
}

int image_apply(struct image *img, const struct meta_record *record)
{
    int err = apply_by_type(img, record);
    if (err == 0)
        img->next_offset++;
    return err;
}

/* ---- life and look-ups ---- */

int image_init(struct image *img)
{
    struct image made = {0};
    int err = map_init(&made.by_name, image_topics_initial, true, 0);
    if (err)
        return err;
    err = map_init(&made.by_id, image_topics_initial, true, 0);
    if (!err)
        err = map_init(&made.groups, image_groups_initial, true, 0);
    if (err) {
        map_free(&made.by_name);
        map_free(&made.by_id);
        return err;
    }
    *img = made;
    return 0;
}

void image_seed(struct image *img, uint64_t seed)
{
    CHECK(img->by_id.count == 0 && img->by_name.count == 0 && img->groups.count == 0);
    img->by_name.seed = img->by_id.seed = img->groups.seed = seed;
}

void image_free(struct image *img)
{
    if (!img || !img->by_id.slots)
        return;
    size_t cursor = 0;
    for (struct image_topic *t; (t = map_next(&img->by_id, &cursor)) != NULL;)
        topic_free(t);
    map_free(&img->by_name);
    map_free(&img->by_id);
    cursor = 0;
    for (struct image_group *g; (g = map_next(&img->groups, &cursor)) != NULL;)
        group_free(g);
    map_free(&img->groups);
    configs_free(&img->broker);
    configs_free(&img->cluster);
    *img = (struct image){0};
}

struct image_topic *image_by_name(const struct image *img, struct str name)
{
    return map_get(&img->by_name, name.p, name.len);
}

struct image_topic *image_by_id(const struct image *img, const struct uuid *id)
{
    return map_get(&img->by_id, id->b, sizeof(id->b));
}

const struct image_group *image_group(const struct image *img, struct str name)
{
    return map_get(&img->groups, name.p, name.len);
}

static int topic_name_cmp(const void *a, const void *b)
{
    const struct image_topic *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int image_topics_sorted(const struct image *img, struct image_topic ***out, uint32_t *count)
{
    struct image_topic **list = calloc(img->by_name.count + 1, sizeof(struct image_topic *));
    if (!list)
        return ERR_NO_MEMORY;
    uint32_t n = 0;
    size_t cursor = 0;
    for (struct image_topic *t; (t = map_next(&img->by_name, &cursor)) != NULL;)
        if (t->state == IMAGE_TOPIC_LIVE)
            list[n++] = t;
    qsort(list, n, sizeof(*list), topic_name_cmp);
    *out = list;
    *count = n;
    return 0;
}

/* ---- the image as records ---- */

static int configs_record(enum meta_record_type type, const struct uuid *id, struct str name,
                          const struct image_configs *c, image_record_fn *fn, void *ctx)
{
    if (c->count == 0)
        return 0;
    struct meta_config configs[meta_configs_max];
    CHECK(c->count <= meta_configs_max);
    for (uint32_t i = 0; i < c->count; i++)
        configs[i] = (struct meta_config){str_from(c->items[i].name), str_from(c->items[i].value)};
    struct meta_record r = {.type = type,
                            .id = id ? *id : UUID_ZERO,
                            .name = name,
                            .configs = configs,
                            .config_count = c->count};
    return fn(ctx, &r);
}

static int partition_records(const struct image_topic *t, image_record_fn *fn, void *ctx)
{
    for (int32_t i = 0; i < t->partition_count; i++) {
        const struct image_partition *p = &t->partitions[i];
        struct meta_record r = {.type = META_PARTITION,
                                .id = t->id,
                                .partition = i,
                                .directory = p->directory,
                                .leader_epoch = p->leader_epoch,
                                .partition_epoch = p->partition_epoch};
        int err = fn(ctx, &r);
        if (err)
            return err;
    }
    return 0;
}

static int topic_records(const struct image_topic *t, image_record_fn *fn, void *ctx)
{
    struct meta_record topic = {
        .type = META_TOPIC, .id = t->id, .name = str_from(t->name), .internal = t->internal};
    int err = fn(ctx, &topic);
    if (!err)
        err = configs_record(META_TOPIC_CONFIGS, &t->id, STR_NULL, &t->configs, fn, ctx);
    if (!err)
        err = partition_records(t, fn, ctx);
    if (!err && t->state == IMAGE_TOPIC_DELETING) {
        struct meta_record removing = {.type = META_TOPIC_REMOVING, .id = t->id};
        err = fn(ctx, &removing);
    }
    return err;
}

static int broker_records(const struct image *img, image_record_fn *fn, void *ctx)
{
    int err = 0;
    if (!uuid_is_zero(&img->cluster_uuid)) {
        struct meta_record r = {.type = META_CLUSTER, .id = img->cluster_uuid};
        err = fn(ctx, &r);
    }
    if (!err && img->boots != 0) {
        struct meta_record r = {
            .type = META_BOOT, .value = (int64_t)img->boots, .os_durability = img->os_durability};
        err = fn(ctx, &r);
    }
    if (!err && img->next_producer_id != 0) {
        struct meta_record r = {.type = META_PRODUCER_IDS, .value = img->next_producer_id};
        err = fn(ctx, &r);
    }
    if (!err)
        err = configs_record(META_BROKER_CONFIGS, NULL, STR_NULL, &img->broker, fn, ctx);
    if (!err)
        err = configs_record(META_CLUSTER_CONFIGS, NULL, STR_NULL, &img->cluster, fn, ctx);
    size_t cursor = 0;
    for (struct image_group *g; !err && (g = map_next(&img->groups, &cursor)) != NULL;)
        err = configs_record(META_GROUP_CONFIGS, NULL, str_from(g->name), &g->configs, fn, ctx);
    return err;
}

/* Topics being deleted first: a topic under the same name may exist again by now. */
int image_records(const struct image *img, image_record_fn *fn, void *ctx)
{
    int err = broker_records(img, fn, ctx);
    for (int deleting = 1; deleting >= 0 && !err; deleting--) {
        size_t cursor = 0;
        for (struct image_topic *t; !err && (t = map_next(&img->by_id, &cursor)) != NULL;)
            if ((t->state == IMAGE_TOPIC_DELETING) == (deleting != 0))
                err = topic_records(t, fn, ctx);
    }
    return err;
}
