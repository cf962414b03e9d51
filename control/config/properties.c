#include "control/config/properties.h"

#include <stdbool.h>

#include "base/err.h"

/* One pass over the text; `scratch` holds the key or value that is being put together. */
struct parser {
    const char *p, *end;
    uint32_t line;
    char *scratch;
    uint32_t used, limit;
    struct properties_error *error;
    uint32_t error_line;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static int fail(struct parser *s, int err, const char *what)
{
    s->error->line = s->error_line;
    s->error->what = what;
    return err;
}

/* Steps over one line end (\n, \r or \r\n). */
static void step_line_end(struct parser *s)
{
    if (*s->p == '\r' && s->p + 1 < s->end && s->p[1] == '\n')
        s->p++;
    s->p++;
    s->line++;
}

static void skip_blanks(struct parser *s)
{
    while (s->p < s->end && is_blank(*s->p))
        s->p++;
}

/* Steps over empty lines and comment lines; true if an assignment begins at s->p. */
static bool next_assignment(struct parser *s)
{
    while (s->p < s->end) {
        skip_blanks(s);
        if (s->p == s->end)
            return false;
        if (is_line_end(*s->p)) {
            step_line_end(s);
        } else if (s->end - s->p >= 2 && s->p[0] == '\\' && is_line_end(s->p[1])) {
            s->p++; /* a line that is only a continuation */
            step_line_end(s);
        } else if (*s->p == '#' || *s->p == '!') {
            while (s->p < s->end && !is_line_end(*s->p))
                s->p++;
        } else {
            return true;
        }
    }
    return false;
}

static int put(struct parser *s, char c)
{
    if (c == '\0')
        return fail(s, ERR_MALFORMED, "a NUL character");
    if (s->used == s->limit)
        return fail(s, ERR_TOO_LARGE, "key or value is too long");
    s->scratch[s->used++] = c;
    return 0;
}

static int put_utf8(struct parser *s, uint32_t c)
{
    if (c < 0x80)
        return put(s, (char)c);
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    int err = put(s, (char)(lead[n] | (c >> (6 * (n - 1)))));
    for (int i = n - 2; i >= 0 && err == 0; i--)
        err = put(s, (char)(0x80 | ((c >> (6 * i)) & 0x3f)));
    return err;
}

/* Four hexadecimal digits at s->p; -1 if they are not there. */
static int32_t hex4(struct parser *s)
{
    if (s->end - s->p < 4)
        return -1;
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s->p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    s->p += 4;
    return v;
}

/* After "\u": one UTF-16 unit, or a pair of them. */
static int put_unicode(struct parser *s)
{
    int32_t c = hex4(s);
    if (c < 0)
        return fail(s, ERR_MALFORMED, "\\u needs four hexadecimal digits");
    if (c >= 0xd800 && c < 0xdc00 && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u') {
        s->p += 2;
        int32_t low = hex4(s);
        if (low < 0xdc00 || low > 0xdfff)
            return fail(s, ERR_MALFORMED, "\\u escapes form no character");
        return put_utf8(s, 0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
    }
    if (c >= 0xd800 && c <= 0xdfff)
        return fail(s, ERR_MALFORMED, "\\u escape is half a character");
    return put_utf8(s, (uint32_t)c);
}

/* s->p stands after a backslash. A line end there joins the next line without its first blanks. */
static int put_escape(struct parser *s)
{
    if (s->p == s->end)
        return 0; /* a backslash at the very end vanishes, as in Java */
    if (is_line_end(*s->p)) {
        step_line_end(s);
        skip_blanks(s);
        return 0;
    }
    char c = *s->p++;
    switch (c) {
    case 't':
        return put(s, '\t');
    case 'n':
        return put(s, '\n');
    case 'r':
        return put(s, '\r');
    case 'f':
        return put(s, '\f');
    case 'u':
        return put_unicode(s);
    default:
        return put(s, c);
    }
}

/* Blanks and joined lines between the parts of an assignment. */
static void skip_separator_blanks(struct parser *s)
{
    for (;;) {
        skip_blanks(s);
        if (s->end - s->p >= 2 && s->p[0] == '\\' && is_line_end(s->p[1])) {
            s->p++;
            step_line_end(s);
        } else {
            return;
        }
    }
}

/* Reads until the logical line ends or, for a key, until an unescaped separator. */
static int read_part(struct parser *s, bool is_key, struct arena *arena, struct str *out)
{
    s->used = 0;
    s->limit = (uint32_t)(is_key ? properties_key_bytes_max : properties_value_bytes_max);
    while (s->p < s->end && !is_line_end(*s->p)) {
        char c = *s->p;
        if (is_key && (c == '=' || c == ':' || is_blank(c)))
            break;
        s->p++;
        int err = c == '\\' ? put_escape(s) : put(s, c);
        if (err)
            return err;
    }
    *out = arena_str(arena, (struct str){s->scratch, s->used});
    return out->p ? 0 : fail(s, ERR_NO_MEMORY, "out of memory");
}

static int read_assignment(struct parser *s, struct arena *arena, struct property *out)
{
    *out = (struct property){.line = s->line};
    s->error_line = s->line;
    int err = read_part(s, true, arena, &out->key);
    if (err)
        return err;
    skip_separator_blanks(s);
    if (s->p < s->end && (*s->p == '=' || *s->p == ':')) {
        s->p++;
        skip_separator_blanks(s);
    }
    return read_part(s, false, arena, &out->value);
}

static int add(struct properties *all, const struct property *one, struct parser *s)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct property *old = &all->items[i];
        if (str_eq(old->key, one->key)) {
            old->earlier = old->line;
            old->line = one->line;
            old->value = one->value;
            return 0;
        }
    }
    if (all->count == properties_entries_max)
        return fail(s, ERR_TOO_LARGE, "too many keys");
    all->items[all->count++] = *one;
    return 0;
}

uint32_t properties_entries_bound(struct str text)
{
    uint32_t lines = 1;
    for (uint32_t i = 0; i < text.len && lines < properties_entries_max; i++)
        lines += is_line_end(text.p[i]);
    return lines;
}

int properties_parse(struct str text, struct arena *arena, struct properties *out,
                     struct properties_error *error)
{
    const char *p = text.p ? text.p : "";
    struct parser s = {.p = p, .end = p + (text.p ? text.len : 0), .line = 1, .error = error};
    if (text.len > properties_text_bytes_max)
        return fail(&s, ERR_TOO_LARGE, "text is over 1 MiB");
    struct properties all = {.count = 0};
    all.items = arena_calloc(arena, properties_entries_bound(text), sizeof(*all.items));
    s.scratch = arena_alloc(arena, properties_value_bytes_max);
    if (all.items == NULL || s.scratch == NULL)
        return fail(&s, ERR_NO_MEMORY, "out of memory");
    while (next_assignment(&s)) {
        struct property one;
        int err = read_assignment(&s, arena, &one);
        if (err == 0)
            err = add(&all, &one, &s);
        if (err)
            return err;
    }
    *out = all;
    return 0;
}
