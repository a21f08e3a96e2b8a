/* The machine below a process (LD_PRELOAD): its clock, and the disk below its SQLite files.

   The file MACHINE holds three numbers of eight bytes, shared with the test: by how many seconds
   the clock that tells the date is off (CLOCK_MONOTONIC, which only counts, is left as it is, as
   it is where a real clock is set), the errno that writes to a SQLite file meet, or 0, and how
   many of these still go well before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile struct { long long moved, fails, left; } none, *now_is = &none;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("MACHINE");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    int both = PROT_READ | PROT_WRITE;
    void *found = file < 0 ? MAP_FAILED : mmap(0, sizeof none, both, MAP_SHARED, file, 0);
    if (found == MAP_FAILED)
        abort();
    now_is = found;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += now_is->moved;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed && now)
        now->tv_sec += now_is->moved;
    return failed;
}

time_t time(time_t *kept) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (kept)
        *kept = now.tv_sec;
    return now.tv_sec;
}

/* Whether a write to this file has to fail. The index of a WAL (-shm) is memory, not disk. */
static int refused(int file) {
    char link[64], path[4096];
    if (!now_is->fails)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    if (!strstr(path, ".sqlite3") || strstr(path, "-shm"))
        return 0;
    if (__sync_fetch_and_sub(&now_is->left, 1) > 0)
        return 0;
    errno = (int)now_is->fails;
    return 1;
}

ssize_t write(int file, const void *data, size_t size) {
    return refused(file) ? -1 : syscall(SYS_write, file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    return refused(file) ? -1 : syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return pwrite64(file, data, size, at);
}
