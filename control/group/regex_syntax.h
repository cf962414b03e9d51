/*
 * regex_syntax: RE2/J's regular expressions, rewritten for PCRE2.
 *
 * Purpose: one pass over a pattern that checks RE2/J's grammar (with its Perl extensions) and
 * writes the same expression in a plain subset of PCRE2: literals as \x{..}, groups that capture
 * nothing. Pure. Memory: the caller's buffer.
 * Failure: ERR_INVALID with RE2/J's description; ERR_TOO_LARGE: the result does not fit.
 */
#ifndef CONTROL_GROUP_REGEX_SYNTAX_H
#define CONTROL_GROUP_REGEX_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define regex_rune_max   0x10ffff
#define regex_repeat_max 1000 /* RE2/J: the largest count of {n,m} */
#define regex_growth_max 10   /* bytes written per byte read, at most */

/* The pass: what is read, what is written. */
struct regex_pass {
    const char *p, *end;
    char *out;
    size_t n, room;
    const char *why; /* set on the first error */
    bool full;
};

/* Writes a NUL-terminated pattern to out; returns its length or an error. */
int64_t regex_rewrite(struct str pattern, char *out, size_t room, const char **why);

/* The parts, for each other. Each returns false after setting why. */

/* Ends the pass with RE2/J's words; returns false. */
bool regex_fail(struct regex_pass *x, const char *why);
void regex_put(struct regex_pass *x, const char *text);
/* A literal code point, as \x{..} unless it is a letter or digit. */
void regex_put_rune(struct regex_pass *x, uint32_t rune);
/* Reads one code point of UTF-8; "invalid UTF-8". The pattern is not at its end. */
bool regex_rune(struct regex_pass *x, uint32_t *rune);
/* Reads an escape that stands for one code point, from its backslash on. */
bool regex_escape(struct regex_pass *x, uint32_t *rune);
/* \d \D \s \S \w \W and \p \P: written if there is one (1), nothing read if not (0), -1: error. */
int regex_escape_class(struct regex_pass *x);
/* A class from its [ on. */
bool regex_class(struct regex_pass *x);

#endif
