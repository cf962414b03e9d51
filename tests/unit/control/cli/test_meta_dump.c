#include "control/cli/meta_dump.h"

#include <string.h>

#include "base/err.h"
#include "control/meta/store.h"
#include "storage/io/sim.h"
#include "tests/unit/unit.h"

static int dump(struct io_sim *sim, char *text, size_t size, char *why, size_t why_size)
{
    FILE *out = fmemopen(text, size, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    int err = meta_dump(&sim->fs, "/d", out, why, why_size);
    fclose(out);
    return err;
}

static void append(struct meta_store *s, struct meta_record r)
{
    CU_ASSERT_EQUAL(meta_store_append(s, &r, 1), 0);
}

static void records_are_printed(void)
{
    struct io_sim sim;
    struct image image;
    struct meta_store *store;
    char why[512] = "", text[8192];
    io_sim_init(&sim, unit_seed());
    CU_ASSERT_EQUAL_FATAL(sim.fs.ops->mkdir(&sim.fs, "/d"), 0);
    CU_ASSERT_EQUAL(dump(&sim, text, sizeof(text), why, sizeof(why)), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "/d has neither"));

    struct meta_store_options o = {.fs = &sim.fs, .dir = "/d", .snapshot_after_bytes = 1 << 20};
    struct meta_config config = {STR("retention.ms"), STR("7")};
    CU_ASSERT_EQUAL_FATAL(image_init(&image), 0);
    CU_ASSERT_EQUAL_FATAL(meta_store_open(&store, &o, &image, why, sizeof(why)), 0);
    append(store, (struct meta_record){.type = META_BOOT, .value = 1});
    append(store, (struct meta_record){.type = META_TOPIC, .id = {{1}}, .name = STR("orders")});
    CU_ASSERT_EQUAL(meta_store_snapshot(store), 0);
    append(store, (struct meta_record){.type = META_PARTITION, .id = {{1}}, .leader_epoch = 0});
    append(store,
           (struct meta_record){
               .type = META_TOPIC_CONFIGS, .id = {{1}}, .configs = &config, .config_count = 1});
    append(store, (struct meta_record){.type = META_PRODUCER_IDS, .value = 1000});
    append(store, (struct meta_record){.type = META_TOPIC_REMOVING, .id = {{1}}});
    meta_store_close(store);
    image_free(&image);

    CU_ASSERT_EQUAL(dump(&sim, text, sizeof(text), why, sizeof(why)), 0);
    static const char expected[] =
        "snapshot<2 boot number=1 durability=fsync\n"
        "snapshot<2 topic id=AQAAAAAAAAAAAAAAAAAAAA name=orders\n"
        "2 partition id=AQAAAAAAAAAAAAAAAAAAAA partition=0 directory=AAAAAAAAAAAAAAAAAAAAAA "
        "leader-epoch=0 partition-epoch=0\n"
        "3 topic-configs id=AQAAAAAAAAAAAAAAAAAAAA retention.ms=7\n"
        "4 producer-ids next=1000\n"
        "5 topic-removing id=AQAAAAAAAAAAAAAAAAAAAA\n";
    CU_ASSERT_STRING_EQUAL(text, expected);
    io_sim_free(&sim);
}

UNIT_MAIN("control/cli/meta_dump", UNIT_CASE(records_are_printed))
