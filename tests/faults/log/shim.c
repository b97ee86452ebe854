/* Which lies does the machine tell one process? Preloaded into a node: failing and slow disks, a clock that jumps.
 *
 * FAULT_CONTROL names a file that the test writes and this library maps; FAULT_DISK a directory: only files on its
 * file system are touched. The layout of the control file is repeated in shim.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t write_errno;
    volatile int64_t sync_errno;
    volatile int64_t sync_delay_ns;
    volatile int64_t clock_offset_s;
};

static const struct control *control;
static dev_t disk;
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("FAULT_CONTROL"), *directory = getenv("FAULT_DISK");
    struct stat found;
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0 || !directory || stat(directory, &found))
        return;
    disk = found.st_dev;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, file, 0);
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

static int synced(int file, int (*really)(int)) {
    if (control && (control->sync_errno || control->sync_delay_ns) && on_disk(file)) {
        struct timespec wait = {control->sync_delay_ns / 1000000000, control->sync_delay_ns % 1000000000};
        nanosleep(&wait, NULL);
        if (control->sync_errno) {
            errno = (int)control->sync_errno;
            return -1;
        }
    }
    return really(file);
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
