#include "base/kerr.h"

const char *kerr_name(int16_t code)
{
    switch (code) {
#define KERR_CASE(name, value, text)                                                               \
    case value:                                                                                    \
        return #name;
        KERR_TABLE(KERR_CASE)
#undef KERR_CASE
    default:
        return "UNKNOWN_SERVER_ERROR";
    }
}

const char *kerr_text(int16_t code)
{
    switch (code) {
#define KERR_CASE(name, value, text)                                                               \
    case value:                                                                                    \
        return text;
        KERR_TABLE(KERR_CASE)
#undef KERR_CASE
    default:
        return kerr_text(KERR_UNKNOWN_SERVER_ERROR);
    }
}
