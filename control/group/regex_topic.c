#define PCRE2_CODE_UNIT_WIDTH 8
#include "control/group/regex_topic.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/err.h"
#include "control/group/regex_syntax.h"

/* PCRE2 keeps two lists of places, each three integers, and a little besides. */
#define workspace_ints (2 * 3 * regex_states_max + 64)

struct topic_regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *result;
    size_t bytes;    /* of the code */
    uint32_t places; /* at once, at most, about */
    int workspace[workspace_ints];
};

/*
 * Only a repetition keeps the match at many places for longer than a character: PCRE2 is then at most
 * at each item of the code, an item of eight bytes or so, and in a counted one at each count. Repeated
 * groups are copied into the code with what they repeat.
 */
static uint32_t places_of(size_t bytes, const char *text, size_t len)
{
    uint64_t places = 0;
    bool repeats = false;
    for (size_t i = 1; i < len; i++) {
        uint64_t n = 0, most = 0;
        repeats |= text[i] == '*' || text[i] == '+';
        if (text[i] != '{' || i + 1 == len || text[i + 1] < '0' || text[i + 1] > '9')
            continue;
        for (size_t k = i + 1; k < len && (text[k] == ',' || (text[k] >= '0' && text[k] <= '9'));
             k++) {
            n = text[k] == ',' ? 0 : n * 10 + (uint64_t)(text[k] - '0');
            most = n > most ? n : most;
        }
        repeats = true;
        places += text[i - 1] == ')' ? regex_states_max : most;
        if (places > regex_states_max)
            break;
    }
    places += repeats ? bytes / 8 : 1;
    return (uint32_t)(places < regex_states_max ? places : regex_states_max);
}

static int compile(struct topic_regex *re, const char *text, size_t len, const char **why)
{
    int code;
    PCRE2_SIZE at;
    /* DOLLAR_ENDONLY: $ is the end, as in RE2; UTF: what . and classes count is code points. */
    uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_POSSESS |
                       PCRE2_NO_AUTO_CAPTURE | PCRE2_ANCHORED;
    re->code = pcre2_compile((PCRE2_SPTR)text, len, options, &code, &at, NULL);
    if (re->code == NULL) {
        /* The grammar is checked: what is left are names of properties, and size. */
        bool property = code == PCRE2_ERROR_UNKNOWN_UNICODE_PROPERTY ||
                        code == PCRE2_ERROR_MALFORMED_UNICODE_PROPERTY;
        *why = property ? "invalid character class range" : "expression too large";
        return ERR_INVALID;
    }
    pcre2_pattern_info(re->code, PCRE2_INFO_SIZE, &re->bytes);
    re->places = places_of(re->bytes, text, len);
    re->limits = pcre2_match_context_create(NULL);
    re->result = pcre2_match_data_create(1, NULL);
    if (re->limits == NULL || re->result == NULL)
        return ERR_NO_MEMORY;
    pcre2_set_match_limit(re->limits, regex_calls_max);
    pcre2_set_depth_limit(re->limits, regex_depth_max);
    pcre2_set_heap_limit(re->limits, regex_heap_kib);
    return 0;
}

int topic_regex_new(struct topic_regex **out, struct str pattern, const char **why)
{
    if (pattern.len > regex_bytes_max) {
        *why = "expression too large";
        return ERR_INVALID;
    }
    size_t room = (size_t)pattern.len * regex_growth_max + 16;
    char *text = malloc(room);
    struct topic_regex *re = calloc(1, sizeof(*re));
    int64_t rc = ERR_NO_MEMORY;
    if (text != NULL && re != NULL)
        rc = regex_rewrite(pattern, text, room, why);
    if (rc == ERR_TOO_LARGE) {
        *why = "expression too large";
        rc = ERR_INVALID;
    }
    if (rc >= 0)
        rc = compile(re, text, (size_t)rc, why);
    free(text);
    if (rc < 0) {
        topic_regex_free(re);
        return (int)rc;
    }
    *out = re;
    return 0;
}

void topic_regex_free(struct topic_regex *re)
{
    if (re == NULL)
        return;
    pcre2_match_data_free(re->result);
    pcre2_match_context_free(re->limits);
    pcre2_code_free(re->code);
    free(re);
}

uint64_t topic_regex_cost(const struct topic_regex *re, struct str name)
{
    return regex_match_cost + re->bytes + (uint64_t)re->places * re->places * (name.len + 1);
}

/* The breadth-first match finds the longest match first: it is the whole name or nothing is. */
bool topic_regex_matches(struct topic_regex *re, struct str name, bool *limited)
{
    int rc = pcre2_dfa_match(re->code, (PCRE2_SPTR)name.p, name.len, 0, 0, re->result, re->limits,
                             re->workspace, workspace_ints);
    if (limited != NULL)
        *limited = rc < 0 && rc != PCRE2_ERROR_NOMATCH;
    return rc >= 0 && pcre2_get_ovector_pointer(re->result)[1] == name.len;
}
