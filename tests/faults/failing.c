/* LD_PRELOAD: call number FAIL_AT of write, pwrite64, fsync or rename on a path with FAIL_BELOW in it fails with FAIL_ERRNO.
   Counts calls from 1 on, into the file FAIL_COUNT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static int fails(const char *path) {
    const char *below = getenv("FAIL_BELOW");
    if (!below || !strstr(path, below)) return 0;
    long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    const char *count = getenv("FAIL_COUNT");
    if (count) {
        char line[32];
        int length = snprintf(line, sizeof line, "%ld", number);
        int file = open(count, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
        if (file >= 0) { real(file, line, length); close(file); }
    }
    if (number != atol(getenv("FAIL_AT"))) return 0;
    errno = atoi(getenv("FAIL_ERRNO"));
    return 1;
}

static int fails_at(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

ssize_t write(int file, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return fails_at(file) ? -1 : real(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return fails_at(file) ? -1 : real(file, data, size, offset);
}

int fsync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return fails_at(file) ? -1 : real(file);
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    return fails(to) ? -1 : real(from, to);
}
