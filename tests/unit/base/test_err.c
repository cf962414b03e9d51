#include "base/err.h"
#include "base/kerr.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void names_and_texts(void)
{
    CU_ASSERT(strcmp(err_name(ERR_NO_SPACE), "ERR_NO_SPACE") == 0);
    CU_ASSERT(strcmp(err_text(ERR_NO_SPACE), "no space left on device") == 0);
    CU_ASSERT(strcmp(err_name(-9999), "ERR_?") == 0);
    CU_ASSERT(err_from_errno(ENOSPC) == ERR_NO_SPACE && err_from_errno(-ENOSPC) == ERR_NO_SPACE);
    CU_ASSERT(err_from_errno(0) == 0);
    CU_ASSERT(err_from_errno(EROFS) == ERR_PERMISSION);
    CU_ASSERT(err_from_errno(EMFILE) == ERR_FULL);
    for (int i = 1; i < 200; i++)
        CU_ASSERT(err_from_errno(i) < 0);
}

/* What a disk, a file system that is damaged, or a server that is gone answers. */
static void disks_that_fail(void)
{
    static const int all[] = {EIO,     ENXIO,  ENODEV,  ENODATA, ENOLINK,  ENOMEDIUM, EREMOTEIO,
                              EBADMSG, EILSEQ, EUCLEAN, ESTALE,  ENOTCONN, EHOSTDOWN};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        CU_ASSERT(err_from_errno(all[i]) == ERR_IO && err_from_errno(-all[i]) == ERR_IO);
    CU_ASSERT(err_from_errno(ENOTDIR) == ERR_SYSTEM);
}

static void kafka_codes(void)
{
    CU_ASSERT(KERR_UNSUPPORTED_VERSION == 35 && KERR_UNKNOWN_TOPIC_ID == 100);
    CU_ASSERT(strcmp(kerr_name(36), "TOPIC_ALREADY_EXISTS") == 0);
    CU_ASSERT(strcmp(kerr_text(36), "Topic with this name already exists.") == 0);
    CU_ASSERT(strcmp(kerr_name(32000), "UNKNOWN_SERVER_ERROR") == 0);
    CU_ASSERT(strcmp(kerr_text(0), "") == 0);
}

UNIT_MAIN("err", UNIT_CASE(names_and_texts), UNIT_CASE(disks_that_fail), UNIT_CASE(kafka_codes))
