/*
 * number: numbers as configuration text writes them, by Java's grammar where Kafka reads them.
 *
 * Purpose: parse and print without locale, without silent overflow. Pure; no memory of its own.
 * Failure: false (or ERR_INVALID), outputs untouched.
 */
#ifndef CONTROL_CONFIG_NUMBER_H
#define CONTROL_CONFIG_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Room for any text of number_format_double, with its NUL. */
#define number_double_text_bytes 32

/* Long.parseLong: an optional sign and decimal digits, nothing else, within int64. */
bool number_parse_long(struct str s, int64_t *out);

/* Bytes: digits with an optional k, m, g or t (powers of 1024, either case). */
bool number_parse_size(struct str s, int64_t *out);

/* Double.parseDouble: decimal or hexadecimal, NaN, Infinity, an f or d behind. At most 63 bytes. */
bool number_parse_double(struct str s, double *out);

/* Double.toString: the shortest digits that read back as d, in Java's layout ("1.0E7", "0.5"). */
void number_format_double(double d, char buf[number_double_text_bytes]);

/* "0-3,8": CPU numbers below 4096, none twice. Writes at most room of them; the count or ERR_INVALID. */
int number_parse_cpus(struct str s, uint16_t *cpus, int room);

#endif
