#include "tests/unit/storage/plog/rig.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "core/chain.h"

static void on_disk_error(struct plog_env *env, struct plog *plog, int err)
{
    struct rig *r = env->ctx;
    r->disk_errors++;
    r->last_disk_error = err;
}

struct plog_config rig_config(void)
{
    return (struct plog_config){
        .segment_bytes = 1 << 30,
        .segment_ms = 7LL * 24 * 3600 * 1000,
        .segment_index_bytes = 10 << 20,
        .index_interval_bytes = 4096,
        .retention_ms = -1,
        .retention_bytes = -1,
        .file_delete_delay_ms = 60000,
        .max_message_bytes = 1048588,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = 3600000,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .producer_expiration_ms = 86400000,
        .timestamp_type = PLOG_CREATE_TIME,
        .cleanup_delete = true,
    };
}

static enum restore_missing on_missing(void *ctx, const struct uuid *topic_id, int32_t partition)
{
    return RESTORE_DROP;
}

static const struct uuid named_id = {{9, 9, 9}};

/* True if there was something, and it is in the files now. */
static bool named_replay(struct rig *r)
{
    struct region left;
    char why[512] = "";
    int err = region_open(&left, r->fs, &named_id, 0, why, sizeof(why));
    CHECK(err == 0 || err == ERR_NOT_FOUND || r->sim.dead);
    if (err)
        return !r->sim.dead;
    struct tail_options o = {
        .fs = r->fs,
        .regions = &left,
        .region_count = 1,
        .dirs = &r->log_dir,
        .dir_count = 1,
        .missing = on_missing,
    };
    err = tail_replay(&o, &r->tail, why, sizeof(why));
    if (r->sim.dead) {
        region_close(&left);
        return false;
    }
    if (err || r->tail.refused)
        printf("[tail: %s]", why);
    CHECK(err == 0 && r->tail.refused == 0);
    CHECK(region_remove(&left) == 0 || r->sim.dead);
    return !r->sim.dead;
}

/* As the composition root does at a start, which may be cut short. */
static void named_up(struct rig *r)
{
    if (rng_below(&r->rng, 3) == 0)
        io_sim_crash_at(&r->sim, 1 + rng_below(&r->rng, 30), SIM_PROCESS_DEATH);
    while (!named_replay(r))
        io_sim_revive(&r->sim);
    r->sim.die_at = 0;
    CHECK(region_make(&r->region, r->fs, &named_id, 0, 1, cache_size(r->cache)) == 0);
    cache_use_region(r->cache, &r->region);
}

void rig_use_named(struct rig *r)
{
    r->named = true;
    named_up(r);
}

static void shard_up(struct rig *r, enum plog_durability durability)
{
    CHECK(agent_init(&r->agent, "shard", 0, 256, NULL, NULL) == 0);
    CHECK(worker_init(&r->worker, "worker", 1) == 0);
    agent_enter(&r->agent);
    wheel_init(&r->wheel, r->now_ns);
    CHECK(cache_new(&r->cache, &r->mem, &r->agent, plog_evict) == 0);
    r->env = (struct plog_env){
        .self = &r->agent,
        .worker = &r->worker.agent,
        .wheel = &r->wheel,
        .mem = &r->mem,
        .cache = r->cache,
        .io = r->failing ? &r->fail.io : &r->sim.io,
        .fs = r->fs,
        .clock = &r->clock.clock,
        .now_ns = &r->now_ns,
        .wall_ms = &r->wall_ms,
        .durability = durability,
        .disk_error = on_disk_error,
        .ctx = r,
    };
}

static void shard_down(struct rig *r)
{
    plog_env_fini(&r->env);
    cache_free(r->cache);
    worker_fini(&r->worker);
    agent_fini(&r->agent);
}

void rig_up(struct rig *r, uint64_t seed, uint32_t log_chunks, enum plog_durability durability)
{
    rig_up_reads(r, seed, log_chunks, rig_read_chunks, durability);
}

void rig_up_reads(struct rig *r, uint64_t seed, uint32_t log_chunks, uint32_t read_chunks,
                  enum plog_durability durability)
{
    static bool eal;
    static uint32_t made;
    if (!eal)
        with_eal(64);
    eal = true;
    *r = (struct rig){.wall_ms = rig_wall_ms, .now_ns = 1000000000, .log_dir = rig_dir};
    rng_seed(&r->rng, seed);
    io_sim_init(&r->sim, seed ^ 0x5a5a);
    r->sim.wall_ms = rig_wall_ms;
    r->fs = &r->sim.fs;
    clock_manual_init(&r->clock, r->now_ns, r->wall_ms);
    struct mem_plan plan = {
        .total_bytes = 64 * MIB,
        .shards = 1,
        .rx_bufs = 64,
        .tx_bufs = 64,
        .ref_bufs = 4096,
        .log_chunks = log_chunks,
        .read_chunks = read_chunks,
        .request_bytes = 1 * MIB,
        .request_max = 1 * MIB,
    };
    CHECK(mem_init(&r->mem, &plan, made) == 0);
    char name[32];
    snprintf(name, sizeof(name), "rig%u", made++);
    r->pool = with_pool(name, 4095, 1024);
    r->config = rig_config();
    CHECK(r->fs->ops->mkdir(r->fs, rig_dir) == 0);
    CHECK(r->fs->ops->sync_dir(r->fs, rig_dir) == 0);
    shard_up(r, durability);
    if (getenv("SLUICE_RIG_FAIL"))
        rig_use_fail(r);
}

void rig_use_fail(struct rig *r)
{
    io_fail_init(&r->fail, &r->sim.fs, &r->sim.io, rng_u64(&r->rng));
    io_fail_lag(&r->fail, 3);
    r->failing = true;
    r->fs = r->env.fs = &r->fail.fs;
    r->env.io = &r->fail.io;
}

bool rig_use_real(struct rig *r, const char *dir)
{
    if (ring_init(&r->ring, 64, NULL, 0) != 0)
        return false;
    io_uring_backend_init(&r->uring, &r->ring);
    r->real = true;
    r->failing = false;
    r->log_dir = dir;
    r->fs = r->env.fs = fs_real();
    r->env.io = &r->uring.io;
    return true;
}

void rig_crash(struct rig *r, struct plog *p, enum sim_crash crash)
{
    if (!r->sim.dead)
        io_sim_crash(&r->sim, crash);
    if (p) {
        rig_detach(r, p);
        plog_close(p);
    }
    struct plog_env env = r->env;
    shard_down(r);
    region_close(&r->region);
    shard_up(r, env.durability);
    r->env.retention_check_ms = env.retention_check_ms;
    r->env.journal_bytes = env.journal_bytes;
    r->env.rng = env.rng;
    r->env.dir_id = env.dir_id;
    io_sim_revive(&r->sim);
    if (r->named)
        named_up(r);
}

void rig_down(struct rig *r)
{
    if (r->real)
        ring_fini(&r->ring);
    shard_down(r);
    region_close(&r->region);
    rte_mempool_free(r->pool);
    mem_fini(&r->mem);
    io_sim_free(&r->sim);
}

bool rig_step(struct rig *r)
{
    bool busy = false;
    busy |= cache_run(r->cache, r->now_ns, 16) > 0;
    busy |= plog_env_run(&r->env, r->now_ns, 64) > 0;
    if (rng_below(&r->rng, 3))
        busy |= io_sim_step(&r->sim);
    busy |= r->sim.in_flight > 0;
    if (r->failing) {
        if (rng_below(&r->rng, 3))
            busy |= io_fail_run(&r->fail) > 0;
        busy |= r->fail.in_flight > 0;
    }
    if (r->real) {
        ring_submit(&r->ring);
        if (r->uring.in_flight && !ring_ready(&r->ring))
            ring_park(&r->ring, 1000000);
        busy |= ring_reap(&r->ring, 64) > 0 || r->uring.in_flight > 0;
    }
    agent_flush(&r->agent);
    agent_enter(&r->worker.agent);
    busy |= worker_step(&r->worker, 16) > 0;
    agent_enter(&r->agent);
    busy |= agent_receive(&r->agent, 64) > 0;
    busy |= wheel_run(&r->wheel, r->now_ns, 64) > 0;
    return busy;
}

void rig_settle(struct rig *r)
{
    for (uint32_t i = 0; i < 100000 && rig_step(r); i++)
        ;
}

void rig_disk(struct rig *r)
{
    while (io_sim_step(&r->sim) || (r->failing && io_fail_run(&r->fail)))
        ;
}

void rig_sleep(struct rig *r, int64_t ms)
{
    r->now_ns += ms * 1000000;
    r->wall_ms += ms;
    r->sim.wall_ms = r->wall_ms;
    rig_settle(r);
}

int rig_try_open(struct rig *r, const char *topic, bool clean, int64_t recovery_point,
                 int64_t log_start, struct plog **out)
{
    char why[512] = "";
    struct plog_open o = {
        .fs = r->fs,
        .log_dir = r->log_dir,
        .topic = str_from(topic),
        .partition = 0,
        .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .leader_epoch = 0,
        .config = r->config,
        .clean = clean,
        .recovery_point = recovery_point,
        .log_start = log_start,
        .wall_ms = r->wall_ms,
        .durability = r->env.durability,
        .rewrite = r->rewrite,
    };
    int err = plog_open(out, &o, why, sizeof(why));
    if (err)
        printf("[%s] ", why);
    return err;
}

struct plog *rig_open(struct rig *r, bool clean, int *err)
{
    struct plog *p = NULL;
    int e = rig_try_open(r, "topic", clean, clean ? -1 : 0, -1, &p);
    if (err)
        *err = e;
    if (e)
        return NULL;
    plog_attach(p, &r->env);
    return p;
}

struct detach_op {
    struct plog_detach detach;
    bool done;
};

static void on_detached(struct plog_detach *d)
{
    ((struct detach_op *)d)->done = true;
}

void rig_detach(struct rig *r, struct plog *p)
{
    struct detach_op op = {.detach.done = on_detached};
    plog_detach(p, &op.detach);
    CHECK(!op.done);
    rig_settle(r);
    CHECK(op.done);
}

int rig_close(struct rig *r, struct plog *p)
{
    rig_detach(r, p);
    return plog_close(p);
}

/* --- several partitions with a journal -------------------------------------------------------- */

struct uuid rig_dir_id(void)
{
    return (struct uuid){{5, 5, 5}};
}

static bool dir_id(struct plog_env *env, const char *log_dir, struct uuid *out)
{
    *out = rig_dir_id();
    return true;
}

void rig_use_journals(struct rig *r, uint64_t bytes)
{
    r->env.journal_bytes = bytes;
    r->env.rng = &r->rng;
    r->env.dir_id = dir_id;
}

int rig_open_part(struct rig *r, uint32_t i, struct plog **p)
{
    static const char *const names[rig_parts] = {"a", "b", "c"};
    char why[512] = "";
    struct plog_open o = {
        .fs = r->fs,
        .log_dir = r->log_dir,
        .topic = str_from(names[i]),
        .topic_id = {{(uint8_t)(i + 1), 9}},
        .config = r->config,
        .recovery_point = -1,
        .log_start = -1,
        .wall_ms = r->wall_ms,
        .durability = r->env.durability,
    };
    *p = NULL;
    int err = plog_open(p, &o, why, sizeof(why));
    if (err == 0)
        plog_attach(*p, &r->env);
    return err;
}

void rig_crash_parts(struct rig *r, struct plog *const *parts, enum sim_crash crash)
{
    if (!r->sim.dead)
        io_sim_crash(&r->sim, crash);
    for (uint32_t i = 1; i < rig_parts; i++) {
        rig_detach(r, parts[i]);
        plog_close(parts[i]);
    }
    rig_crash(r, parts[0], crash);
}

struct journal_replay_options rig_replay_options(struct rig *r)
{
    return (struct journal_replay_options){.fs = r->fs,
                                           .log_dir = r->log_dir,
                                           .id = rig_dir_id(),
                                           .dirs = &r->log_dir,
                                           .dir_count = 1};
}

int rig_replay_journals(struct rig *r, struct journal_replay_report *report)
{
    char why[512] = "";
    struct journal_replay_options o = rig_replay_options(r);
    return journal_replay(&o, report, why, sizeof(why));
}

/* --- batches ---------------------------------------------------------------------------------- */

struct bytes {
    uint8_t *p;
    size_t n, room;
};

static uint8_t *bytes_room(struct bytes *b, size_t n)
{
    if (b->n + n > b->room) {
        b->room = (b->n + n) * 2;
        b->p = realloc(b->p, b->room);
        CHECK(b->p != NULL);
    }
    return b->p + b->n;
}

static void put(struct bytes *b, const void *p, size_t n)
{
    memcpy(bytes_room(b, n), p, n);
    b->n += n;
}

static void put_varint(struct bytes *b, int32_t v)
{
    b->n += bytes_put_varint32(bytes_room(b, VARINT32_BYTES_MAX), v);
}

static void put_varlong(struct bytes *b, int64_t v)
{
    b->n += bytes_put_varint64(bytes_room(b, VARINT64_BYTES_MAX), v);
}

static void put_string(struct bytes *b, const char *s)
{
    put_varint(b, s ? (int32_t)strlen(s) : -1);
    if (s)
        put(b, s, strlen(s));
}

static void put_value(struct bytes *b, const struct rig_record *record)
{
    if (record->value == NULL || record->value_bytes == 0) {
        put_string(b, record->value);
        return;
    }
    size_t n = strlen(record->value);
    put_varint(b, (int32_t)record->value_bytes);
    for (uint32_t i = 0; i < record->value_bytes; i++)
        *bytes_room(b, 1) = (uint8_t)record->value[i % n], b->n++;
}

static void put_record(struct bytes *out, const struct rig_record *record, int32_t delta)
{
    struct bytes b = {0};
    put(&b, "", 1);
    put_varlong(&b, record->timestamp_delta);
    put_varint(&b, delta);
    put_string(&b, record->key);
    put_value(&b, record);
    put_varint(&b, record->headers);
    for (int32_t i = 0; i < record->headers; i++) {
        put_string(&b, "header");
        put_string(&b, i % 2 ? NULL : "of the record");
    }
    put_varint(out, (int32_t)b.n);
    put(out, b.p, b.n);
    free(b.p);
}

static void compress_gzip(struct bytes *out, const struct bytes *in)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    size_t room = deflateBound(&z, in->n) + 64;
    z.next_in = in->p;
    z.avail_in = (uInt)in->n;
    z.next_out = bytes_room(out, room);
    z.avail_out = (uInt)room;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out->n += z.total_out;
    deflateEnd(&z);
}

static void compress_snappy(struct bytes *out, const struct bytes *in, bool raw)
{
    static const uint8_t magic[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                      0,    0,   0,   1,   0,   0,   0,   1};
    size_t block = raw ? in->n : 32768;
    if (!raw)
        put(out, magic, sizeof(magic));
    for (size_t at = 0; at < in->n; at += block) {
        size_t n = in->n - at < block ? in->n - at : block;
        size_t room = snappy_max_compressed_length(n);
        uint8_t *to = bytes_room(out, room + 4);
        if (!raw)
            to += 4;
        CHECK(snappy_compress((const char *)in->p + at, n, (char *)to, &room) == SNAPPY_OK);
        if (!raw)
            bytes_put_u32(to - 4, (uint32_t)room);
        out->n += room + (raw ? 0 : 4);
    }
}

static void compress_lz4(struct bytes *out, const struct bytes *in)
{
    LZ4F_preferences_t prefs = {
        .frameInfo = {.blockMode = LZ4F_blockIndependent,
                      .blockSizeID = in->n > 300000 ? LZ4F_max256KB : LZ4F_max64KB,
                      .blockChecksumFlag =
                          in->n % 2 ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum},
    };
    size_t room = LZ4F_compressFrameBound(in->n, &prefs);
    size_t n = LZ4F_compressFrame(bytes_room(out, room), room, in->p, in->n, &prefs);
    CHECK(!LZ4F_isError(n));
    out->n += n;
}

static void compress_zstd(struct bytes *out, const struct bytes *in)
{
    size_t room = ZSTD_compressBound(in->n);
    size_t n = ZSTD_compress(bytes_room(out, room), room, in->p, in->n, 3);
    CHECK(!ZSTD_isError(n));
    out->n += n;
}

static void compress_into(struct bytes *out, const struct bytes *in,
                          const struct rig_batch_spec *spec)
{
    switch (spec->codec) {
    case CODEC_GZIP:
        compress_gzip(out, in);
        break;
    case CODEC_SNAPPY:
        compress_snappy(out, in, spec->snappy_raw);
        break;
    case CODEC_LZ4:
        compress_lz4(out, in);
        break;
    case CODEC_ZSTD:
        compress_zstd(out, in);
        break;
    default:
        put(out, in->p, in->n);
    }
}

struct rig_batch_spec rig_spec(void)
{
    return (struct rig_batch_spec){.base_timestamp = rig_wall_ms,
                                   .producer_id = -1,
                                   .producer_epoch = -1,
                                   .base_sequence = -1};
}

void rig_batch_seal(struct rig_batch *b)
{
    bytes_put_u32(b->bytes + BATCH_LENGTH, b->size - batch_overhead_bytes);
    bytes_put_u32(b->bytes + BATCH_CRC,
                  crc32c(0, b->bytes + BATCH_ATTRIBUTES, b->size - BATCH_ATTRIBUTES));
}

struct rig_batch rig_batch_make(const struct rig_batch_spec *spec, const struct rig_record *records,
                                uint32_t n)
{
    struct bytes plain = {0}, out = {0};
    int64_t newest = -1;
    for (uint32_t i = 0; i < n; i++) {
        put_record(&plain, &records[i], (int32_t)i);
        if (spec->base_timestamp + records[i].timestamp_delta > newest)
            newest = spec->base_timestamp + records[i].timestamp_delta;
    }
    memset(bytes_room(&out, batch_header_bytes), 0, batch_header_bytes);
    out.n = batch_header_bytes;
    compress_into(&out, &plain, spec);
    free(plain.p);
    uint8_t *h = out.p;
    bytes_put_u32(h + BATCH_LEADER_EPOCH, UINT32_MAX);
    h[BATCH_MAGIC] = 2;
    bytes_put_u16(h + BATCH_ATTRIBUTES, (uint16_t)(spec->attributes | (int16_t)spec->codec));
    bytes_put_u32(h + BATCH_LAST_DELTA, n - 1);
    bytes_put_u64(h + BATCH_BASE_TIMESTAMP, (uint64_t)spec->base_timestamp);
    bytes_put_u64(h + BATCH_MAX_TIMESTAMP, (uint64_t)newest);
    bytes_put_u64(h + BATCH_PRODUCER_ID, (uint64_t)spec->producer_id);
    bytes_put_u16(h + BATCH_PRODUCER_EPOCH, (uint16_t)spec->producer_epoch);
    bytes_put_u32(h + BATCH_BASE_SEQUENCE, (uint32_t)spec->base_sequence);
    bytes_put_u32(h + BATCH_COUNT, n);
    struct rig_batch b = {out.p, (uint32_t)out.n};
    rig_batch_seal(&b);
    return b;
}

struct rig_batch rig_batch_random(struct rig *r, const struct rig_batch_spec *spec, uint32_t n,
                                  uint32_t value_bytes)
{
    struct rig_record *records = calloc(n, sizeof(*records));
    char(*texts)[24] = calloc(n, sizeof(*texts));
    CHECK(records != NULL && texts != NULL);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%016llx", (unsigned long long)rng_u64(&r->rng));
        records[i] = (struct rig_record){
            .timestamp_delta = (int64_t)rng_below(&r->rng, 1000),
            .key = rng_below(&r->rng, 3) ? texts[i] : NULL,
            .value = rng_below(&r->rng, 16) ? texts[i] : NULL,
            .value_bytes = value_bytes ? 1 + (uint32_t)rng_below(&r->rng, value_bytes * 2) : 0,
            .headers = (int32_t)rng_below(&r->rng, 3),
        };
    }
    struct rig_batch b = rig_batch_make(spec, records, n);
    free(records);
    free(texts);
    return b;
}

void rig_batch_free(struct rig_batch *b)
{
    free(b->bytes);
    *b = (struct rig_batch){0};
}

void rig_chain(struct rig *r, const void *bytes, uint32_t n, struct chain *out)
{
    const uint8_t *p = bytes;
    chain_init(out);
    while (n > 0) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(r->pool);
        CHECK(m != NULL);
        uint32_t part = rng_below(&r->rng, 4) ? 1024 : 1 + (uint32_t)rng_below(&r->rng, 200);
        if (part > n)
            part = n;
        memcpy(rte_pktmbuf_append(m, (uint16_t)part), p, part);
        m->next = NULL;
        chain_append(out, m);
        p += part;
        n -= part;
    }
}

/* --- operations ------------------------------------------------------------------------------- */

static void on_appended(struct plog_append *a)
{
    struct rig_op *op = (struct rig_op *)a;
    CHECK(!op->done);
    op->done = true;
}

int rig_append_start(struct rig *r, struct plog *p, const struct rig_batch *b, struct rig_op *op)
{
    struct chain chain;
    rig_chain(r, b->bytes, b->size, &chain);
    op->done = false;
    op->append.from_client = true;
    op->append.zstd_refused = false;
    op->append.done = on_appended;
    op->append.records = (struct chain_view){chain_pos_at(&chain, 0), b->size};
    int err = plog_append(p, &op->append);
    chain_free(&chain);
    return err;
}

int16_t rig_append(struct rig *r, struct plog *p, const struct rig_batch *b, struct rig_op *op)
{
    int err;
    while ((err = rig_append_start(r, p, b, op)) == ERR_FULL && rig_step(r))
        ;
    CHECK(err == 0);
    rig_settle(r);
    CHECK(op->done);
    return op->append.error;
}

static void on_read(struct plog_read *read)
{
    struct rig_read *out = (struct rig_read *)read;
    CHECK(!out->done);
    out->done = true;
}

int16_t rig_read(struct rig *r, struct plog *p, int64_t offset, uint32_t max, bool min_one,
                 struct rig_read *out)
{
    *out = (struct rig_read){
        .read = {.offset = offset, .max_bytes = max, .min_one = min_one, .done = on_read}};
    plog_read(p, &out->read);
    rig_settle(r);
    CHECK(out->done);
    out->size = (uint32_t)out->read.data.bytes;
    out->bytes = malloc(out->size + 1);
    chain_copy_out(&out->read.data, 0, out->bytes, out->size);
    chain_free(&out->read.data);
    return out->read.error;
}

void rig_read_free(struct rig_read *read)
{
    free(read->bytes);
    read->bytes = NULL;
}

bool rig_nothing_lent(const struct rig *r)
{
    struct cache_stats stats;
    cache_stats(r->cache, &stats);
    return stats.lent == 0;
}
