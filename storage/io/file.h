/*
 * file: what the real backend's io_file holds. Private to storage/io.
 */
#ifndef STORAGE_IO_FILE_H
#define STORAGE_IO_FILE_H

#include <stdbool.h>

struct io_file {
    int fd;
    bool direct; /* opened with O_DIRECT */
};

#endif
