#include "control/config/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

#define cpu_number_max 4095

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool number_parse_long(struct str s, int64_t *out)
{
    uint32_t i = 0;
    bool negative = s.len && s.p[0] == '-';
    if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
        i = 1;
    if (i == s.len)
        return false;
    int64_t v = 0; /* counted downwards: the negative range is the larger one */
    for (; i < s.len; i++) {
        if (!is_digit(s.p[i]) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, s.p[i] - '0', &v))
            return false;
    }
    if (!negative && v == INT64_MIN)
        return false;
    *out = negative ? v : -v;
    return true;
}

bool number_parse_size(struct str s, int64_t *out)
{
    int shift = 0;
    if (s.len == 0 || !is_digit(s.p[0]))
        return false;
    switch (s.p[s.len - 1] | 0x20) {
    case 'k':
        shift = 10;
        break;
    case 'm':
        shift = 20;
        break;
    case 'g':
        shift = 30;
        break;
    case 't':
        shift = 40;
        break;
    }
    s.len -= shift != 0;
    int64_t v;
    if (!number_parse_long(s, &v) || v > INT64_MAX >> shift)
        return false;
    *out = v << shift;
    return true;
}

static uint32_t count_digits(struct str s, uint32_t i, bool hex)
{
    uint32_t n = 0;
    for (; i < s.len; i++, n++)
        if (!is_digit(s.p[i]) && !(hex && (s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'f'))
            break;
    return n;
}

/* An exponent with its letter at i; its length, or 0 if there is none. */
static uint32_t exponent_len(struct str s, uint32_t i, char letter)
{
    if (i >= s.len || (s.p[i] | 0x20) != letter)
        return 0;
    uint32_t n = 1;
    if (i + n < s.len && (s.p[i + n] == '-' || s.p[i + n] == '+'))
        n++;
    uint32_t digits = count_digits(s, i + n, false);
    return digits ? n + digits : 0;
}

/* Length of the number without sign that begins at i, by Java's grammar without suffix; 0: none. */
static uint32_t double_len(struct str s, uint32_t i)
{
    uint32_t start = i;
    bool hex = s.len - i > 2 && s.p[i] == '0' && (s.p[i + 1] | 0x20) == 'x';
    i += hex ? 2 : 0;
    uint32_t whole = count_digits(s, i, hex), fraction = 0;
    i += whole;
    if (i < s.len && s.p[i] == '.') {
        fraction = count_digits(s, i + 1, hex);
        i += 1 + fraction;
    }
    if (whole + fraction == 0)
        return 0;
    uint32_t exponent = exponent_len(s, i, hex ? 'p' : 'e');
    if (hex && exponent == 0)
        return 0;
    return i + exponent - start;
}

static bool is_suffix(char c)
{
    return c == 'f' || c == 'F' || c == 'd' || c == 'D';
}

bool number_parse_double(struct str s, double *out)
{
    char buf[64];
    if (s.len == 0 || s.len >= sizeof(buf))
        return false;
    uint32_t sign = s.p[0] == '-' || s.p[0] == '+';
    struct str rest = {s.p + sign, s.len - sign};
    if (str_eqz(rest, "NaN") || str_eqz(rest, "Infinity")) {
        double special = rest.p[0] == 'N' ? (double)NAN : (double)INFINITY;
        *out = s.p[0] == '-' ? -special : special;
        return true;
    }
    uint32_t n = double_len(s, sign);
    uint32_t end = sign + n;
    if (n == 0 || s.len - end > 1 || (s.len - end == 1 && !is_suffix(s.p[end])))
        return false;
    memcpy(buf, s.p, end);
    buf[end] = '\0';
    *out = strtod(buf, NULL);
    return true;
}

/* Digits of |d| without dot and its decimal exponent: d = 0.DIGITS * 10^exponent. */
static int shortest_digits(double d, char digits[20])
{
    char text[40];
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision - 1, d);
        if (strtod(text, NULL) == d)
            break;
    }
    int n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (is_digit(*p))
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    return atoi(p + 1) + 1;
}

void number_format_double(double d, char buf[number_double_text_bytes])
{
    if (isnan(d) || isinf(d) || d == 0) {
        const char *text = isnan(d) ? "NaN" : isinf(d) ? "Infinity" : "0.0";
        snprintf(buf, number_double_text_bytes, "%s%s", !isnan(d) && signbit(d) ? "-" : "", text);
        return;
    }
    char digits[20];
    const char *sign = d < 0 ? "-" : "";
    double a = fabs(d);
    int point = shortest_digits(a, digits), n = (int)strlen(digits);
    if (a < 1e-3 || a >= 1e7)
        snprintf(buf, number_double_text_bytes, "%s%c.%sE%d", sign, digits[0],
                 n > 1 ? digits + 1 : "0", point - 1);
    else if (point <= 0)
        snprintf(buf, number_double_text_bytes, "%s0.%.*s%s", sign, -point, "000", digits);
    else if (n <= point)
        snprintf(buf, number_double_text_bytes, "%s%s%.*s.0", sign, digits, point - n, "0000000");
    else
        snprintf(buf, number_double_text_bytes, "%s%.*s.%s", sign, point, digits, digits + point);
}

/* A decimal number at *i, stepped over. */
static bool cpu_number(struct str s, uint32_t *i, uint32_t *out)
{
    uint32_t n = count_digits(s, *i, false);
    if (n == 0 || n > 4)
        return false;
    uint32_t v = 0;
    for (uint32_t end = *i + n; *i < end; (*i)++)
        v = v * 10 + (uint32_t)(s.p[*i] - '0');
    *out = v;
    return v <= cpu_number_max;
}

int number_parse_cpus(struct str s, uint16_t *cpus, int room)
{
    uint8_t seen[(cpu_number_max + 1) / 8] = {0};
    int count = 0;
    for (uint32_t i = 0; i < s.len;) {
        uint32_t first, last;
        if (!cpu_number(s, &i, &first))
            return ERR_INVALID;
        last = first;
        if (i < s.len && s.p[i] == '-') {
            i++;
            if (!cpu_number(s, &i, &last) || last < first)
                return ERR_INVALID;
        }
        for (uint32_t c = first; c <= last; c++, count++) {
            if (seen[c / 8] & 1u << c % 8)
                return ERR_INVALID;
            seen[c / 8] |= (uint8_t)(1u << c % 8);
            if (count < room)
                cpus[count] = (uint16_t)c;
        }
        if (i < s.len && (s.p[i++] != ',' || i == s.len))
            return ERR_INVALID;
    }
    return count;
}
