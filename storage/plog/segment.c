/* One segment: memory, indexes, files. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/plog_internal.h"

static uint32_t slots_of(uint64_t bytes)
{
    return (uint32_t)((bytes < segment_bytes_max ? bytes : segment_bytes_max) / tail_chunk_bytes) +
           1;
}

int segment_new(struct segment **out, struct plog *p, int64_t base, uint64_t bytes)
{
    struct segment *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->plog = p;
    s->base = s->next = base;
    s->max_timestamp = s->max_timestamp_offset = -1;
    s->first_timestamp = unknown_timestamp;
    s->chunk_slots = slots_of(bytes);
    s->chunks =
        calloc(s->chunk_slots, sizeof(*s->chunks)); /* large ones are touched as they fill */
    if (s->chunks == NULL) {
        free(s);
        return ERR_NO_MEMORY;
    }
    *out = s;
    return 0;
}

int segment_widen(struct segment *s, uint64_t bytes)
{
    uint32_t slots = slots_of(bytes);
    CHECK(s->chunk_count == 0);
    if (slots <= s->chunk_slots)
        return 0;
    struct chunk **chunks = calloc(slots, sizeof(*chunks));
    if (chunks == NULL)
        return ERR_NO_MEMORY;
    free(s->chunks);
    s->chunks = chunks;
    s->chunk_slots = slots;
    return 0;
}

static void memory_free(void *memory, size_t bytes)
{
    if (bytes)
        munmap(memory, bytes);
    else
        free(memory);
}

void segment_drop_memory(struct segment *s)
{
    memory_free(s->memory, s->memory_bytes);
    s->memory = NULL;
    s->memory_bytes = 0;
    s->offsets = s->times = (struct index){0};
    s->loaded = false;
}

void segment_free(struct segment *s)
{
    if (s == NULL)
        return;
    CHECK(s->chunk_count == 0);
    if (s->file)
        s->plog->fs->ops->close(s->plog->fs, s->file);
    if (s->direct)
        s->plog->fs->ops->close(s->plog->fs, s->direct);
    memory_free(s->memory, s->memory_bytes);
    free(s->snapshot);
    free(s->chunks);
    free(s);
}

int segment_index_room(struct segment *s, uint64_t index_bytes)
{
    uint32_t offsets = (uint32_t)(index_bytes / offset_index_entry_bytes);
    uint32_t times = (uint32_t)(index_bytes / time_index_entry_bytes);
    if (offsets < 1)
        offsets = 1;
    if (times < 2)
        times = 2;
    size_t first = (size_t)offsets * offset_index_entry_bytes;
    size_t bytes = first + (size_t)times * time_index_entry_bytes;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return ERR_NO_MEMORY;
    memory_free(s->memory, s->memory_bytes);
    s->memory = memory;
    s->memory_bytes = bytes;
    s->offsets = (struct index){memory, 0, offsets};
    s->times = (struct index){(uint8_t *)memory + first, 0, times};
    s->loaded = true;
    return 0;
}

int segment_path(const struct plog *p, int64_t base, const char *suffix,
                 char out[io_path_bytes_max])
{
    int n = snprintf(out, io_path_bytes_max, "%s/%020" PRId64 "%s", p->dir, base, suffix);
    return n < io_path_bytes_max ? 0 : ERR_TOO_LARGE;
}

struct io_file *segment_open_direct(const struct segment *s, uint32_t flags)
{
    char path[io_path_bytes_max];
    struct io_file *file;
    struct fs *fs = s->plog->fs;
    if (segment_path(s->plog, s->base, ".log", path) != 0 ||
        fs->ops->open(fs, path, flags | IO_OPEN_DIRECT, &file) != 0)
        return NULL; /* the file system has none: everything goes through the page cache */
    return file;
}

void segment_drop_chunks(struct segment *s, struct cache *cache, bool keep)
{
    for (uint32_t i = 0; s->chunk_count > 0 && i < s->chunk_slots; i++) {
        struct chunk *chunk = s->chunks[i];
        if (chunk == NULL)
            continue;
        s->chunks[i] = NULL;
        s->chunk_count--;
        if (keep && (uint64_t)i * tail_chunk_bytes + chunk->used > s->written) {
            chunk_keep(cache, chunk);
            continue;
        }
        chunk->owner = NULL;
        chunk_release(cache, chunk);
    }
}

void plog_evict(struct chunk *chunk)
{
    struct segment *s = chunk->owner;
    uint32_t slot = (uint32_t)(chunk->file_pos / tail_chunk_bytes);
    CHECK(s->chunks[slot] == chunk);
    s->chunks[slot] = NULL;
    s->chunk_count--;
    chunk->owner = NULL;
}

static uint32_t relative(const struct segment *s, int64_t offset)
{
    return (uint32_t)(offset - s->base);
}

void segment_add(struct segment *s, uint32_t bytes, int64_t last_offset, int64_t max_timestamp,
                 int64_t index_interval)
{
    if (max_timestamp > s->max_timestamp) {
        s->max_timestamp = max_timestamp;
        s->max_timestamp_offset = last_offset;
    }
    if (s->first_timestamp == unknown_timestamp)
        s->first_timestamp = max_timestamp;
    if (s->since_index > index_interval) {
        if (!PLANT(LOST_INDEX_ENTRY) || last_offset % 3)
            offset_index_add(&s->offsets, relative(s, last_offset), s->size);
        if (s->max_timestamp >= 0 && !time_index_full(&s->times))
            time_index_add(&s->times, s->max_timestamp, relative(s, s->max_timestamp_offset));
        s->since_index = 0;
    }
    s->size += bytes;
    s->since_index += bytes;
    s->next = last_offset + 1;
}

void segment_end_times(struct segment *s)
{
    if (s->max_timestamp >= 0)
        time_index_add(&s->times, s->max_timestamp, relative(s, s->max_timestamp_offset));
}

int segment_cut(struct segment *s)
{
    struct fs *fs = s->plog->fs;
    return s->grown ? fs->ops->truncate(fs, s->file, s->size) : 0;
}

static int write_file(struct fs *fs, const char *path, const void *bytes, size_t n)
{
    struct io_file *file;
    int err = fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file);
    if (err)
        return err;
    if (n)
        err = fs->ops->pwrite(fs, file, bytes, n, 0);
    if (err == 0)
        err = fs->ops->sync(fs, file);
    fs->ops->close(fs, file);
    return err;
}

int segment_write_indexes(struct segment *s)
{
    char path[io_path_bytes_max];
    struct fs *fs = s->plog->fs;
    int err = segment_path(s->plog, s->base, ".index", path);
    if (err == 0)
        err = write_file(fs, path, s->offsets.map,
                         (size_t)s->offsets.entries * offset_index_entry_bytes);
    if (err == 0)
        err = segment_path(s->plog, s->base, ".timeindex", path);
    if (err == 0)
        err = write_file(fs, path, s->times.map, (size_t)s->times.entries * time_index_entry_bytes);
    return err;
}

int segment_write_snapshot(const struct plog *p, int64_t offset, const uint8_t *bytes, size_t n)
{
    char path[io_path_bytes_max];
    int err = segment_path(p, offset, ".snapshot", path);
    return err ? err : write_file(p->fs, path, bytes, n);
}

/* Entries of zeros at the end are what a crash left of Kafka's preallocated index files. */
static void index_trim(struct index *x, uint32_t entry_bytes)
{
    static const uint8_t zeros[time_index_entry_bytes];
    while (x->entries > 0 &&
           memcmp(x->map + (uint64_t)(x->entries - 1) * entry_bytes, zeros, entry_bytes) == 0)
        x->entries--;
}

/* More entries than batches cannot be; Kafka makes its files as large as it may, at first. */
static size_t index_bytes_max(const struct segment *s, uint32_t entry_bytes)
{
    uint64_t batches = (uint64_t)s->size / (batch_overhead_bytes + batch_length_min) + 2;
    uint64_t most = batches * entry_bytes, made = (uint64_t)s->plog->config.segment_index_bytes;
    return most > made ? most : made;
}

int segment_read_indexes(struct segment *s, struct index *offsets, struct index *times,
                         void **memory)
{
    char path[io_path_bytes_max], *first = NULL, *second = NULL;
    size_t n = 0, m = 0;
    int err = segment_path(s->plog, s->base, ".index", path);
    if (err == 0)
        err =
            file_load(s->plog->fs, path, index_bytes_max(s, offset_index_entry_bytes), &first, &n);
    if (err == 0)
        err = segment_path(s->plog, s->base, ".timeindex", path);
    if (err == 0)
        err = file_load(s->plog->fs, path, index_bytes_max(s, time_index_entry_bytes), &second, &m);
    if (err == 0 && (n % offset_index_entry_bytes || m % time_index_entry_bytes))
        err = ERR_CORRUPT;
    uint8_t *both = err ? NULL : malloc(n + m + 1);
    if (err == 0 && both == NULL)
        err = ERR_NO_MEMORY;
    if (err == 0) {
        memcpy(both, first, n);
        memcpy(both + n, second, m);
        uint32_t entries = (uint32_t)(n / offset_index_entry_bytes);
        *offsets = (struct index){both, entries, entries};
        entries = (uint32_t)(m / time_index_entry_bytes);
        *times = (struct index){both + n, entries, entries};
        index_trim(offsets, offset_index_entry_bytes);
        index_trim(times, time_index_entry_bytes);
        if (!offset_index_sane(offsets, s->size) || !time_index_sane(times))
            err = ERR_CORRUPT;
    }
    free(first);
    free(second);
    if (err) {
        free(both);
        return err;
    }
    *memory = both;
    return 0;
}

int segment_use_indexes(struct segment *s, struct index *offsets, struct index *times,
                        void **memory)
{
    int err = segment_read_indexes(s, offsets, times, memory);
    if (err == 0 || plog_err_is_want(err))
        return err;
    *offsets = *times = (struct index){0};
    *memory = malloc(1);
    if (*memory == NULL)
        return ERR_NO_MEMORY;
    segment_distrust(s, err == ERR_CORRUPT ? "entries that cannot be right" : err_text(err));
    return 0;
}

void segment_distrust(const struct segment *s, const char *what)
{
    log_error("storage",
              "%s/%020" PRId64 ".index or .timeindex: %s; not used: the segment is read from its "
              "beginning. With the broker stopped, remove the two files: they are made anew",
              s->plog->dir, s->base, what);
}

uint32_t plog_segment_at(const struct plog *p, int64_t offset)
{
    uint32_t low = 0, high = p->segment_count; /* the answer is the last one before high */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (p->segments[mid]->base <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? 0 : low - 1;
}

int plog_add_segment(struct plog *p, struct segment *s)
{
    if (p->segment_count == p->segment_room) {
        uint32_t room = p->segment_room ? p->segment_room * 2 : 4;
        struct segment **segments = realloc(p->segments, room * sizeof(*segments));
        if (segments == NULL)
            return ERR_NO_MEMORY;
        p->segments = segments;
        p->segment_room = room;
    }
    p->segments[p->segment_count++] = s;
    return 0;
}

uint32_t segment_visible(const struct segment *s)
{
    const struct plog *p = s->plog;
    if (s == p->visible)
        return p->visible_end;
    return s->base < p->visible->base ? s->size : 0;
}
