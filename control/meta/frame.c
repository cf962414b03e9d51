#include "control/meta/frame.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"

#define head_version     1
#define frame_magic      0x534c4d46u /* "SLMF" */
#define frame_room_first 4096

static const char magics[2][8] = {
    [META_FILE_LOG] = {'S', 'L', 'M', 'E', 'T', 'L', 'O', 'G'},
    [META_FILE_SNAPSHOT] = {'S', 'L', 'M', 'E', 'T', 'S', 'N', 'P'},
};

void meta_head_encode(enum meta_file kind, int64_t offset, uint8_t out[meta_head_bytes])
{
    memcpy(out, magics[kind], 8);
    bytes_put_u32(out + 8, head_version);
    bytes_put_u64(out + 12, (uint64_t)offset);
    bytes_put_u32(out + 20, crc32c(0, out, 20));
}

int meta_head_decode(enum meta_file kind, const uint8_t *p, size_t n, int64_t *offset)
{
    if (n < meta_head_bytes)
        return ERR_NEED_MORE;
    int64_t at = (int64_t)bytes_get_u64(p + 12);
    if (memcmp(p, magics[kind], 8) != 0 || bytes_get_u32(p + 20) != crc32c(0, p, 20) || at < 0)
        return ERR_CORRUPT;
    if (bytes_get_u32(p + 8) != head_version)
        return ERR_UNSUPPORTED;
    *offset = at;
    return 0;
}

/* Room for `more` bytes behind what is there. */
static int frame_reserve(struct meta_frame *f, size_t more)
{
    size_t size = f->size ? f->size : meta_frame_head_bytes;
    size_t room = f->room ? f->room : frame_room_first;
    while (room < size + more)
        room *= 2;
    if (room > f->room) {
        uint8_t *grown = realloc(f->bytes, room);
        if (!grown)
            return ERR_NO_MEMORY;
        f->bytes = grown;
        f->room = room;
    }
    f->size = size;
    return 0;
}

int meta_frame_add(struct meta_frame *f, const struct meta_record *r)
{
    int64_t n = meta_record_size(r);
    if (n < 0)
        return (int)n;
    if (f->size + (size_t)n > meta_frame_bytes_max || f->count == meta_frame_records_max)
        return ERR_TOO_LARGE;
    int err = frame_reserve(f, (size_t)n);
    if (err)
        return err;
    f->size += meta_record_encode(r, f->bytes + f->size);
    f->count++;
    return 0;
}

/* The checksum covers everything of the head but the magic and itself. */
static uint32_t frame_crc(const uint8_t *frame, size_t length)
{
    return crc32c(crc32c(0, frame + 4, 16), frame + meta_frame_head_bytes, length);
}

int meta_frame_end(struct meta_frame *f, int64_t offset)
{
    int err = frame_reserve(f, 0);
    if (err)
        return err;
    size_t length = f->size - meta_frame_head_bytes;
    bytes_put_u32(f->bytes, frame_magic);
    bytes_put_u32(f->bytes + 4, (uint32_t)length);
    bytes_put_u64(f->bytes + 8, (uint64_t)offset);
    bytes_put_u32(f->bytes + 16, f->count);
    bytes_put_u32(f->bytes + 20, frame_crc(f->bytes, length));
    return 0;
}

void meta_frame_clear(struct meta_frame *f)
{
    f->size = 0;
    f->count = 0;
}

void meta_frame_free(struct meta_frame *f)
{
    if (!f)
        return;
    free(f->bytes);
    *f = (struct meta_frame){0};
}

int64_t meta_frame_decode(const uint8_t *p, size_t n, struct meta_frame_view *out)
{
    if (n < meta_frame_head_bytes)
        return ERR_NEED_MORE;
    uint32_t length = bytes_get_u32(p + 4);
    if (bytes_get_u32(p) != frame_magic || length > meta_frame_bytes_max)
        return ERR_CORRUPT;
    if (length > n - meta_frame_head_bytes)
        return ERR_NEED_MORE;
    struct meta_frame_view v = {.offset = (int64_t)bytes_get_u64(p + 8),
                                .count = bytes_get_u32(p + 16),
                                .length = length,
                                .records = p + meta_frame_head_bytes};
    if (frame_crc(p, length) != bytes_get_u32(p + 20) || v.count > meta_frame_records_max ||
        v.offset < 0)
        return ERR_CORRUPT;
    *out = v;
    return (int64_t)meta_frame_head_bytes + length;
}
