/* What the files hold after a clean stop: every byte of them, by the operator's own tool. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/cli/log_verify.h"
#include "tests/sim/sim.h"

void files_check(struct world *w, const char *topic, uint32_t partition, const struct sim_part *p)
{
    struct log_verify_rules rules = {.compacted = w->gaps,
                                     .torn_snapshots = w->deaths + w->cuts + w->errors > 0,
                                     .index_interval =
                                         w->o.alters ? -1 : w->o.index_interval_bytes};
    struct log_totals totals;
    struct log_fault fault;
    char dir[io_path_bytes_max];
    snprintf(dir, sizeof(dir), "%s/%s-%u", sim_dir, topic, partition);
    /* looking is no part of the run: nothing is counted, nothing fails */
    struct io_sim before = w->disk;
    w->disk.die_at = w->disk.fault_count = 0;
    int err = log_verify(&w->disk.fs, dir, &rules, &totals, &fault);
    w->disk.calls = before.calls;
    memcpy(w->disk.ops, before.ops, sizeof(before.ops));
    w->disk.die_at = before.die_at;
    w->disk.fault_count = before.fault_count;
    MUST(w, err == 0, "%s: byte %" PRId64 ": %s", fault.file, fault.position, fault.text);
    MUST(w, totals.next < 0 || totals.next == p->end,
         "the files of %s end at offset %" PRId64 ", the log at %" PRId64, dir, totals.next,
         p->end);
    MUST(w, totals.room == 0, "%s: %" PRIu64 " bytes of room after a clean stop", dir, totals.room);
}
