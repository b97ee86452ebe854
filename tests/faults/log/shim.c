/* Which lies does the machine tell one process? Preloaded into a node: failing and slow disks, a clock that jumps.
 *
 * FAULT_CONTROL names a file that the test writes and this library maps; FAULT_DISK a directory: only files on its
 * file system are touched. The layout of the control file is repeated in shim.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t write_errno;
    volatile int64_t sync_errno;
    volatile int64_t sync_delay_ns;
    volatile int64_t clock_offset_s;
    volatile int64_t read_errno;
    volatile int64_t syncs_to_live; /* the process dies in the so-manieth sync from now on; 0: in none */
};

static struct control *control;
static dev_t disk;
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_preadv)(int, const struct iovec *, int, off_t, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t, int);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_preadv = dlsym(RTLD_NEXT, "preadv64v2");
    real_pwritev = dlsym(RTLD_NEXT, "pwritev64v2");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("FAULT_CONTROL"), *directory = getenv("FAULT_DISK");
    struct stat found;
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0 || !directory || stat(directory, &found))
        return;
    disk = found.st_dev;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static int on_disk(int file) {
    struct stat found;
    int before = errno, yes = control && !fstat(file, &found) && S_ISREG(found.st_mode) && found.st_dev == disk;
    errno = before;
    return yes;
}

/* A write that fails has written half, as a disk does that dies in the middle. */
ssize_t write(int file, const void *bytes, size_t size) {
    if (control && control->write_errno && on_disk(file)) {
        if (size > 1)
            (void)!real_write(file, bytes, size / 2);
        errno = (int)control->write_errno;
        return -1;
    }
    return real_write(file, bytes, size);
}

/* Whether this is the sync in which the process is to die. */
static int is_last(void) { return control->syncs_to_live > 0 && !__sync_sub_and_fetch(&control->syncs_to_live, 1); }

/* Before a sync of a file on the disk; whether it may go on. */
static int may_sync(void) {
    struct timespec wait = {control->sync_delay_ns / 1000000000, control->sync_delay_ns % 1000000000};
    nanosleep(&wait, NULL);
    if (control->sync_errno)
        errno = (int)control->sync_errno;
    return !control->sync_errno;
}

ssize_t preadv64v2(int file, const struct iovec *pieces, int count, off_t at, int flags) {
    if (control && control->read_errno && on_disk(file)) {
        errno = (int)control->read_errno;
        return -1;
    }
    return real_preadv(file, pieces, count, at, flags);
}

static int synced(int file, int (*really)(int)) {
    if (on_disk(file)) {
        if (!may_sync())
            return -1;
        if (is_last())
            kill(getpid(), SIGKILL);
    }
    return really(file);
}

/* Some of the sectors of a write, as a disk has them that lost its power in the middle. */
static void tear(int file, const struct iovec *pieces, int count, off_t at) {
    static char whole[4 << 20] __attribute__((aligned(4096))); /* as O_DIRECT asks */
    size_t size = 0;
    for (int each = 0; each < count && size + pieces[each].iov_len <= sizeof whole; size += pieces[each++].iov_len)
        memcpy(whole + size, pieces[each].iov_base, pieces[each].iov_len);
    struct timespec now;
    real_clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned dice = (unsigned)now.tv_nsec, share = rand_r(&dice) % 5;
    for (size_t start = 0; start < size; start += 512)
        if ((unsigned)rand_r(&dice) % 4 < share)
            (void)!real_pwrite(file, whole + start, size - start < 512 ? size - start : 512, at + (off_t)start);
}

/* Before a write at a place; whether it may go on. One that is durable when it returns is a sync too. */
static int may_write(int file, const struct iovec *pieces, int count, off_t at) {
    if (control->write_errno) {
        size_t half = pieces[0].iov_len / 2;
        (void)!real_pwrite(file, pieces[0].iov_base, half > 512 ? half / 512 * 512 : half, at);
        errno = (int)control->write_errno;
        return 0;
    }
    if (!(fcntl(file, F_GETFL) & O_DSYNC))
        return 1;
    if (!may_sync())
        return 0;
    if (is_last()) {
        tear(file, pieces, count, at);
        kill(getpid(), SIGKILL);
    }
    return 1;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off_t at) {
    struct iovec piece = {(void *)bytes, size};
    return on_disk(file) && !may_write(file, &piece, 1, at) ? -1 : real_pwrite(file, bytes, size, at);
}

ssize_t pwritev64v2(int file, const struct iovec *pieces, int count, off_t at, int flags) {
    return on_disk(file) && !may_write(file, pieces, count, at) ? -1 : real_pwritev(file, pieces, count, at, flags);
}

ssize_t pread64(int file, void *bytes, size_t size, off_t at) {
    if (control && control->read_errno && on_disk(file)) {
        errno = (int)control->read_errno;
        return -1;
    }
    return real_pread(file, bytes, size, at);
}

int fdatasync(int file) { return synced(file, real_fdatasync); }
int fsync(int file) { return synced(file, real_fsync); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = real_clock_gettime(clock, now);
    if (!failed && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock_offset_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise))
        return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}
