#include "control/group/regex_syntax.h"

#include <string.h>

#include "base/err.h"
#include "control/group/regex_topic.h"

/* Repetition, groups and flags: the trunk of the grammar. */

#define regex_names_max 1000 /* named groups of one pattern */

struct trunk {
    struct regex_pass x;
    uint32_t depth;
    bool atom;       /* what was written last can be repeated */
    bool repeated;   /* and has been */
    uint8_t on, off; /* flags read that the next atom needs written: bits of "ims" */
    struct str names[regex_names_max];
    uint32_t n_names;
};

/* (?i) after an atom leaves that atom the one to repeat: flags are written when they matter. */
static void put_flags(struct trunk *t)
{
    static const char *const names[] = {"i", "m", "s"};
    if (t->on | t->off) {
        regex_put(&t->x, "(?");
        for (int i = 0; i < 3; i++)
            if (t->on & 1 << i)
                regex_put(&t->x, names[i]);
        if (t->off)
            regex_put(&t->x, "-");
        for (int i = 0; i < 3; i++)
            if (t->off & 1 << i)
                regex_put(&t->x, names[i]);
        regex_put(&t->x, ")");
    }
    t->on = t->off = 0;
}

static void begin_atom(struct trunk *t)
{
    put_flags(t);
    t->atom = true;
    t->repeated = false;
}

static bool put_literal(struct trunk *t, uint32_t rune)
{
    begin_atom(t);
    regex_put_rune(&t->x, rune);
    return true;
}

/* Reads a count without leading zeros; -1: there is none. More than can be is regex_repeat_max+1. */
static int32_t count(const char **p, const char *end)
{
    const char *s = *p;
    int32_t n = 0;
    if (s == end || *s < '0' || *s > '9')
        return -1;
    if (end - s >= 2 && s[0] == '0' && s[1] >= '0' && s[1] <= '9')
        return -1;
    for (; s < end && *s >= '0' && *s <= '9'; s++)
        if (n <= regex_repeat_max)
            n = n * 10 + (*s - '0');
    *p = s;
    return n > regex_repeat_max ? regex_repeat_max + 1 : n;
}

/* {n}, {n,} or {n,m}: its length, 0 if the brace is a literal; *ok: the counts are in range. */
static size_t braces(const char *p, const char *end, bool *ok)
{
    const char *q = p + 1;
    int32_t lo = count(&q, end), hi = lo;
    if (lo < 0 || q == end)
        return 0;
    if (*q == ',') {
        q++;
        if (q < end && *q != '}' && (hi = count(&q, end)) < 0)
            return 0;
        else if (q < end && q[-1] == ',')
            hi = -1;
    }
    if (q == end || *q != '}')
        return 0;
    *ok = lo <= regex_repeat_max && hi <= regex_repeat_max && (hi < 0 || lo <= hi);
    return (size_t)(q + 1 - p);
}

static bool repeat(struct trunk *t, size_t len, bool counts_ok)
{
    if (!counts_ok)
        return regex_fail(&t->x, "invalid repeat count");
    if (!t->atom)
        return regex_fail(&t->x, "missing argument to repetition operator");
    if (t->repeated)
        return regex_fail(&t->x, "invalid nested repetition operator");
    for (size_t i = 0; i < len; i++) {
        char c[2] = {t->x.p[i], 0};
        regex_put(&t->x, c);
    }
    t->x.p += len;
    if (t->x.p < t->x.end && *t->x.p == '?') {
        regex_put(&t->x, "?"); /* lazy: of no matter to a match of the whole */
        t->x.p++;
    }
    t->repeated = true;
    return true;
}

/* From "(?P<" or "(?<" on. */
static bool named_group(struct trunk *t, size_t lead)
{
    static const char bad[] = "invalid named capture";
    const char *name = t->x.p + lead;
    const char *stop = memchr(name, '>', (size_t)(t->x.end - name));
    if (stop == NULL || stop == name)
        return regex_fail(&t->x, bad);
    for (const char *q = name; q < stop; q++)
        if (!((*q >= '0' && *q <= '9') || (*q >= 'a' && *q <= 'z') || (*q >= 'A' && *q <= 'Z') ||
              *q == '_'))
            return regex_fail(&t->x, bad);
    struct str s = {name, (uint32_t)(stop - name)};
    for (uint32_t i = 0; i < t->n_names; i++)
        if (str_eq(t->names[i], s))
            return regex_fail(&t->x, "duplicate capture group name");
    if (t->n_names == regex_names_max)
        return regex_fail(&t->x, "expression too large");
    t->names[t->n_names++] = s;
    t->x.p = stop + 1;
    return true;
}

/* From the first flag on; *group: a group opens ("(?i:"), else the flags hold on ("(?i)"). */
static bool flags(struct trunk *t, uint8_t *on, uint8_t *off, bool *group)
{
    bool minus = false, seen = false;
    *on = *off = 0;
    for (struct regex_pass *x = &t->x; x->p < x->end; x->p++) {
        char c = *x->p;
        int bit = c == 'i' ? 1 : c == 'm' ? 2 : c == 's' ? 4 : 0;
        if (bit != 0 || c == 'U') {
            *(minus ? off : on) |= (uint8_t)bit;
            *(minus ? on : off) &= (uint8_t)~bit;
            seen = true;
        } else if (c == '-' && !minus) {
            minus = true;
            seen = false;
        } else if ((c == ':' || c == ')') && (!minus || seen)) {
            *group = c == ':';
            x->p++;
            return true;
        } else {
            break;
        }
    }
    return regex_fail(&t->x, "invalid or unsupported Perl syntax");
}

static bool alternatives(struct trunk *t);

/* The inside of a group up to its closing parenthesis, which is read too. */
static bool group_body(struct trunk *t)
{
    if (++t->depth > regex_nesting_max)
        return regex_fail(&t->x, "expression too large");
    if (!alternatives(t))
        return false;
    if (t->x.p == t->x.end)
        return regex_fail(&t->x, "missing closing )");
    t->x.p++;
    t->depth--;
    t->on = t->off = 0; /* flags end with their group */
    regex_put(&t->x, ")");
    t->atom = true;
    t->repeated = false;
    return true;
}

static bool group(struct trunk *t)
{
    struct regex_pass *x = &t->x;
    size_t left = (size_t)(x->end - x->p);
    if (left < 2 || x->p[1] != '?') {
        put_flags(t);
        regex_put(x, "(?:");
        x->p++;
        return group_body(t);
    }
    if ((left > 4 && memcmp(x->p, "(?P<", 4) == 0) || (left > 3 && memcmp(x->p, "(?<", 3) == 0)) {
        put_flags(t);
        regex_put(x, "(?:");
        return named_group(t, x->p[2] == 'P' ? 4 : 3) && group_body(t);
    }
    uint8_t on, off;
    bool opens = false;
    x->p += 2;
    if (!flags(t, &on, &off, &opens))
        return false;
    if (!opens) {
        t->on = (uint8_t)((t->on & ~off) | on);
        t->off = (uint8_t)((t->off & ~on) | off);
        return true;
    }
    put_flags(t);
    regex_put(x, "(?:");
    t->on = on;
    t->off = off;
    put_flags(t);
    return group_body(t);
}

/* \Q..\E: literals; the end of the pattern closes it too. */
static bool quoted(struct trunk *t)
{
    struct regex_pass *x = &t->x;
    x->p += 2;
    while (x->p < x->end) {
        uint32_t rune;
        if (x->end - x->p >= 2 && x->p[0] == '\\' && x->p[1] == 'E') {
            x->p += 2;
            return true;
        }
        if (!regex_rune(x, &rune))
            return false;
        put_literal(t, rune);
    }
    return true;
}

static bool backslash(struct trunk *t)
{
    struct regex_pass *x = &t->x;
    char c = x->end - x->p >= 2 ? x->p[1] : '\0';
    if (c == 'Q')
        return quoted(t);
    if (c == 'A' || c == 'z' || c == 'b' || c == 'B') {
        char text[] = {'(', '?', ':', '\\', c, ')', '\0'}; /* so that it may be repeated */
        begin_atom(t);
        regex_put(x, text);
        x->p += 2;
        return true;
    }
    put_flags(t);
    int named = regex_escape_class(x);
    uint32_t rune;
    if (named != 0) {
        t->atom = true;
        t->repeated = false;
        return named > 0;
    }
    return regex_escape(x, &rune) && put_literal(t, rune);
}

static bool item(struct trunk *t)
{
    struct regex_pass *x = &t->x;
    bool ok = true;
    size_t len;
    uint32_t rune;
    switch (*x->p) {
    case '(':
        return group(t);
    case '[':
        begin_atom(t);
        return regex_class(x);
    case '\\':
        return backslash(t);
    case '^':
    case '$':
    case '.':
        begin_atom(t);
        regex_put(x, *x->p == '.' ? "." : *x->p == '^' ? "(?:^)" : "(?:$)");
        x->p++;
        return true;
    case '*':
    case '+':
    case '?':
        return repeat(t, 1, true);
    case '{':
        len = braces(x->p, x->end, &ok);
        if (len > 0)
            return repeat(t, len, ok);
        break;
    default:
        break;
    }
    return regex_rune(x, &rune) && put_literal(t, rune);
}

static bool alternatives(struct trunk *t)
{
    struct regex_pass *x = &t->x;
    t->atom = t->repeated = false;
    while (x->p < x->end && *x->p != ')') {
        if (*x->p == '|') {
            put_flags(t);
            regex_put(x, "|");
            x->p++;
            t->atom = t->repeated = false;
        } else if (!item(t)) {
            return false;
        }
    }
    return true;
}

int64_t regex_rewrite(struct str pattern, char *out, size_t room, const char **why)
{
    struct trunk t = {.x = {pattern.p, pattern.p + pattern.len, out, 0, room, NULL, false}};
    if (alternatives(&t) && t.x.p < t.x.end)
        regex_fail(&t.x, "regexp/syntax: internal error"); /* RE2/J's words for a stray ) */
    if (t.x.why != NULL) {
        *why = t.x.why;
        return ERR_INVALID;
    }
    if (t.x.full || t.x.n >= room)
        return ERR_TOO_LARGE;
    out[t.x.n] = '\0';
    return (int64_t)t.x.n;
}
