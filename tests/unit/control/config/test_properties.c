#include "base/err.h"
#include "base/rng.h"
#include "control/config/properties.h"
#include "tests/unit/unit.h"

struct parsed {
    struct arena arena;
    struct properties p;
    struct properties_error error;
    int result;
};

static void parse_bytes(struct parsed *x, const char *text, size_t size)
{
    *x = (struct parsed){0};
    arena_init(&x->arena, 64 << 20);
    x->result = properties_parse((struct str){text, (uint32_t)size}, &x->arena, &x->p, &x->error);
}

static void parse(struct parsed *x, const char *text)
{
    parse_bytes(x, text, strlen(text));
}

static const char *get(const struct parsed *x, const char *key)
{
    for (uint32_t i = 0; i < x->p.count; i++)
        if (str_eqz(x->p.items[i].key, key))
            return x->p.items[i].value.p;
    return NULL;
}

static void check_one(const char *text, const char *key, const char *value)
{
    struct parsed x;
    parse(&x, text);
    CU_ASSERT_EQUAL_FATAL(x.result, 0);
    CU_ASSERT_EQUAL(x.p.count, 1);
    const char *found = get(&x, key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    CU_ASSERT_STRING_EQUAL(found, value);
    arena_free(&x.arena);
}

static void test_separators(void)
{
    check_one("a=b", "a", "b");
    check_one("a:b", "a", "b");
    check_one("a b", "a", "b");
    check_one("a\tb", "a", "b");
    check_one("  a  =  b c ", "a", "b c ");
    check_one("a = = b", "a", "= b");
    check_one("a : = b", "a", "= b");
    check_one("a", "a", "");
    check_one("=b", "", "b");
    check_one("a\\=b=c", "a=b", "c");
    check_one("a\\ b c", "a b", "c");
    check_one("PLAINTEXT\\://h=1", "PLAINTEXT://h", "1");
    check_one("\n\r\n# x\n  ! y\n\ta=b\r", "a", "b");
}

static void test_continuations(void)
{
    check_one("a=b,\\\n   c,\\\r\n\td", "a", "b,c,d");
    check_one("a\\\n  b = c", "ab", "c");
    check_one("a \\\n = b", "a", "b");
    check_one("a = \\\n  b", "a", "b");
    check_one("a=b\\\\", "a", "b\\");
    check_one("a=b\\", "a", "b");
    check_one("a=b\\\n#c", "a", "b#c");
    check_one("\\\n\\\n a=b", "a", "b");
}

static void test_escapes(void)
{
    check_one("a=\\t\\n\\r\\f\\q\\\\", "a", "\t\n\r\fq\\");
    check_one("a=\\u0041\\u00e9\\u20AC", "a", "A\xc3\xa9\xe2\x82\xac");
    check_one("a=\\ud83d\\ude00", "a", "\xf0\x9f\x98\x80");
    check_one("a=\xc3\xa9", "a", "\xc3\xa9");
    check_one("\\u0061=b", "a", "b");
}

static void test_lines(void)
{
    struct parsed x;
    parse(&x, "# one\na=1\nb=\\\n  2\r\nc=3\rd=4\na=5\n");
    CU_ASSERT_EQUAL_FATAL(x.result, 0);
    CU_ASSERT_EQUAL_FATAL(x.p.count, 4);
    uint32_t lines[] = {7, 3, 5, 6};
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(x.p.items[i].line, lines[i]);
    CU_ASSERT_EQUAL(x.p.items[0].earlier, 2);
    CU_ASSERT_EQUAL(x.p.items[1].earlier, 0);
    CU_ASSERT_STRING_EQUAL(get(&x, "a"), "5");
    arena_free(&x.arena);
}

static void check_bad(const char *text, size_t size, int err, uint32_t line)
{
    struct parsed x;
    parse_bytes(&x, text, size);
    CU_ASSERT_EQUAL(x.result, err);
    CU_ASSERT_EQUAL(x.error.line, line);
    CU_ASSERT_PTR_NOT_NULL(x.error.what);
    CU_ASSERT_EQUAL(x.p.count, 0);
    CU_ASSERT_PTR_NULL(x.p.items);
    arena_free(&x.arena);
}

static void test_broken(void)
{
    check_bad("a=b\nc=\\u12", 10, ERR_MALFORMED, 2);
    check_bad("a=\\u00g0", 8, ERR_MALFORMED, 1);
    check_bad("\n\na=\\ud83d", 10, ERR_MALFORMED, 3);
    check_bad("a=\\ud83d\\u0041", 14, ERR_MALFORMED, 1);
    check_bad("a=\\ude00", 8, ERR_MALFORMED, 1);
    check_bad("a=b\0c", 5, ERR_MALFORMED, 1);
    check_bad("a=\\u0000", 8, ERR_MALFORMED, 1);
}

/* A text of `size` bytes made of one repeated character, with something before it. */
static char *long_text(const char *before, char fill, size_t size)
{
    char *text = malloc(strlen(before) + size + 1);
    char *p = stpcpy(text, before);
    memset(p, fill, size);
    p[size] = '\0';
    return text;
}

static void check_limit(const char *before, size_t max, char fill)
{
    struct parsed x;
    char *text = long_text(before, fill, max + 1);
    parse_bytes(&x, text, strlen(before) + max);
    CU_ASSERT_EQUAL(x.result, 0);
    arena_free(&x.arena);
    parse_bytes(&x, text, strlen(before) + max + 1);
    CU_ASSERT_EQUAL(x.result, ERR_TOO_LARGE);
    arena_free(&x.arena);
    free(text);
}

static void test_limits(void)
{
    check_limit("", properties_key_bytes_max, 'k');
    check_limit("k=", properties_value_bytes_max, 'v');
    check_limit("", properties_text_bytes_max, '\n');
    for (int over = 0; over < 2; over++) {
        size_t size = 16 * (properties_entries_max + 1), n = 0;
        char *text = malloc(size);
        for (int i = 0; i < properties_entries_max + over; i++)
            n += (size_t)snprintf(text + n, size - n, "k%d=\n", i);
        struct parsed x;
        parse(&x, text);
        CU_ASSERT_EQUAL(x.result, over ? ERR_TOO_LARGE : 0);
        arena_free(&x.arena);
        free(text);
    }
}

static void test_out_of_memory(void)
{
    for (size_t limit = 0; limit < 400000; limit += 20000) {
        struct arena arena;
        struct properties p = {0};
        struct properties_error error;
        arena_init(&arena, limit);
        int err = properties_parse(STR("a=b\nc=d"), &arena, &p, &error);
        CU_ASSERT_TRUE(err == 0 || err == ERR_NO_MEMORY);
        CU_ASSERT_TRUE((err == 0) == (p.count == 2));
        arena_free(&arena);
    }
}

/* Writes s so that the parser must give it back: random escapes, joined lines. */
static char *write_part(char *p, const char *s, bool is_key, struct rng *rng)
{
    for (bool first = true; *s; s++, first = false) {
        if (rng_below(rng, 8) == 0)
            p = stpcpy(p, rng_below(rng, 2) ? "\\\n" : "\\\r\n \t");
        bool special = strchr("=:#!\\ \t\n\r\f", *s) != NULL;
        if (rng_below(rng, 6) == 0)
            p += sprintf(p, "\\u%04x", (unsigned char)*s);
        else if (*s == '\n')
            p = stpcpy(p, "\\n");
        else if (*s == '\r')
            p = stpcpy(p, "\\r");
        else if (*s == '\\' || (special && (is_key || first || *s == ' ' || *s == '\t')))
            p += sprintf(p, "\\%c", *s);
        else
            *p++ = *s;
    }
    return p;
}

static void random_word(char *out, struct rng *rng, size_t least)
{
    static const char letters[] = "abcdefgh.-=:#!\\ \t\n\r,";
    size_t n = least + rng_below(rng, 12);
    for (size_t i = 0; i < n; i++)
        out[i] = letters[rng_below(rng, sizeof(letters) - 1)];
    out[n] = '\0';
}

static void test_round_trip(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 2000; round++) {
        char text[8192], *p = text, keys[10][16], values[10][16];
        int n = (int)rng_below(&rng, 10);
        for (int i = 0; i < n; i++) {
            random_word(keys[i], &rng, 1);
            random_word(values[i], &rng, 0);
            keys[i][0] = (char)('A' + i); /* no two alike */
            if (rng_below(&rng, 3) == 0)
                p = stpcpy(p, rng_below(&rng, 2) ? "# note = x\n" : " \t\r\n");
            p = write_part(p, keys[i], true, &rng);
            p = stpcpy(p, rng_below(&rng, 2) ? "=" : " : ");
            p = write_part(p, values[i], false, &rng);
            p = stpcpy(p, rng_below(&rng, 2) ? "\n" : "\r\n");
        }
        *p = '\0';
        struct parsed x;
        parse(&x, text);
        CU_ASSERT_EQUAL_FATAL(x.result, 0);
        CU_ASSERT_EQUAL_FATAL((int)x.p.count, n);
        for (int i = 0; i < n; i++) {
            CU_ASSERT_STRING_EQUAL(x.p.items[i].key.p, keys[i]);
            CU_ASSERT_STRING_EQUAL(x.p.items[i].value.p, values[i]);
        }
        arena_free(&x.arena);
    }
}

/* Whatever the bytes are: an answer, no step outside, and the same answer twice. */
static void test_random_bytes(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed() + 1);
    for (int round = 0; round < 2000; round++) {
        size_t n = rng_below(&rng, 60);
        char *text = malloc(n ? n : 1);
        for (size_t i = 0; i < n; i++)
            text[i] =
                rng_below(&rng, 3) ? "\\u0d8=:# \n\r"[rng_below(&rng, 11)] : (char)rng_u64(&rng);
        struct parsed x, y;
        parse_bytes(&x, text, n);
        parse_bytes(&y, text, n);
        CU_ASSERT_EQUAL(x.result, y.result);
        CU_ASSERT_EQUAL_FATAL(x.p.count, y.p.count);
        for (uint32_t i = 0; i < x.p.count; i++)
            CU_ASSERT_TRUE(str_eq(x.p.items[i].value, y.p.items[i].value));
        arena_free(&x.arena);
        arena_free(&y.arena);
        free(text);
    }
}

UNIT_MAIN("control/config/properties", UNIT_CASE(test_separators), UNIT_CASE(test_continuations),
          UNIT_CASE(test_escapes), UNIT_CASE(test_lines), UNIT_CASE(test_broken),
          UNIT_CASE(test_limits), UNIT_CASE(test_out_of_memory), UNIT_CASE(test_round_trip),
          UNIT_CASE(test_random_bytes))
