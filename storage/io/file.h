/*
 * file: what the real backend's io_file holds. Private to storage/io.
 */
#ifndef STORAGE_IO_FILE_H
#define STORAGE_IO_FILE_H

struct io_file {
    int fd;
};

#endif
