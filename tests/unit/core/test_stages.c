/* stages: stamps become gaps. */
#include "core/stages.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct stage_clocks clocks;

static uint64_t only_value(enum stage_class cls, enum stamp stamp)
{
    const struct hist *h = &clocks.gap[cls][stamp];
    return h->count == 1 ? h->sum : UINT64_MAX;
}

static void gaps_between_stamps(void)
{
    stage_clocks_init(&clocks);
    struct stamps s = {.at = {1000, 1100, 1300, 1700, 2500, 4100}};
    stage_clocks_record(&clocks, STAGE_CLASS_PRODUCE, &s);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_PRODUCE, STAMP_RECEIVED), 3100); /* the total */
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_PRODUCE, STAMP_PARSED), 100);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_PRODUCE, STAMP_APPENDED), 200);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_PRODUCE, STAMP_DURABLE), 400);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_PRODUCE, STAMP_REPLIED), 800);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_PRODUCE, STAMP_SENT), 1600);
    CU_ASSERT_EQUAL(clocks.gap[STAGE_CLASS_FETCH][STAMP_RECEIVED].count, 0);
}

static void points_not_passed_are_left_out(void)
{
    stage_clocks_init(&clocks);
    struct stamps s = {.at = {[STAMP_RECEIVED] = 50, [STAMP_PARSED] = 60, [STAMP_REPLIED] = 90}};
    stage_clocks_record(&clocks, STAGE_CLASS_FETCH, &s);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_FETCH, STAMP_RECEIVED), 40);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_FETCH, STAMP_PARSED), 10);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_FETCH, STAMP_REPLIED), 30);
    CU_ASSERT_EQUAL(clocks.gap[STAGE_CLASS_FETCH][STAMP_DURABLE].count, 0);
    CU_ASSERT_EQUAL(clocks.gap[STAGE_CLASS_FETCH][STAMP_SENT].count, 0);
}

static void odd_stamps(void)
{
    stage_clocks_init(&clocks);
    struct stamps none = {{0}};
    stage_clocks_record(&clocks, STAGE_CLASS_OTHER, &none);
    CU_ASSERT_EQUAL(clocks.gap[STAGE_CLASS_OTHER][STAMP_RECEIVED].count, 0);
    struct stamps back = {.at = {[STAMP_RECEIVED] = 50, [STAMP_PARSED] = 40}};
    stage_clocks_record(&clocks, STAGE_CLASS_OTHER, &back);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_OTHER, STAMP_PARSED), 0);
    CU_ASSERT_EQUAL(only_value(STAGE_CLASS_OTHER, STAMP_RECEIVED), 0);
}

static void only_produce_appends(void)
{
    for (int i = 0; i < STAMP_COUNT; i++) {
        enum stamp stamp = (enum stamp)i;
        bool appends = stamp == STAMP_APPENDED || stamp == STAMP_DURABLE;
        CU_ASSERT(stage_class_passes(STAGE_CLASS_PRODUCE, stamp));
        CU_ASSERT_EQUAL(stage_class_passes(STAGE_CLASS_FETCH, stamp), !appends);
        CU_ASSERT_EQUAL(stage_class_passes(STAGE_CLASS_OTHER, stamp), !appends);
    }
}

static void names(void)
{
    for (int i = 0; i < STAMP_COUNT; i++)
        CU_ASSERT_PTR_NOT_NULL(stamp_name((enum stamp)i));
    CU_ASSERT_STRING_EQUAL(stamp_name(STAMP_DURABLE), "durable");
    CU_ASSERT_STRING_EQUAL(stamp_name(STAMP_COUNT), "?");
    CU_ASSERT_STRING_EQUAL(stage_class_name(STAGE_CLASS_FETCH), "fetch");
    CU_ASSERT_STRING_EQUAL(stage_class_name(STAGE_CLASS_COUNT), "?");
}

UNIT_MAIN("core/stages", UNIT_CASE(gaps_between_stamps), UNIT_CASE(points_not_passed_are_left_out),
          UNIT_CASE(odd_stamps), UNIT_CASE(only_produce_appends), UNIT_CASE(names))
