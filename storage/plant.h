/*
 * plant: bugs on purpose, for the proof that the simulator finds such.
 *
 * Purpose: PLANT(NAME) stands where a line would be wrong in a way that loses or invents records.
 * Only a build with SLUICE_PLANT (the simulator's own copy of the storage libraries) can be told to
 * be wrong there; everywhere else it is the constant false, and CRASH_POINT is nothing.
 * CRASH_POINT stands between two stores where the process may die: the simulator lets it.
 * Owner: the simulator, one thread.
 */
#ifndef STORAGE_PLANT_H
#define STORAGE_PLANT_H

/* name, what is wrong then */
#define PLANT_TABLE(X)                                                                             \
    X(SKIPPED_FLUSH, "a write is not durable when it is said to be")                               \
    X(EARLY_ACK, "what was appended is acked with the write before it")                            \
    X(REPEAT_EARLY, "a repeated batch is acked before the first one is durable")                   \
    X(TORN_TAIL, "recovery takes batches without looking at their checksum")                       \
    X(FORGOTTEN_PRODUCERS, "recovery forgets what producers sent")                                 \
    X(LOST_INDEX_ENTRY, "an index entry is forgotten now and then")                                \
    X(BUFFER_REUSED, "log memory is used again while it is being sent")                            \
    X(STALE_CACHE, "recovery believes what is cached after a failed flush")                        \
    X(UNSYNCED_NAME, "a new segment's name is not on the medium when it is written to")            \
    X(HOLE_IN_FRONT, "old segments are deleted in any order")                                      \
    X(DELETED_MORE, "retention takes a segment that it must leave")                                \
    X(EARLY_POINT, "the recovery point is ahead of what is flushed")                               \
    X(WRITES_OUT_OF_ORDER, "a write is taken for done while an earlier one is under way")          \
    X(UNMARKED, "an append is acked without its mark in named memory")                             \
    X(UNMARKED_EARLY, "a mark is cleared when its bytes are on their way to the file")             \
    X(TAIL_FORGOTTEN, "the named memory of a process that died is not put back")                   \
    X(JOURNAL_REUSED_EARLY, "journal space is used again before the segment's flush")              \
    X(JOURNAL_UNFLUSHED, "a commit of the journal is not on the medium when it ends")              \
    X(ACK_OVER_HOLE, "a direct append is acked while earlier ones are in the journal alone")       \
    X(STALE_LAP, "frames of an older lap of the journal are replayed")                             \
    X(TRUNCATE_UNFRAMED, "a deleted segment's frames in the journal bring it back")                \
    X(READ_REUSED, "a read buffer is used again while the device still writes to it")              \
    X(READ_UNWRITTEN, "what is read ahead counts behind the end of what was written")              \
    X(READ_GIVES_UP, "a read that should wait for memory is answered with nothing")                \
    X(JOURNAL_FORGOTTEN, "the journal of a broker that died is not replayed")                      \
    X(UNSETTLED, "recovery looks at a file that a dead process still writes to")

#ifdef SLUICE_PLANT

#include <stdbool.h>

enum plant {
    PLANT_NONE,
#define PLANT_ENUM(name, text) PLANT_##name,
    PLANT_TABLE(PLANT_ENUM)
#undef PLANT_ENUM
        PLANT_COUNT
};

/* The simulator's. */
bool plant_is(enum plant plant);
void plant_crash_point(void);

#define PLANT(name)   plant_is(PLANT_##name)
#define CRASH_POINT() plant_crash_point()

#else

#define PLANT(name)   0
#define CRASH_POINT() ((void)0)

#endif

#endif
