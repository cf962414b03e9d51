#include "control/space.h"

#include <stdio.h>

#include "base/err.h"
#include "base/limits.h"

#define reserve_name      "sluice-reserve"
#define share_reserve     4  /* of the mark, at most */
#define share_full        2  /* of the mark: below it coordinators are refused, too */
#define share_step        4  /* of a mark: so much more lifts it again */
#define tight_marks       4  /* so many marks: below it no room is made ahead */
#define reserve_path_more 32 /* room for the name */

/* ---- rules ---- */

struct space_limits space_limits(int64_t free_bytes, int64_t reserve_bytes, uint64_t total)
{
    struct space_limits l = {.mark = total / space_mark_share};
    if (l.mark > space_mark_bytes_max)
        l.mark = space_mark_bytes_max;
    if (free_bytes >= 0)
        l.mark = (uint64_t)free_bytes;
    l.reserve = l.mark / share_reserve;
    if (l.reserve > space_reserve_bytes_max)
        l.reserve = space_reserve_bytes_max;
    if (reserve_bytes >= 0)
        l.reserve = (uint64_t)reserve_bytes;
    return l;
}

uint64_t space_usable(const struct space_limits *l, uint64_t available, bool held)
{
    uint64_t missing = held ? 0 : l->reserve;
    return available > missing ? available - missing : 0;
}

/* Below the mark; and, once it was below, below a step more than it. */
static bool below(uint64_t usable, uint64_t mark, bool was)
{
    return usable < mark + (was ? mark / share_step : 0);
}

enum plog_space space_level(enum plog_space before, const struct space_limits *l, uint64_t usable)
{
    if (l->mark == 0)
        return PLOG_SPACE_AMPLE;
    if (below(usable, l->mark / share_full, before == PLOG_SPACE_FULL))
        return PLOG_SPACE_FULL;
    if (below(usable, l->mark, before >= PLOG_SPACE_LOW))
        return PLOG_SPACE_LOW;
    if (below(usable, l->mark * tight_marks, before >= PLOG_SPACE_TIGHT))
        return PLOG_SPACE_TIGHT;
    return PLOG_SPACE_AMPLE;
}

int64_t space_look_ms(const struct space_limits *l, uint64_t usable)
{
    uint64_t least = l->mark / share_full;
    uint64_t above = usable > least ? usable - least : 0;
    int64_t ms = (int64_t)(above / 2 / space_fill_bytes_per_ms);
    if (ms < space_look_ms_min)
        return space_look_ms_min;
    return ms < space_look_ms_max ? ms : space_look_ms_max;
}

const char *space_level_name(enum plog_space level)
{
    static const char *const names[] = {"ample", "tight", "low", "full"};
    return names[level];
}

/* ---- the reserve ---- */

static void reserve_path(const char *dir, char out[io_path_bytes_max + reserve_path_more])
{
    snprintf(out, io_path_bytes_max + reserve_path_more, "%s/" reserve_name, dir);
}

bool reserve_held(struct fs *fs, const char *dir, uint64_t bytes)
{
    char path[io_path_bytes_max + reserve_path_more];
    struct fs_stat st;
    reserve_path(dir, path);
    return bytes == 0 || (fs->ops->stat(fs, path, &st) == 0 && st.size == (int64_t)bytes);
}

int reserve_make(struct fs *fs, const char *dir, uint64_t bytes)
{
    char path[io_path_bytes_max + reserve_path_more];
    struct io_file *file;
    reserve_path(dir, path);
    int err = fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file);
    if (err)
        return err;
    err = fs->ops->allocate(fs, file, (int64_t)bytes);
    if (!err)
        err = fs->ops->sync(fs, file);
    fs->ops->close(fs, file);
    if (err)
        fs->ops->unlink(fs, path);
    return err;
}

int reserve_drop(struct fs *fs, const char *dir)
{
    char path[io_path_bytes_max + reserve_path_more];
    reserve_path(dir, path);
    return fs->ops->unlink(fs, path);
}
