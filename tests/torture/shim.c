/* Loaded before libc (LD_PRELOAD): fails, or kills the process, at one call that touches a folder.

   SHIM_UNDER  the folder; a call counts when its path, or what its descriptor stands for, lies there
   SHIM_COUNT  a file that gets one byte for every such call: its size is their number
   SHIM_AT     the number of the call, from 1 on, at which it happens; 0: never
   SHIM_DO     an errno: the call fails with it;  -9: the process is killed before the call;
               -10: the same, with half of what was to be written in the file
   SHIM_LASTS  1: every later call of that kind fails as well

   Children are left alone: the variables count for the process that first has them. One that was
   forked begins by calling `begin`. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char under[4096];
static long at, seen, lasts;
static int what, count = -1;
static pid_t owner;
static const char *hit;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) void begin(void) {
    const char *folder = getenv("SHIM_UNDER"), *file = getenv("SHIM_COUNT");
    if (!folder || !file) return;
    snprintf(under, sizeof under, "%s", folder);
    at = atol(getenv("SHIM_AT"));
    what = atoi(getenv("SHIM_DO"));
    lasts = atol(getenv("SHIM_LASTS"));
    count = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    owner = getpid();
    unsetenv("SHIM_UNDER");
}

static int lies_under(const char *path) {
    size_t length = strlen(under);
    char whole[8192];
    if (!path) return 0;
    if (path[0] != '/') {
        char here[4096];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return !strncmp(path, under, length) && (path[length] == '/' || !path[length]);
}

static int is_under(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = REAL(readlink)(link, path, sizeof path - 1);
    if (length <= 0 || path[0] != '/') return 0; /* a pipe has no path */
    path[length] = 0;
    return lies_under(path);
}

/* Whether this call is to fail; errno then says how. `here`: -1, or where half is written first. */
static int fails(const char *name, int concerns, int here, const void *bytes, size_t size) {
    if (count < 0 || getpid() != owner || !concerns) return 0;
    int saved = errno;
    seen++;
    if (REAL(write)(count, "x", 1) != 1) abort();
    errno = saved;
    int again = lasts && hit && !strcmp(hit, name);
    if (seen != at && !again) return 0;
    hit = name;
    if (what == -10 && here >= 0) REAL(write)(here, bytes, size / 2);
    if (what < 0) kill(getpid(), SIGKILL);
    errno = what;
    return 1;
}

#define PATH(path) fails(__func__, lies_under(path), -1, 0, 0)
#define HERE(fd) fails(__func__, is_under(fd), -1, 0, 0)

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = va_arg(more, mode_t);                                          \
        va_end(more);                                                                \
        return PATH(path) ? -1 : REAL(name)(path, flags, mode);                      \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                 \
    int name(int folder, const char *path, int flags, ...) {                         \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = va_arg(more, mode_t);                                          \
        va_end(more);                                                                \
        return PATH(path) ? -1 : REAL(name)(folder, path, flags, mode);              \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t size) {
    return fails("write", is_under(fd), fd, bytes, size) ? -1 : REAL(write)(fd, bytes, size);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    return HERE(fd) ? -1 : REAL(writev)(fd, parts, n);
}
ssize_t read(int fd, void *bytes, size_t size) {
    return HERE(fd) ? -1 : REAL(read)(fd, bytes, size);
}
ssize_t pread(int fd, void *bytes, size_t size, off_t place) {
    return HERE(fd) ? -1 : REAL(pread)(fd, bytes, size, place);
}
ssize_t pread64(int fd, void *bytes, size_t size, off64_t place) {
    return HERE(fd) ? -1 : REAL(pread64)(fd, bytes, size, place);
}
int fsync(int fd) { return HERE(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return HERE(fd) ? -1 : REAL(fdatasync)(fd); }
int close(int fd) {
    if (!HERE(fd)) return REAL(close)(fd);
    int saved = errno;
    REAL(close)(fd); /* as Linux does: the descriptor is gone whatever is said */
    errno = saved;
    return -1;
}
int fstat(int fd, struct stat *found) { return HERE(fd) ? -1 : REAL(fstat)(fd, found); }
int fstat64(int fd, struct stat64 *found) { return HERE(fd) ? -1 : REAL(fstat64)(fd, found); }
int stat(const char *path, struct stat *found) {
    return PATH(path) ? -1 : REAL(stat)(path, found);
}
int stat64(const char *path, struct stat64 *found) {
    return PATH(path) ? -1 : REAL(stat64)(path, found);
}
int lstat(const char *path, struct stat *found) {
    return PATH(path) ? -1 : REAL(lstat)(path, found);
}
int lstat64(const char *path, struct stat64 *found) {
    return PATH(path) ? -1 : REAL(lstat64)(path, found);
}
int fstatat(int folder, const char *path, struct stat *found, int flags) {
    return PATH(path) ? -1 : REAL(fstatat)(folder, path, found, flags);
}
int fstatat64(int folder, const char *path, struct stat64 *found, int flags) {
    return PATH(path) ? -1 : REAL(fstatat64)(folder, path, found, flags);
}
DIR *opendir(const char *path) { return PATH(path) ? NULL : REAL(opendir)(path); }
int ftruncate(int fd, off_t size) { return HERE(fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return HERE(fd) ? -1 : REAL(ftruncate64)(fd, size); }
int rename(const char *old, const char *new) { return PATH(new) ? -1 : REAL(rename)(old, new); }
int renameat(int a, const char *old, int b, const char *new) {
    return PATH(new) ? -1 : REAL(renameat)(a, old, b, new);
}
int link(const char *old, const char *new) { return PATH(new) ? -1 : REAL(link)(old, new); }
int linkat(int a, const char *old, int b, const char *new, int flags) {
    return PATH(new) ? -1 : REAL(linkat)(a, old, b, new, flags);
}
int unlink(const char *path) { return PATH(path) ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) {
    return PATH(path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int mkdir(const char *path, mode_t mode) { return PATH(path) ? -1 : REAL(mkdir)(path, mode); }
int rmdir(const char *path) { return PATH(path) ? -1 : REAL(rmdir)(path); }
int flock(int fd, int operation) { return HERE(fd) ? -1 : REAL(flock)(fd, operation); }
