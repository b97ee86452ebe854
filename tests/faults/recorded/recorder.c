/* What does a process tell its disk, in which order? Preloaded into it, writes that to a file.
 *
 * RECORD names the file, RECORDED the directory whose files count. Each call is carried out and noted under one lock,
 * so the order is the one in which things happened. The layout of an entry is repeated in record.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, DURABLE_WRITE, SYNC, DATASYNC, TRUNCATE, PUNCH, RENAME, MKDIR, UNLINK, RMDIR, CREATE };

struct entry {
    uint32_t kind, path, other; /* how long the two paths are */
    uint64_t offset, length;    /* of a write: the bytes follow the paths */
} __attribute__((packed));

static int record = -1;
static char root[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t, int);

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pwritev = dlsym(RTLD_NEXT, "pwritev64v2");
    const char *file = getenv("RECORD"), *directory = getenv("RECORDED");
    if (!file || !directory || !realpath(directory, root))
        return;
    record = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The path within the directory, or NULL if it is outside. */
static const char *inside(const char *path) {
    size_t size = strlen(root);
    return record >= 0 && !strncmp(path, root, size) && (path[size] == '/' || !path[size]) ? path + size : NULL;
}

static const char *path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int before = errno;
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = before;
    if (size < 0)
        return NULL;
    path[size] = 0;
    return inside(path);
}

static const char *whole_path(const char *path, char *into) {
    if (path[0] == '/')
        return inside(path);
    if (!getcwd(into, PATH_MAX))
        return NULL;
    strncat(into, "/", PATH_MAX - strlen(into) - 1);
    strncat(into, path, PATH_MAX - strlen(into) - 1);
    return inside(into);
}

static void note(uint32_t kind, const char *path, const char *other, uint64_t offset, const struct iovec *pieces,
                 int count, uint64_t length) {
    struct entry entry = {kind, (uint32_t)strlen(path), other ? (uint32_t)strlen(other) : 0, offset, length};
    (void)!real_write(record, &entry, sizeof entry);
    (void)!real_write(record, path, entry.path);
    if (other)
        (void)!real_write(record, other, entry.other);
    uint64_t left = length;
    for (int each = 0; each < count && left; each++) {
        size_t size = pieces[each].iov_len < left ? pieces[each].iov_len : left;
        (void)!real_write(record, pieces[each].iov_base, size);
        left -= size;
    }
}

static ssize_t noted(int file, const struct iovec *pieces, int count, off_t at, ssize_t done) {
    char path[PATH_MAX];
    const char *name = done > 0 ? path_of(file, path) : NULL;
    if (name)
        note(fcntl(file, F_GETFL) & O_DSYNC ? DURABLE_WRITE : WRITE, name, NULL, (uint64_t)at, pieces, count, done);
    return done;
}

ssize_t write(int file, const void *bytes, size_t size) {
    struct iovec piece = {(void *)bytes, size};
    if (record < 0)
        return real_write(file, bytes, size);
    pthread_mutex_lock(&lock);
    off_t at = lseek(file, 0, SEEK_CUR);
    ssize_t done = noted(file, &piece, 1, at < 0 ? 0 : at, real_write(file, bytes, size));
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off_t at) {
    struct iovec piece = {(void *)bytes, size};
    pthread_mutex_lock(&lock);
    ssize_t done = noted(file, &piece, 1, at, real_pwrite(file, bytes, size, at));
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags) {
    pthread_mutex_lock(&lock);
    ssize_t done = noted(file, pieces, count, at, real_pwritev(file, pieces, count, at, flags));
    pthread_mutex_unlock(&lock);
    return done;
}

static int noted_on(int file, uint32_t kind, uint64_t offset, uint64_t length, int failed) {
    char path[PATH_MAX];
    const char *name = failed ? NULL : path_of(file, path);
    if (name)
        note(kind, name, NULL, offset, NULL, 0, length);
    return failed;
}

#define LOCKED(type, call)                                                                                             \
    pthread_mutex_lock(&lock);                                                                                         \
    type result = call;                                                                                                \
    pthread_mutex_unlock(&lock);                                                                                       \
    return result

int fsync(int file) {
    REAL(fsync);
    LOCKED(int, noted_on(file, SYNC, 0, 0, real(file)));
}

int fdatasync(int file) {
    REAL(fdatasync);
    LOCKED(int, noted_on(file, DATASYNC, 0, 0, real(file)));
}

int ftruncate64(int file, off_t size) {
    REAL(ftruncate64);
    LOCKED(int, noted_on(file, TRUNCATE, (uint64_t)size, 0, real(file, size)));
}

int fallocate(int file, int mode, off_t at, off_t size) {
    REAL(fallocate);
    LOCKED(int, noted_on(file, PUNCH, (uint64_t)at, (uint64_t)size, real(file, mode, at, size)));
}

static int noted_at(const char *path, const char *other, uint32_t kind, int failed) {
    char whole[PATH_MAX], whole_other[PATH_MAX];
    const char *name = failed ? NULL : whole_path(path, whole);
    if (name)
        note(kind, name, other ? whole_path(other, whole_other) : NULL, 0, NULL, 0, 0);
    return failed;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    LOCKED(int, noted_at(from, to, RENAME, real(from, to)));
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    LOCKED(int, noted_at(path, NULL, MKDIR, real(path, mode)));
}

int unlink(const char *path) {
    REAL(unlink);
    LOCKED(int, noted_at(path, NULL, UNLINK, real(path)));
}

int rmdir(const char *path) {
    REAL(rmdir);
    LOCKED(int, noted_at(path, NULL, RMDIR, real(path)));
}

static int created(const char *path, int flags, int file) {
    char whole[PATH_MAX];
    const char *name = file >= 0 && flags & O_CREAT ? whole_path(path, whole) : NULL;
    if (name) {
        note(CREATE, name, NULL, 0, NULL, 0, 0);
        if (flags & O_TRUNC)
            note(TRUNCATE, name, NULL, 0, NULL, 0, 0);
    }
    return file;
}

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    real = dlsym(RTLD_NEXT, "open64");
    __builtin_va_list rest;
    __builtin_va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? __builtin_va_arg(rest, mode_t) : 0;
    __builtin_va_end(rest);
    LOCKED(int, created(path, flags, real(path, flags, mode)));
}
