/* A preloaded library that records the operations on some files, in their order.
 *
 * The files are those whose path begins with $RECORDED_FOLDER, and the folder itself. Each record in $RECORDER_LOG is a
 * struct record followed by its data: a path, or the bytes that were written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPENED = 'o', WRITTEN = 'w', TRUNCATED = 't', SYNCED = 's', CLOSED = 'c', UNLINKED = 'u', RENAMED = 'r' };
enum { MAX_FILES = 65536 };

struct record {
    int64_t what;
    int64_t fd;
    int64_t number; /* flags, an offset or a length */
    int64_t size;   /* of the bytes that follow */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char is_recorded[MAX_FILES];
static const char *folder;
static int output = -1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RECORDER_LOG");
    folder = getenv("RECORDED_FOLDER");
    if (!path || !folder || (output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) {
        fputs("the recorder needs $RECORDED_FOLDER and $RECORDER_LOG\n", stderr);
        _exit(1);
    }
}

static void note(int what, int fd, int64_t number, const void *bytes, size_t size) {
    struct record record = {what, fd, number, (int64_t)size};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)bytes, size}};
    if (writev(output, parts, 2) != (ssize_t)(sizeof record + size)) {
        fputs("the recorder cannot write its log\n", stderr);
        _exit(1);
    }
}

static void note_opened(int fd, const char *path, int flags) {
    if (fd < MAX_FILES) {
        is_recorded[fd] = 1;
        note(OPENED, fd, flags, path, strlen(path));
    }
}

/* A path that begins with the folder is absolute, so the folder descriptor of the `...at` functions does not matter. */
static int is_in_folder(const char *path) {
    return folder && output >= 0 && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_open(int fd) {
    return fd >= 0 && fd < MAX_FILES && is_recorded[fd];
}

/* The function that ours overrides. */
#define REAL(name)                 \
    static __typeof__(name) *real; \
    if (!real)                     \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);

/* Makes the call. If it concerns a recorded file, records it before any other thread makes one. */
#define RECORDED(type, should_record, call, is_done, ...) \
    if (!(should_record))                                 \
        return call;                                      \
    pthread_mutex_lock(&lock);                            \
    type result = call;                                   \
    if (is_done) {                                        \
        __VA_ARGS__;                                      \
    }                                                     \
    pthread_mutex_unlock(&lock);                          \
    return result;

#define MODE                                                   \
    mode_t mode = 0;                                           \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode = (mode_t)va_arg(rest, unsigned int);             \
        va_end(rest);                                          \
    }

#define OPEN(name)                                                                                                \
    int name(const char *path, int flags, ...) {                                                                  \
        REAL(name) MODE                                                                                           \
        RECORDED(int, is_in_folder(path), real(path, flags, mode), result >= 0, note_opened(result, path, flags)) \
    }

#define OPENAT(name)                                                                                                  \
    int name(int at, const char *path, int flags, ...) {                                                              \
        REAL(name) MODE                                                                                               \
        RECORDED(int, is_in_folder(path), real(at, path, flags, mode), result >= 0, note_opened(result, path, flags)) \
    }

#define PWRITE(name, offset_t)                                                \
    ssize_t name(int fd, const void *bytes, size_t size, offset_t at) {       \
        REAL(name)                                                            \
        RECORDED(ssize_t, is_open(fd), real(fd, bytes, size, at), result > 0, \
                 note(WRITTEN, fd, at, bytes, (size_t)result))                \
    }

#define FTRUNCATE(name, offset_t)                                                                     \
    int name(int fd, offset_t length) {                                                               \
        REAL(name)                                                                                    \
        RECORDED(int, is_open(fd), real(fd, length), result == 0, note(TRUNCATED, fd, length, "", 0)) \
    }

#define SYNC(name)                                                                    \
    int name(int fd) {                                                                \
        REAL(name)                                                                    \
        RECORDED(int, is_open(fd), real(fd), result == 0, note(SYNCED, fd, 0, "", 0)) \
    }

OPEN(open)
OPENAT(openat)
PWRITE(pwrite, off_t)
FTRUNCATE(ftruncate, off_t)
SYNC(fsync)
SYNC(fdatasync)
#ifdef __GLIBC__
OPEN(open64)
OPENAT(openat64)
PWRITE(pwrite64, off64_t)
FTRUNCATE(ftruncate64, off64_t)
#endif

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write)
    RECORDED(ssize_t, is_open(fd), real(fd, bytes, size), result > 0,
             note(WRITTEN, fd, lseek(fd, 0, SEEK_CUR) - result, bytes, (size_t)result))
}

int close(int fd) {
    REAL(close)
    RECORDED(int, is_open(fd), real(fd), 1, is_recorded[fd] = 0; note(CLOSED, fd, 0, "", 0))
}

int unlink(const char *path) {
    REAL(unlink)
    RECORDED(int, is_in_folder(path), real(path), result == 0, note(UNLINKED, -1, 0, path, strlen(path)))
}

int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat)
    RECORDED(int, is_in_folder(path), real(at, path, flags), result == 0, note(UNLINKED, -1, 0, path, strlen(path)))
}

int rename(const char *from, const char *to) {
    REAL(rename)
    char both[8192];
    int size = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
    RECORDED(int, is_in_folder(from), real(from, to), result == 0, note(RENAMED, -1, 0, both, (size_t)size))
}
