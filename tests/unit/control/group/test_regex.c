/* Regular expressions over topic names: RE2/J's own answers, limits, patterns that explode. */
#include "tests/unit/unit.h"

#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "control/group/regex_syntax.h"
#include "control/group/regex_topic.h"

#define names_max 64

struct names {
    char *v[names_max];
    size_t n;
};

static void check_row(char *line, const struct names *names)
{
    char *sign = strchr(line, '\t'), *rest = sign ? strchr(sign + 1, '\t') : NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(rest);
    *sign++ = '\0';
    *rest++ = '\0';
    rest[strcspn(rest, "\n")] = '\0';
    struct topic_regex *re = NULL;
    const char *why = "";
    int rc = topic_regex_new(&re, str_from(line), &why);
    char got[names_max + 1] = "";
    if (rc == 0)
        for (size_t i = 0; i < names->n; i++) {
            bool limited;
            got[i] = topic_regex_matches(re, str_from(names->v[i]), &limited) ? '1' : '0';
            CU_ASSERT_FALSE(limited);
        }
    bool same = *sign == '+' ? rc == 0 && strcmp(got, rest) == 0
                             : rc == ERR_INVALID && strcmp(why, rest) == 0;
    if (!same)
        printf("pattern %s: RE2/J %c %s, here %d %s %s\n", line, *sign, rest, rc, why, got);
    CU_ASSERT(same);
    topic_regex_free(re);
}

static void test_re2j(void)
{
    FILE *f = fopen(TEST_DIR "/re2j.txt", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    char line[4096], first[4096];
    struct names names = {.n = 0};
    size_t rows = 0;
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "#names ", 7) == 0) {
            memcpy(first, line, sizeof(first));
            strtok(first, " \n");
            for (char *s; names.n < names_max && (s = strtok(NULL, " \n")) != NULL;)
                names.v[names.n++] = s;
        } else if (names.n > 0) {
            check_row(line, &names);
            rows++;
        }
    }
    fclose(f);
    CU_ASSERT(rows > 250);
}

static bool matches(const char *pattern, const char *name)
{
    struct topic_regex *re = NULL;
    const char *why = "";
    bool limited, yes;
    CU_ASSERT_EQUAL_FATAL(topic_regex_new(&re, str_from(pattern), &why), 0);
    yes = topic_regex_matches(re, str_from(name), &limited);
    CU_ASSERT_FALSE(limited);
    topic_regex_free(re);
    return yes;
}

static void test_explosions(void)
{
    char name[250];
    memset(name, 'a', 249);
    name[249] = '\0';
    CU_ASSERT_FALSE(matches("(a+)+b", name));
    CU_ASSERT_FALSE(matches("(a|a)*b", name));
    CU_ASSERT_FALSE(matches("(a|aa)+b", name));
    CU_ASSERT_FALSE(matches("(((((a*)*)*)*)*)*b", name));
    CU_ASSERT_FALSE(matches("(a*a*)*(a*a*)*b", name));
    CU_ASSERT_TRUE(matches("(a|aa)+", name));
    CU_ASSERT_TRUE(matches("(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)", name));
    CU_ASSERT_TRUE(matches("a{1,249}", name));
    CU_ASSERT_FALSE(matches("a{1,248}", name));
    CU_ASSERT_TRUE(matches("a{249}", name));
}

static int compile_rc(const char *pattern, size_t len)
{
    struct topic_regex *re = NULL;
    const char *why = "";
    int rc = topic_regex_new(&re, (struct str){pattern, (uint32_t)len}, &why);
    topic_regex_free(re);
    if (rc != 0)
        CU_ASSERT_STRING_EQUAL(why, "expression too large");
    return rc;
}

static void test_limits(void)
{
    static char text[4 * regex_bytes_max];
    memset(text, 'a', sizeof(text));
    CU_ASSERT_EQUAL(compile_rc(text, regex_bytes_max), 0);
    CU_ASSERT_EQUAL(compile_rc(text, regex_bytes_max + 1), ERR_INVALID);
    for (int deep = regex_nesting_max; deep <= regex_nesting_max + 1; deep++) {
        memset(text, '(', (size_t)deep);
        memset(text + deep, ')', (size_t)deep);
        CU_ASSERT_EQUAL(compile_rc(text, 2 * (size_t)deep),
                        deep > regex_nesting_max ? ERR_INVALID : 0);
    }
    static const char big[] = "((a{100}){100}){100}";
    CU_ASSERT_EQUAL(compile_rc(big, strlen(big)), ERR_INVALID);
}

/* At the limit of places a match says so, instead of a wrong answer in silence. */
static void test_places(void)
{
    char pattern[8192], name[200];
    struct topic_regex *re;
    const char *why;
    bool limited;
    size_t n = 0;
    pattern[n++] = '(';
    for (int i = 0; i < 900; i++)
        n += (size_t)sprintf(pattern + n, "%st%03d", i ? "|" : "", i);
    strcpy(pattern + n, ")");
    CU_ASSERT_EQUAL_FATAL(topic_regex_new(&re, str_from(pattern), &why), 0);
    CU_ASSERT_TRUE(topic_regex_matches(re, STR("t899"), &limited));
    CU_ASSERT_FALSE(topic_regex_matches(re, STR("t900"), &limited));
    CU_ASSERT_FALSE(limited);
    topic_regex_free(re);
    for (n = 0; n < 2 * regex_states_max + 100; n += 2)
        memcpy(pattern + n, ".*", 2);
    pattern[n] = '\0';
    memset(name, 'x', sizeof(name));
    CU_ASSERT_EQUAL_FATAL(topic_regex_new(&re, str_from(pattern), &why), 0);
    CU_ASSERT_FALSE(topic_regex_matches(re, (struct str){name, sizeof(name)}, &limited));
    CU_ASSERT_TRUE(limited);
    topic_regex_free(re);
}

/* Anything at all either compiles, and then matches without trouble, or is refused with words. */
static void test_noise(void)
{
    static const char pieces[][8] = {
        "a",        "b",    "(",      ")",   "[",     "]",    "|",  "*",  "+",
        "?",        "{2",   "}",      ",3}", "\\",    "^",    "$",  ".",  "-",
        "(?i)",     "(?:",  "\\d",    "\\Q", "\\E",   "\\x{", "[:", ":]", "(?P<n>",
        "\xc3\xa9", "\xc3", "\\p{L}", "0",   "(?-s:", "\\b",  "&&"};
    struct rng rng;
    rng_seed(&rng, unit_seed());
    int good = 0, bad = 0;
    for (int round = 0; round < 20000; round++) {
        char *text = malloc(64);
        size_t n = 0;
        for (uint64_t k = 1 + rng_below(&rng, 7); k > 0; k--) {
            const char *piece = pieces[rng_below(&rng, sizeof(pieces) / sizeof(pieces[0]))];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        text = realloc(text, n); /* exact size: the sanitizers see a read past the end */
        struct topic_regex *re = NULL;
        const char *why = NULL;
        int rc = topic_regex_new(&re, (struct str){text, (uint32_t)n}, &why);
        if (rc == 0) {
            good++;
            topic_regex_matches(re, STR("ab-a.b"), NULL);
        } else {
            bad++;
            CU_ASSERT_EQUAL(rc, ERR_INVALID);
            CU_ASSERT_PTR_NOT_NULL(why);
            /* The grammar is decided before PCRE2 sees the pattern. */
            if (why && strcmp(why, "expression too large") == 0)
                printf("too large: %.*s\n", (int)n, text);
            CU_ASSERT(why && strcmp(why, "expression too large") != 0);
        }
        topic_regex_free(re);
        free(text);
    }
    CU_ASSERT(good > 1000 && bad > 1000);
}

UNIT_MAIN("regex", UNIT_CASE(test_re2j), UNIT_CASE(test_explosions), UNIT_CASE(test_limits),
          UNIT_CASE(test_places), UNIT_CASE(test_noise))
