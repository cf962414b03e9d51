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

/* Of those that are neither built nor rare the code is not there yet. */
const struct sim_plant sim_plants[] = {
#define P(name) PLANT_##name, #name
    {P(SKIPPED_FLUSH), .built = true, FSYNC, .power = true},
    {P(EARLY_ACK), .built = true, FSYNC},
    {P(REPEAT_EARLY), .built = true, FSYNC},
    {P(TORN_TAIL), .built = true, FSYNC, .power = true},
    {P(FORGOTTEN_PRODUCERS), .built = true, FSYNC},
    {P(LOST_INDEX_ENTRY), .built = true, FSYNC},
    {P(BUFFER_REUSED), .built = true, FSYNC},
    {P(STALE_CACHE), .rare = true, FSYNC, .power = true, .faults = true, .buffered = true},
    {P(UNSYNCED_NAME), .built = true, FSYNC, .power = true},
    {P(HOLE_IN_FRONT), .rare = true, FSYNC, .power = true, .faults = true, .retention = true},
    {P(EARLY_POINT), .built = true, FSYNC, .power = true},
    {P(WRITES_OUT_OF_ORDER), .built = true, FSYNC, .power = true},
    {P(UNMARKED), .built = true, OS, .named = true},
    {P(UNMARKED_EARLY), .built = true, OS, .named = true},
    {P(TAIL_FORGOTTEN), .built = true, OS, .named = true},
    {P(JOURNAL_REUSED_EARLY), .built = true, FSYNC, .power = true, .journal = true},
    {P(ACK_OVER_HOLE), .built = true, FSYNC, .journal = true},
    {P(STALE_LAP), .built = true, FSYNC, .power = true, .journal = true},
    {P(TRUNCATE_UNFRAMED), .built = true, FSYNC, .retention = true, .journal = true},
    {P(JOURNAL_FORGOTTEN), .built = true, FSYNC, .journal = true},
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
