#include "control/group/regex_syntax.h"

#include <stdio.h>
#include <string.h>

/* Bracketed classes and escapes: the leaves of the grammar. */

bool regex_fail(struct regex_pass *x, const char *why)
{
    if (x->why == NULL)
        x->why = why;
    return false;
}

static void put_bytes(struct regex_pass *x, const char *text, size_t len)
{
    if (x->full || x->room - x->n <= len) {
        x->full = true;
        return;
    }
    memcpy(x->out + x->n, text, len);
    x->n += len;
}

void regex_put(struct regex_pass *x, const char *text)
{
    put_bytes(x, text, strlen(text));
}

static bool is_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

void regex_put_rune(struct regex_pass *x, uint32_t rune)
{
    char text[16];
    if (is_word(rune))
        snprintf(text, sizeof(text), "%c", (char)rune);
    else
        snprintf(text, sizeof(text), "\\x{%x}", rune);
    regex_put(x, text);
}

/* RFC 3629: length by the first byte, no overlong forms, no surrogates. */
bool regex_rune(struct regex_pass *x, uint32_t *rune)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t b = (uint8_t)*x->p;
    int len = b < 0x80                ? 1
              : b >= 0xc2 && b < 0xe0 ? 2
              : b >= 0xe0 && b < 0xf0 ? 3
              : b >= 0xf0 && b < 0xf5 ? 4
                                      : 0;
    if (len == 0 || x->end - x->p < len)
        return regex_fail(x, "invalid UTF-8");
    uint32_t r = len == 1 ? b : b & (0xffu >> (len + 1));
    for (int i = 1; i < len; i++) {
        uint8_t c = (uint8_t)x->p[i];
        if ((c & 0xc0) != 0x80)
            return regex_fail(x, "invalid UTF-8");
        r = r << 6 | (c & 0x3f);
    }
    if (r < least[len] || r > regex_rune_max || (r >= 0xd800 && r < 0xe000))
        return regex_fail(x, "invalid UTF-8");
    x->p += len;
    *rune = r;
    return true;
}

static int hex(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* After "\x": two digits, or any number of them in braces. */
static bool hex_escape(struct regex_pass *x, uint32_t *rune)
{
    static const char bad[] = "invalid escape sequence";
    uint32_t r = 0;
    int digits = 0;
    bool braces = x->p < x->end && *x->p == '{';
    if (braces)
        x->p++;
    for (; x->p < x->end && hex(*x->p) >= 0 && (braces || digits < 2); x->p++, digits++) {
        r = r * 16 + (uint32_t)hex(*x->p);
        if (r > regex_rune_max)
            return regex_fail(x, bad);
    }
    if (braces ? digits == 0 || x->p == x->end || *x->p != '}' : digits != 2)
        return regex_fail(x, bad);
    x->p += braces;
    *rune = r;
    return true;
}

/* After the backslash: up to three octal digits; a single one of 1-7 would be a back reference. */
static bool octal_escape(struct regex_pass *x, uint32_t *rune)
{
    uint32_t r = (uint32_t)(*x->p++ - '0');
    bool more = x->p < x->end && *x->p >= '0' && *x->p <= '7';
    if (r != 0 && !more)
        return regex_fail(x, "invalid escape sequence");
    for (int i = 1; i < 3 && x->p < x->end && *x->p >= '0' && *x->p <= '7'; i++)
        r = r * 8 + (uint32_t)(*x->p++ - '0');
    *rune = r;
    return true;
}

bool regex_escape(struct regex_pass *x, uint32_t *rune)
{
    static const char names[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    x->p++;
    if (x->p == x->end)
        return regex_fail(x, "trailing backslash at end of expression");
    char c = *x->p;
    if (c >= '0' && c <= '7')
        return octal_escape(x, rune);
    x->p++;
    if (c == 'x')
        return hex_escape(x, rune);
    const char *named = strchr(names, c);
    if (c != '\0' && named != NULL) {
        *rune = (uint8_t)values[named - names];
        return true;
    }
    if ((uint8_t)c < 0x80 && (c == '_' || !is_word((uint8_t)c))) {
        *rune = (uint8_t)c;
        return true;
    }
    return regex_fail(x, "invalid escape sequence");
}

/* \pN, \p{Name}, \p{^Name}: the name is PCRE2's to judge, so it is letters, digits and _ alone. */
static int property(struct regex_pass *x)
{
    static const char bad[] = "invalid character class range";
    const char *name = x->p + 2, *stop = name + 1;
    bool negative = x->p[1] == 'P';
    if (name < x->end && *name == '{') {
        name++;
        stop = memchr(name, '}', (size_t)(x->end - name));
        if (name < x->end && *name == '^') {
            negative = !negative;
            name++;
        }
    }
    if (name >= x->end || stop == NULL || stop <= name)
        return regex_fail(x, bad) - 1;
    for (const char *q = name; q < stop; q++)
        if (!is_word((uint8_t)*q))
            return regex_fail(x, bad) - 1;
    regex_put(x, negative ? "\\P{" : "\\p{");
    put_bytes(x, name, (size_t)(stop - name));
    regex_put(x, "}");
    x->p = stop + (stop < x->end && *stop == '}');
    return 1;
}

int regex_escape_class(struct regex_pass *x)
{
    if (x->end - x->p < 2)
        return 0;
    if (x->p[1] == 'p' || x->p[1] == 'P')
        return property(x);
    if (x->p[1] == '\0' || strchr("dDsSwW", x->p[1]) == NULL)
        return 0;
    put_bytes(x, x->p, 2);
    x->p += 2;
    return 1;
}

/* [:name:] or [:^name:] inside a class: 1, 0, -1 as regex_escape_class. */
static int posix_class(struct regex_pass *x)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    const char *name = x->p + 2;
    const char *stop = x->end - x->p > 2 ? memmem(name, (size_t)(x->end - name), ":]", 2) : NULL;
    if (stop == NULL)
        return 0;
    const char *bare = name + (*name == '^');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == (size_t)(stop - bare) &&
            memcmp(names[i], bare, strlen(names[i])) == 0) {
            put_bytes(x, x->p, (size_t)(stop + 2 - x->p));
            x->p = stop + 2;
            return 1;
        }
    return regex_fail(x, "invalid character class range") - 1;
}

static bool class_rune(struct regex_pass *x, uint32_t *rune)
{
    if (x->p == x->end)
        return regex_fail(x, "missing closing ]");
    return *x->p == '\\' ? regex_escape(x, rune) : regex_rune(x, rune);
}

/* One code point or a range of them. */
static bool class_range(struct regex_pass *x)
{
    uint32_t lo, hi;
    if (!class_rune(x, &lo))
        return false;
    hi = lo;
    if (x->end - x->p >= 2 && x->p[0] == '-' && x->p[1] != ']') {
        x->p++;
        if (!class_rune(x, &hi))
            return false;
        if (hi < lo)
            return regex_fail(x, "invalid character class range");
    }
    regex_put_rune(x, lo);
    if (hi != lo) {
        regex_put(x, "-");
        regex_put_rune(x, hi);
    }
    return true;
}

bool regex_class(struct regex_pass *x)
{
    x->p++;
    regex_put(x, "[");
    if (x->p < x->end && *x->p == '^') {
        regex_put(x, "^");
        x->p++;
    }
    for (bool first = true; x->p == x->end || *x->p != ']' || first; first = false) {
        int named = 0;
        if (x->p == x->end)
            return regex_fail(x, "missing closing ]");
        if (x->end - x->p > 2 && x->p[0] == '[' && x->p[1] == ':')
            named = posix_class(x);
        else if (*x->p == '\\')
            named = regex_escape_class(x);
        if (named < 0 || (named == 0 && !class_range(x)))
            return false;
    }
    x->p++;
    regex_put(x, "]");
    return true;
}
