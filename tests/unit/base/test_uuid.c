#include "base/err.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "tests/unit/unit.h"

static void known_text(void)
{
    struct uuid id;
    for (int i = 0; i < 16; i++)
        id.b[i] = (uint8_t)i;
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&id, text);
    CU_ASSERT_STRING_EQUAL(text, "AAECAwQFBgcICQoLDA0ODw");
    CU_ASSERT(uuid_is_zero(&UUID_ZERO) && !uuid_is_zero(&id));
}

static void round_trip(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 10000; i++) {
        struct uuid id = uuid_random(&rng), back = UUID_ZERO;
        char text[UUID_TEXT_LEN + 1];
        uuid_format(&id, text);
        CU_ASSERT_FATAL(text[0] != '-' && strlen(text) == UUID_TEXT_LEN);
        CU_ASSERT_FATAL(uuid_parse(str_from(text), &back) == 0 && uuid_eq(&id, &back));
    }
}

static void bad_text(void)
{
    struct uuid id = {{9}};
    const char *bad[] = {"", "AAECAwQFBgcICQoLDA0OD", "AAECAwQFBgcICQoLDA0ODww",
                         "AAECAwQFBgcICQoLDA0OD/", "AAECAwQFBgcICQoLDA0ODx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT(uuid_parse(str_from(bad[i]), &id) == ERR_INVALID && id.b[0] == 9);
    CU_ASSERT(uuid_parse(STR_NULL, &id) == ERR_INVALID);
}

UNIT_MAIN("uuid", UNIT_CASE(known_text), UNIT_CASE(round_trip), UNIT_CASE(bad_text))
