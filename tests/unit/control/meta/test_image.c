#include "control/meta/image.h"

#include <string.h>

#include "base/err.h"
#include "control/meta/record.h"
#include "tests/unit/unit.h"

static struct uuid id_of(uint8_t n)
{
    struct uuid id = UUID_ZERO;
    id.b[0] = n;
    return id;
}

static struct meta_record topic(uint8_t id, const char *name)
{
    return (struct meta_record){.type = META_TOPIC, .id = id_of(id), .name = str_from(name)};
}

static struct meta_record partition(uint8_t id, int32_t index)
{
    return (struct meta_record){
        .type = META_PARTITION, .id = id_of(id), .partition = index, .directory = id_of(99)};
}

static struct meta_record simple(enum meta_record_type type, uint8_t id)
{
    return (struct meta_record){.type = type, .id = id_of(id)};
}

static struct meta_record number(enum meta_record_type type, int64_t value)
{
    return (struct meta_record){.type = type, .value = value};
}

static int apply(struct image *img, struct meta_record r)
{
    return image_apply(img, &r);
}

static void setup(struct image *img)
{
    CU_ASSERT_EQUAL_FATAL(image_init(img), 0);
    CU_ASSERT_EQUAL(apply(img, simple(META_CLUSTER, 50)), 0);
    CU_ASSERT_EQUAL(apply(img, number(META_BOOT, 1)), 0);
    CU_ASSERT_EQUAL(apply(img, topic(1, "a")), 0);
    CU_ASSERT_EQUAL(apply(img, partition(1, 0)), 0);
    CU_ASSERT_EQUAL(apply(img, partition(1, 1)), 0);
}

/* Each of these does not fit the image of setup and must change nothing. */
static void what_does_not_fit_is_refused(void)
{
    struct meta_config twins[2] = {{STR("k"), STR("1")}, {STR("k"), STR("2")}};
    char long_name[251];
    memset(long_name, 'x', 250);
    long_name[250] = '\0';
    const struct meta_record bad[] = {
        topic(1, "b"),                  /* the id is there */
        topic(2, "a"),                  /* the name is there */
        topic(0, "b"),                  /* no id */
        topic(2, ""),                   /* no name */
        topic(2, long_name),            /* 250 bytes */
        partition(1, 1),                /* there already */
        partition(1, 3),                /* not the next */
        partition(1, -1),               /* nonsense */
        partition(7, 0),                /* no such topic */
        simple(META_TOPIC_REMOVING, 7), /* no such topic */
        simple(META_TOPIC_REMOVED, 1),  /* not removing */
        simple(META_TOPIC_CONFIGS, 7),  /* no such topic */
        simple(META_CLUSTER, 51),       /* has one */
        number(META_BOOT, 1),           /* not the next */
        number(META_BOOT, 3),           /* not the next */
        number(META_PRODUCER_IDS, -1),  /* backwards */
        {.type = META_PARTITION_DIRECTORY, .id = id_of(1), .partition = 2},
        {.type = META_BROKER_CONFIGS, .configs = twins, .config_count = 2},
        {.type = META_GROUP_CONFIGS, .configs = twins, .config_count = 1}, /* no name */
        {.type = META_GROUP_CONFIGS, .name = STR("g"), .configs = twins, .config_count = 2},
        {.type = 77},
    };
    struct image img;
    setup(&img);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t before = img.next_offset;
        CU_ASSERT_EQUAL(image_apply(&img, &bad[i]), ERR_CORRUPT);
        CU_ASSERT_EQUAL(img.next_offset, before);
    }
    CU_ASSERT_EQUAL(img.by_id.count, 1);
    CU_ASSERT_EQUAL(img.by_name.count, 1);
    CU_ASSERT_EQUAL(image_by_name(&img, STR("a"))->partition_count, 2);
    CU_ASSERT_EQUAL(img.boots, 1);
    CU_ASSERT_EQUAL(img.broker.count, 0);
    CU_ASSERT_EQUAL(img.groups.count, 0);
    image_free(&img);
}

static void names_are_free_while_files_are_removed(void)
{
    struct image img;
    setup(&img);
    struct uuid one = id_of(1);
    CU_ASSERT_EQUAL(apply(&img, simple(META_TOPIC_REMOVING, 1)), 0);
    CU_ASSERT_PTR_NULL(image_by_name(&img, STR("a")));
    CU_ASSERT_PTR_NOT_NULL_FATAL(image_by_id(&img, &one));
    CU_ASSERT_EQUAL(image_by_id(&img, &one)->state, IMAGE_TOPIC_DELETING);
    CU_ASSERT_EQUAL(apply(&img, partition(1, 2)), ERR_CORRUPT);
    CU_ASSERT_EQUAL(apply(&img, simple(META_TOPIC_REMOVING, 1)), ERR_CORRUPT);
    CU_ASSERT_EQUAL(apply(&img, topic(2, "a")), 0);
    CU_ASSERT_EQUAL(apply(&img, simple(META_TOPIC_REMOVED, 1)), 0);
    CU_ASSERT_PTR_NULL(image_by_id(&img, &one));
    CU_ASSERT_PTR_NOT_NULL(image_by_name(&img, STR("a")));
    image_free(&img);
}

static void starts_count_leader_epochs(void)
{
    struct image img;
    setup(&img);
    CU_ASSERT_EQUAL(apply(&img, number(META_BOOT, 2)), 0);
    CU_ASSERT_EQUAL(apply(&img, partition(1, 2)), 0);
    CU_ASSERT_EQUAL(apply(&img, number(META_BOOT, 3)), 0);
    const struct image_topic *t = image_by_name(&img, STR("a"));
    CU_ASSERT_EQUAL(t->partitions[0].leader_epoch, 2);
    CU_ASSERT_EQUAL(t->partitions[0].leader_epoch_base, 0);
    CU_ASSERT_EQUAL(t->partitions[2].leader_epoch, 1);
    CU_ASSERT_EQUAL(t->partitions[2].partition_epoch, 1);
    image_free(&img);
}

static void configs_are_whole_sets_in_order(void)
{
    struct meta_config first[3] = {{STR("z"), STR("1")}, {STR("b"), STR("")}, {STR("m"), STR("3")}};
    struct meta_record r = {
        .type = META_TOPIC_CONFIGS, .id = id_of(1), .configs = first, .config_count = 3};
    struct image img;
    setup(&img);
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0);
    const struct image_configs *c = &image_by_name(&img, STR("a"))->configs;
    CU_ASSERT_EQUAL_FATAL(c->count, 3);
    CU_ASSERT_STRING_EQUAL(c->items[0].name, "b");
    CU_ASSERT_STRING_EQUAL(c->items[2].name, "z");
    CU_ASSERT_STRING_EQUAL(image_configs_get(c, STR("b")), "");
    CU_ASSERT_PTR_NULL(image_configs_get(c, STR("x")));
    r.config_count = 1;
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0);
    CU_ASSERT_EQUAL(c->count, 1);
    r = (struct meta_record){.type = META_CLUSTER_CONFIGS, .configs = first, .config_count = 2};
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0);
    CU_ASSERT_EQUAL(img.cluster.count, 2);
    CU_ASSERT_EQUAL(img.broker.count, 0);
    image_free(&img);
}

static void groups_have_settings_or_are_not_there(void)
{
    struct meta_config first[2] = {{STR("b"), STR("1")}, {STR("a"), STR("2")}};
    struct meta_record r = {
        .type = META_GROUP_CONFIGS, .name = STR("g"), .configs = first, .config_count = 2};
    struct image img;
    setup(&img);
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0);
    const struct image_group *g = image_group(&img, STR("g"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    CU_ASSERT_EQUAL(g->configs.count, 2);
    CU_ASSERT_STRING_EQUAL(image_configs_get(&g->configs, STR("a")), "2");
    CU_ASSERT_PTR_NULL(image_group(&img, STR("h")));
    r.config_count = 1;
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0);
    CU_ASSERT_EQUAL(image_group(&img, STR("g"))->configs.count, 1);
    r.config_count = 0;
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0);
    CU_ASSERT_PTR_NULL(image_group(&img, STR("g")));
    CU_ASSERT_EQUAL(image_apply(&img, &r), 0); /* again */
    CU_ASSERT_EQUAL(img.groups.count, 0);
    image_free(&img);
}

static void sorted_topics_are_the_live_ones(void)
{
    struct image img;
    struct image_topic **list;
    uint32_t n;
    CU_ASSERT_EQUAL_FATAL(image_init(&img), 0);
    image_seed(&img, unit_seed());
    const char *names[] = {"delta", "alpha", "charlie", "bravo", "echo"};
    for (uint8_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(apply(&img, topic((uint8_t)(i + 1), names[i])), 0);
        if (i != 4)
            image_by_name(&img, str_from(names[i]))->state = IMAGE_TOPIC_LIVE;
    }
    CU_ASSERT_EQUAL(apply(&img, simple(META_TOPIC_REMOVING, 3)), 0);
    CU_ASSERT_EQUAL_FATAL(image_topics_sorted(&img, &list, &n), 0);
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT_STRING_EQUAL(list[0]->name, "alpha");
    CU_ASSERT_STRING_EQUAL(list[1]->name, "bravo");
    CU_ASSERT_STRING_EQUAL(list[2]->name, "delta");
    free(list);
    image_free(&img);
}

static int copy_record(void *ctx, const struct meta_record *r)
{
    return image_apply(ctx, r);
}

static void records_of_an_image_make_its_twin(void)
{
    struct meta_config configs[2] = {{STR("retention.ms"), STR("5")}, {STR("x"), STR("y")}};
    struct meta_record set = {.type = META_BROKER_CONFIGS, .configs = configs, .config_count = 2};
    struct image img, twin;
    setup(&img);
    CU_ASSERT_EQUAL(image_apply(&img, &set), 0);
    set.type = META_TOPIC_CONFIGS;
    set.id = id_of(1);
    CU_ASSERT_EQUAL(image_apply(&img, &set), 0);
    set.type = META_GROUP_CONFIGS;
    set.name = STR("readers");
    CU_ASSERT_EQUAL(image_apply(&img, &set), 0);
    CU_ASSERT_EQUAL(apply(&img, number(META_PRODUCER_IDS, 3000)), 0);
    struct meta_record boot = number(META_BOOT, 2);
    boot.os_durability = true;
    CU_ASSERT_EQUAL(image_apply(&img, &boot), 0);
    CU_ASSERT_EQUAL(apply(&img, simple(META_TOPIC_REMOVING, 1)), 0);
    CU_ASSERT_EQUAL(apply(&img, topic(2, "a")), 0);
    CU_ASSERT_EQUAL(apply(&img, partition(2, 0)), 0);

    CU_ASSERT_EQUAL_FATAL(image_init(&twin), 0);
    CU_ASSERT_EQUAL(image_records(&img, copy_record, &twin), 0);
    struct uuid one = id_of(1), two = id_of(2);
    const struct image_topic *old = image_by_id(&twin, &one);
    CU_ASSERT_PTR_NOT_NULL_FATAL(old);
    CU_ASSERT_EQUAL(old->state, IMAGE_TOPIC_DELETING);
    CU_ASSERT_EQUAL(old->partition_count, 2);
    CU_ASSERT_EQUAL(old->partitions[1].leader_epoch, 1);
    CU_ASSERT_STRING_EQUAL(image_configs_get(&old->configs, STR("x")), "y");
    CU_ASSERT_PTR_EQUAL(image_by_name(&twin, STR("a")), image_by_id(&twin, &two));
    CU_ASSERT_EQUAL(twin.boots, 2);
    CU_ASSERT_TRUE(twin.os_durability);
    CU_ASSERT_EQUAL(twin.next_producer_id, 3000);
    CU_ASSERT_TRUE(uuid_eq(&twin.cluster_uuid, &img.cluster_uuid));
    CU_ASSERT_EQUAL(twin.broker.count, 2);
    CU_ASSERT_EQUAL(twin.groups.count, 1);
    const struct image_group *group = image_group(&twin, STR("readers"));
    CU_ASSERT_TRUE(group && group->configs.count == 2);
    image_free(&img);
    image_free(&twin);
    image_free(NULL);
}

UNIT_MAIN("control/meta/image", UNIT_CASE(what_does_not_fit_is_refused),
          UNIT_CASE(names_are_free_while_files_are_removed), UNIT_CASE(starts_count_leader_epochs),
          UNIT_CASE(configs_are_whole_sets_in_order),
          UNIT_CASE(groups_have_settings_or_are_not_there),
          UNIT_CASE(sorted_topics_are_the_live_ones), UNIT_CASE(records_of_an_image_make_its_twin))
