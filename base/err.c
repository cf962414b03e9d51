#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

const char *err_text(int err)
{
    switch (err) {
    case 0:
        return "no error";
#define ERR_CASE(name, value, text)                                                                \
    case value:                                                                                    \
        return text;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return "unknown error";
    }
}

const char *err_name(int err)
{
    switch (err) {
    case 0:
        return "OK";
#define ERR_CASE(name, value, text)                                                                \
    case value:                                                                                    \
        return #name;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return "ERR_?";
    }
}

int err_from_errno(int errnum)
{
    switch (abs(errnum)) {
    case 0:
        return 0;
    case ENOMEM:
    case ENOBUFS:
        return ERR_NO_MEMORY;
    case EINVAL:
        return ERR_INVALID;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_PERMISSION;
    case EADDRINUSE:
    case EBUSY:
        return ERR_BUSY;
    case EFBIG:
    case EMSGSIZE:
    case ENAMETOOLONG:
        return ERR_TOO_LARGE;
    case ECANCELED:
        return ERR_CANCELLED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EPIPE:
    case ECONNRESET:
        return ERR_CLOSED;
    case ENOSYS:
    case EOPNOTSUPP:
        return ERR_UNSUPPORTED;
    case EMFILE:
    case ENFILE:
        return ERR_FULL;
    case EIO:
    case ENXIO: /* the rest: how else a kernel tells of a disk, a file system or a server that fails */
    case ENODEV:
    case ENODATA:
    case ENOLINK:
    case ENOMEDIUM:
    case EREMOTEIO:
    case EBADMSG:
    case EILSEQ:
    case EUCLEAN:
    case ESTALE:
    case ENOTCONN: /* the process behind a FUSE mount is gone */
    case EHOSTDOWN:
        return ERR_IO;
    default:
        return ERR_SYSTEM;
    }
}
