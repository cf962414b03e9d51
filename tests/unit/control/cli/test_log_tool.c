/* `sluice log`, and bits that flip on the disk: found, named with file and byte, contained. */
#include <inttypes.h>
#include <string.h>

#include "control/cli/log_tool.h"
#include "control/cli/log_verify.h"
#include "tests/unit/storage/plog/rig.h"

#define dir         rig_dir "/topic-0"
#define log_batches 12
#define batch_room  4096

static struct rig r;
static uint8_t model[log_batches][batch_room];
static uint32_t model_bytes[log_batches];

/* 12 batches of two records, of all codecs, in several segments; stopped cleanly. */
static void up(enum plog_durability durability, uint64_t seed)
{
    rig_up(&r, seed, 64, durability);
    r.config.segment_bytes = 3000;
    r.config.index_interval_bytes = 100;
    struct plog *p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (int i = 0; i < log_batches; i++) {
        struct rig_record records[2] = {{0, "key", "a", 400, 0}, {i, "key", "b", 400, 1}};
        struct rig_batch_spec spec = rig_spec();
        struct rig_op op;
        spec.base_timestamp += i;
        spec.codec = i % 3 ? CODEC_NONE : (enum batch_codec)(1 + i / 3 % 4);
        spec.producer_id = 7;
        spec.producer_epoch = 0;
        spec.base_sequence = 2 * i;
        struct rig_batch b = rig_batch_make(&spec, records, 2);
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        bytes_put_u64(b.bytes, (uint64_t)op.append.base_offset);
        bytes_put_u32(b.bytes + BATCH_LEADER_EPOCH, 0);
        CU_ASSERT_FATAL(b.size <= batch_room);
        memcpy(model[i], b.bytes, b.size);
        model_bytes[i] = b.size;
        rig_batch_free(&b);
    }
    CU_ASSERT_EQUAL_FATAL(rig_close(&r, p), 0);
}

static int verify(struct log_totals *t, struct log_fault *fault)
{
    struct log_verify_rules rules = {.index_interval = 100};
    return log_verify(r.fs, dir, &rules, t, fault);
}

static void flip(const char *path, int64_t at, uint8_t mask)
{
    struct io_file *f;
    uint8_t b;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->pread(r.fs, f, &b, 1, at), 1);
    b ^= mask;
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, &b, 1, at), 0);
    CU_ASSERT_EQUAL(r.fs->ops->sync(r.fs, f), 0);
    r.fs->ops->close(r.fs, f);
}

struct found_names {
    char all[64][64];
    uint32_t count;
};

static int name_add(void *ctx, const char *name, bool is_dir)
{
    struct found_names *n = ctx;
    if (n->count < 64 && !is_dir)
        snprintf(n->all[n->count++], 64, "%s", name);
    return 0;
}

static const char *suffix_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot : name;
}

static void test_good(void)
{
    struct log_totals t;
    struct log_fault fault;
    char why[8192] = "", *text = NULL;
    size_t n;
    up(PLOG_FSYNC, unit_seed());
    CU_ASSERT_EQUAL(verify(&t, &fault), 0);
    CU_ASSERT_EQUAL(t.batches, log_batches);
    CU_ASSERT_EQUAL(t.records, 2 * log_batches);
    CU_ASSERT(t.first == 0 && t.next == 2 * log_batches && t.segments > 2 && t.room == 0);
    for (int i = 0; i < CODEC_COUNT; i++)
        CU_ASSERT(t.codec_batches[i] > 0);
    FILE *out = open_memstream(&text, &n);
    CU_ASSERT_EQUAL(log_dump(r.fs, dir, true, out, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(log_check(r.fs, dir, false, out, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(log_stat(r.fs, dir, out, why, sizeof(why)), 0);
    fclose(out);
    uint32_t lines = 0, records = 0;
    for (const char *at = text; (at = strstr(at, "baseOffset: ")); at++)
        lines++;
    for (const char *at = text; (at = strstr(at, "| offset: ")); at++)
        records++;
    CU_ASSERT(lines == log_batches && records == 2 * log_batches);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "keySize: 3 valueSize: 400"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "isvalid: true"));
    CU_ASSERT_PTR_NULL(strstr(text, "isvalid: false"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "compresscodec: zstd"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "end offset 24\n"));
    free(text);
    CU_ASSERT_EQUAL(log_check(r.fs, rig_dir "/none", false, stdout, why, sizeof(why)),
                    ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, rig_dir "/none"));
    rig_down(&r);
}

/* The entry now names the other record of the same batch: as good, and Kafka writes such too. */
static bool names_other_record(const char *suffix, int64_t at)
{
    return strcmp(suffix, ".index") == 0 ? at % 8 == 3
                                         : strcmp(suffix, ".timeindex") == 0 && at % 12 == 11;
}

/*
 * Every byte of segments, indexes and snapshots, one bit each: named with its file; of a segment
 * also with the batch that it is in.
 */
static void test_flips_are_found(void)
{
    struct found_names names = {.count = 0};
    struct log_totals t;
    struct log_fault fault;
    struct fs_stat st;
    uint32_t flips = 0;
    up(PLOG_FSYNC, unit_seed());
    CU_ASSERT_EQUAL(r.fs->ops->list(r.fs, dir, name_add, &names), 0);
    for (uint32_t i = 0; i < names.count; i++) {
        char path[128];
        const char *suffix = suffix_of(names.all[i]);
        snprintf(path, sizeof(path), dir "/%s", names.all[i]);
        if (strcmp(suffix, ".log") != 0 && strcmp(suffix, ".index") != 0 &&
            strcmp(suffix, ".timeindex") != 0 && strcmp(suffix, ".snapshot") != 0)
            continue;
        CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, path, &st), 0);
        for (int64_t at = 0; at < st.size; at++) {
            uint8_t mask = (uint8_t)(1u << rng_below(&r.rng, 8));
            flip(path, at, mask);
            int err = verify(&t, &fault);
            if (err == 0 && mask == 1 && names_other_record(suffix, at)) {
                flip(path, at, mask);
                continue;
            }
            if (err != ERR_CORRUPT || strcmp(fault.file, path) != 0)
                printf("[%s byte %" PRId64 " bit %02x: %s %s]", path, at, mask, err_name(err),
                       fault.text);
            CU_ASSERT_EQUAL_FATAL(err, ERR_CORRUPT);
            CU_ASSERT_STRING_EQUAL(fault.file, path);
            CU_ASSERT(fault.position <= at && fault.text[0] != '\0');
            flip(path, at, mask);
            flips++;
        }
    }
    CU_ASSERT_EQUAL(verify(&t, &fault), 0);
    CU_ASSERT(flips > 3000);
    rig_down(&r);
}

/* What can be read after a start is right, up to where it ends. */
static void check_readable(struct plog *p)
{
    struct plog_marks m;
    plog_marks(p, &m);
    for (int64_t at = m.log_start; at < m.end; at += 2) {
        struct rig_read read;
        if (rig_read(&r, p, at, 1, true, &read) == 0) {
            /* the leader epoch is under no checksum; a later batch would have to contradict it */
            if (read.size > BATCH_LEADER_EPOCH + 4)
                memcpy(read.bytes + BATCH_LEADER_EPOCH, model[at / 2] + BATCH_LEADER_EPOCH, 4);
            CU_ASSERT_EQUAL(read.size, model_bytes[at / 2]);
            CU_ASSERT(read.size == model_bytes[at / 2] &&
                      memcmp(read.bytes, model[at / 2], read.size) == 0);
        } else {
            plog_marks(p, &m);
            CU_ASSERT(m.failed); /* offline rather than wrong */
        }
        rig_read_free(&read);
    }
}

/*
 * A start after a crash, with one bit of one file flipped: the log opens and everything that it
 * holds is right, or it does not open and says which file it is. Another partition opens as ever.
 */
static void flip_and_start(enum plog_durability durability, uint64_t seed, uint32_t *opened,
                           uint32_t *refused)
{
    struct found_names names = {.count = 0};
    struct fs_stat st;
    struct plog *p = NULL, *other = NULL;
    char path[128], why[512] = "";
    up(durability, seed);
    CU_ASSERT_EQUAL(r.fs->ops->list(r.fs, dir, name_add, &names), 0);
    snprintf(path, sizeof(path), dir "/%s", names.all[rng_below(&r.rng, names.count)]);
    CU_ASSERT_EQUAL(r.fs->ops->stat(r.fs, path, &st), 0);
    if (st.size > 0)
        flip(path, (int64_t)rng_below(&r.rng, (uint64_t)st.size),
             (uint8_t)(1u << rng_below(&r.rng, 8)));
    struct plog_open o = {
        .fs = r.fs,
        .log_dir = rig_dir,
        .topic = str_from("topic"),
        .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .config = r.config,
        .recovery_point = 0,
        .log_start = -1,
        .wall_ms = r.wall_ms,
        .durability = durability,
    };
    int err = plog_open(&p, &o, why, sizeof(why));
    if (err == 0) {
        ++*opened;
        plog_attach(p, &r.env);
        check_readable(p);
        rig_close(&r, p);
    } else {
        ++*refused;
        CU_ASSERT(err == ERR_CORRUPT || err == ERR_EXISTS || err == ERR_UNSUPPORTED);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, path));
        if (strcmp(suffix_of(path), ".log") == 0)
            CU_ASSERT_PTR_NOT_NULL(strstr(why, ": byte "));
    }
    CU_ASSERT_EQUAL(rig_try_open(&r, "other", false, -1, -1, &other), 0);
    plog_attach(other, &r.env);
    CU_ASSERT_EQUAL(rig_close(&r, other), 0);
    rig_down(&r);
}

static void test_flips_are_contained(void)
{
    uint32_t opened = 0, refused = 0;
    for (uint64_t i = 0; i < 300; i++)
        flip_and_start(i % 2 ? PLOG_FSYNC : PLOG_OS, unit_seed() + i, &opened, &refused);
    CU_ASSERT(opened > 20 && refused > 5);
}

/* ---- journals ---- */

#define journal_path rig_dir "/sluice-journal-0"

/* Three partitions, three commits, in a journal that a process left which died. */
static void up_journal(void)
{
    struct plog *p[rig_parts];
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    rig_use_journals(&r, 256 * 1024);
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < rig_parts; i++) {
            struct rig_record record = {0, "key", "a", 300, 0};
            struct rig_batch_spec spec = rig_spec();
            struct rig_op op;
            struct rig_batch b = rig_batch_make(&spec, &record, 1);
            CU_ASSERT_EQUAL_FATAL(rig_append(&r, p[i], &b, &op), 0);
            rig_batch_free(&b);
        }
    }
    rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
}

static char *journal_text(bool dump, int *err, char *why, size_t why_size)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    *err = dump ? log_dump(r.fs, journal_path, false, out, why, why_size)
                : log_check(r.fs, journal_path, false, out, why, why_size);
    fclose(out);
    return text;
}

static uint32_t count_of(const char *text, const char *what)
{
    uint32_t n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static int journal_says(const char *in_text, const char *in_why)
{
    char why[1024] = "";
    int err, check;
    char *text = journal_text(true, &err, why, sizeof(why));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, in_text));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, in_why));
    free(text);
    text = journal_text(false, &check, why, sizeof(why));
    CU_ASSERT_EQUAL(check, err);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, in_why));
    CU_ASSERT_EQUAL(err == 0, strstr(text, "good: ") != NULL);
    free(text);
    return err;
}

static void test_journal(void)
{
    char why[1024] = "";
    int err;
    up_journal();
    char *text = journal_text(true, &err, why, sizeof(why));
    CU_ASSERT_EQUAL(err, 0);
    uint32_t commits = count_of(text, "commit: position: "), frames = count_of(text, "| position");
    CU_ASSERT_TRUE(commits >= 9 && frames == commits);
    CU_ASSERT_EQUAL(count_of(text, "isvalid: true"), frames + 1);
    CU_ASSERT_EQUAL(count_of(text, "counts: true"), commits);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "commit: position: 4096 sequence: 1 tail: 1 done: 0"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "| position: 4208 topicId: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "shard: 0 blocks: 64 "));
    free(text);
    CU_ASSERT_EQUAL(journal_says("header: position: 0 directoryId: ", ""), 0);
    rig_down(&r);
}

/* A bit in the header, in a commit's header, in a frame's bytes; the file cut. */
static void test_journal_damage(void)
{
    struct io_file *f;
    up_journal();
    flip(journal_path, 20, 1);
    CU_ASSERT_EQUAL(journal_says("header: position: 0 isvalid: false (damaged)",
                                 "sluice-journal-0: byte 0: the header is damaged"),
                    ERR_CORRUPT);
    CU_ASSERT_EQUAL(journal_says("commit: position: 4096 sequence: 1 ", "byte 0"), ERR_CORRUPT);
    flip(journal_path, 20, 1);
    flip(journal_path, 4096 + 20, 1);
    CU_ASSERT_EQUAL(journal_says("commit: position: 8192 sequence: 2 ",
                                 "byte 8192: the commit before this one had ended"),
                    ERR_CORRUPT);
    flip(journal_path, 4096 + 20, 1);
    flip(journal_path, 8192 + 112 + 30, 1);
    CU_ASSERT_EQUAL(journal_says("isvalid: false\n", "byte 8304: "), ERR_CORRUPT);
    flip(journal_path, 8192 + 112 + 30, 1);
    CU_ASSERT_EQUAL(journal_says("counts: true", ""), 0);
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, journal_path, IO_OPEN_WRITE, &f), 0);
    CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, 64 * 4096 - 1), 0);
    r.fs->ops->close(r.fs, f);
    CU_ASSERT_EQUAL(journal_says("counts: true", "byte 262143: the file ends"), ERR_CORRUPT);
    rig_down(&r);
}

UNIT_MAIN("cli/log_tool", UNIT_CASE(test_good), UNIT_CASE(test_flips_are_found),
          UNIT_CASE(test_flips_are_contained), UNIT_CASE(test_journal),
          UNIT_CASE(test_journal_damage))
