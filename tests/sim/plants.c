/* Bugs on purpose: which there are, and what a run needs for each to matter. */
#include "tests/sim/sim.h"

#define FSYNC .durability = PLOG_FSYNC
#define OS    .durability = PLOG_OS

const char *plant_text(enum plant plant)
{
    static const char *const texts[PLANT_COUNT] = {
#define TEXT(name, text) [PLANT_##name] = text,
        PLANT_TABLE(TEXT)
#undef TEXT
    };
    return texts[plant];
}

const struct sim_plant sim_plants[] = {
#define P(name) PLANT_##name, #name
    {P(SKIPPED_FLUSH), FSYNC, .power = true},
    {P(EARLY_ACK), FSYNC},
    {P(REPEAT_EARLY), FSYNC},
    {P(TORN_TAIL), FSYNC, .power = true},
    {P(FORGOTTEN_PRODUCERS), FSYNC},
    {P(LOST_INDEX_ENTRY), FSYNC},
    {P(BUFFER_REUSED), FSYNC},
    {P(STALE_CACHE), FSYNC, .power = true, .faults = true, .write_faults = true, .buffered = true},
    {P(UNSYNCED_NAME), FSYNC, .power = true, .from = 900},
    {P(HOLE_IN_FRONT), FSYNC, .power = true, .faults = true, .retention = true},
    {P(DELETED_MORE), FSYNC, .retention = true},
    {P(EARLY_POINT), FSYNC, .power = true},
    {P(WRITES_OUT_OF_ORDER), FSYNC, .power = true},
    {P(UNMARKED), OS, .named = true},
    {P(UNMARKED_EARLY), OS, .named = true},
    {P(TAIL_FORGOTTEN), OS, .named = true},
    {P(JOURNAL_REUSED_EARLY), FSYNC, .power = true, .journal = true},
    {P(JOURNAL_UNFLUSHED), FSYNC, .power = true, .journal = true},
    {P(ACK_OVER_HOLE), FSYNC, .journal = true},
    {P(STALE_LAP), FSYNC, .power = true, .journal = true},
    {P(TRUNCATE_UNFRAMED), FSYNC, .retention = true, .journal = true, .from = 120},
    {P(JOURNAL_FORGOTTEN), FSYNC, .journal = true},
    {P(UNSETTLED), FSYNC, .journal = true},
    {P(READ_REUSED), FSYNC, .catch_up = true, .faults = true},
    {P(READ_UNWRITTEN), OS, .named = true, .catch_up = true},
    {P(READ_GIVES_UP), FSYNC, .catch_up = true},
#undef P
};
const uint32_t sim_plant_count = sizeof(sim_plants) / sizeof(sim_plants[0]);

static enum plant planted;
static struct world *crashing;

void plant_set(enum plant plant, struct world *w)
{
    planted = plant;
    crashing = w;
}

bool plant_is(enum plant plant)
{
    return planted == plant;
}

void plant_crash_point(void)
{
    io_sim_point(&crashing->disk);
}
