#include "base/uuid.h"

#include "base/err.h"
#include "base/rng.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct uuid uuid_random(struct rng *rng)
{
    struct uuid id;
    do {
        rng_fill(rng, id.b, sizeof(id.b));
        id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40); /* version 4 */
        id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80); /* RFC 4122 variant */
    } while ((id.b[0] >> 2) == 62);                   /* its text would start with '-' */
    return id;
}

void uuid_format(const struct uuid *id, char out[UUID_TEXT_LEN + 1])
{
    for (int i = 0, o = 0; i < 16; i += 3) {
        uint32_t v = (uint32_t)id->b[i] << 16;
        if (i + 1 < 16)
            v |= (uint32_t)id->b[i + 1] << 8;
        if (i + 2 < 16)
            v |= id->b[i + 2];
        for (int k = 0; k < 4 && o < UUID_TEXT_LEN; k++)
            out[o++] = alphabet[(v >> (18 - 6 * k)) & 63];
    }
    out[UUID_TEXT_LEN] = '\0';
}

int uuid_parse(struct str text, struct uuid *out)
{
    if (text.p == NULL || text.len != UUID_TEXT_LEN)
        return ERR_INVALID;
    struct uuid id = UUID_ZERO;
    uint32_t acc = 0;
    int bits = 0, n = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        const char *at = text.p[i] ? strchr(alphabet, text.p[i]) : NULL;
        if (!at)
            return ERR_INVALID;
        acc = (acc << 6) | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (n < 16)
                id.b[n++] = (uint8_t)(acc >> bits);
        }
    }
    if (n != 16 || (acc & 15) != 0)
        return ERR_INVALID;
    *out = id;
    return 0;
}
