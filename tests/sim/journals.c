/* Journals: what the broker before left in them is put into the segments. */
#include "storage/journal/journal.h"
#include "base/check.h"
#include "storage/plog/journal_replay.h"
#include "tests/sim/sim.h"

static const struct uuid dir_id = {{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}};

bool journals_dir_id(struct plog_env *env, const char *log_dir, struct uuid *out)
{
    *out = dir_id;
    return true;
}

int journals_begin(struct world *w)
{
    struct journal_replay_report report;
    char why[512] = "";
    if (w->clean)
        return journal_remove_all(&w->disk.fs, sim_dir);
    const char *dirs[] = {sim_dir};
    struct journal_replay_options o = {
        .fs = &w->disk.fs,
        .log_dir = sim_dir,
        .id = dir_id,
        .dirs = dirs,
        .dir_count = 1,
        .missing = world_missing,
        .ctx = w,
    };
    int err = journal_replay(&o, &report, why, sizeof(why));
    if (err) {
        sim_trace(w, "the journals are not taken: %s", why);
        return err;
    }
    MUST(w, report.restored.refused == 0, "the journal is refused");
    MUST(w, report.damaged == 0 || w->disk.taken_back > 0, "the journal is damaged");
    w->frames += report.frames;
    sim_trace(w, "journals: %u, %d commits, %d frames, %u ranges, %u dropped", report.journals,
              (int)report.commits, (int)report.frames, report.restored.ranges,
              report.restored.dropped);
    return 0;
}
