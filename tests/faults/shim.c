/* Makes the Nth call of a process that touches a folder fail, tear or kill; loaded with LD_PRELOAD.
 *
 * Counted are open, write, fsync, link, unlink, rename (N: renameat2), mkdir and rmdir on paths below `root`, whoever makes them: Python,
 * Arrow's C++ or FAISS (its stdio streams are led through write() here).  With a `shadow` folder it also notes what a
 * power cut would leave: the content of a file at its last fsync, the names of a folder at its own last fsync.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[PATH_MAX], shadow[PATH_MAX], kinds[32];
static atomic_long count;
static long nth;
static int how, err, log_fd = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* how: k kill before, t do half of a write (all of another call) and kill, f fail once, F fail from then on (not
 * removals), a do it and say that it failed. */
void vidrag_faults(const char *root_, const char *kinds_, long nth_, int how_, int err_, const char *log, const char *shadow_) {
    snprintf(root, sizeof root, "%s", root_);
    snprintf(kinds, sizeof kinds, "%s", kinds_);
    snprintf(shadow, sizeof shadow, "%s", shadow_);
    if (*log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    nth = nth_; how = how_; err = err_; count = 0;
}

long vidrag_faults_count(void) { return count; }

__attribute__((constructor)) static void from_environment(void) {
    const char *e = getenv("VIDRAG_FAULT_ROOT"), *k = getenv("VIDRAG_FAULT_KINDS"), *n = getenv("VIDRAG_FAULT_NTH");
    const char *h = getenv("VIDRAG_FAULT_HOW"), *r = getenv("VIDRAG_FAULT_ERRNO"), *l = getenv("VIDRAG_FAULT_LOG");
    if (e && *e) vidrag_faults(e, k ? k : "owsluRNmd", n ? atol(n) : 0, h ? *h : 'f', r ? atoi(r) : EIO, l ? l : "", "");
}

static int below(int dirfd, const char *path, char *full) {
    if (!*root) return 0;
    if (path && *path == '/') snprintf(full, PATH_MAX, "%s", path);
    else {
        char link[64], base[PATH_MAX];
        if (dirfd == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
        if (path) snprintf(full, PATH_MAX, "%.2000s/%.2000s", base, path);
        else snprintf(full, PATH_MAX, "%s", base);
    }
    size_t n = strlen(root);
    return !strncmp(full, root, n) && (full[n] == '/' || !full[n]);
}

/* 0: go on; 'f': fail without doing it; 'a': do it, then fail; 't': do half of it, then die. */
static int turn(char kind, int dirfd, const char *path) {
    char full[PATH_MAX];
    int saved = errno;
    if (!below(dirfd, path, full) || !strchr(kinds, kind)) { errno = saved; return 0; }
    long at = ++count;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%ld %c %s\n", at, kind, full);
        syscall(SYS_write, log_fd, line, n);
    }
    errno = saved;
    if (nth <= 0 || at < nth) return 0;
    if (at > nth) return how == 'F' && strchr("owlmN", kind) ? 'f' : 0;
    if (how == 'k') { kill(getpid(), SIGKILL); for (;;) pause(); }
    return how == 'F' ? 'f' : how;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define AFTER(a, result) do { \
    __typeof__(result) r_ = (result); \
    if (a == 't') die(); \
    if (a == 'a' && r_ >= 0) { errno = err; return -1; } \
    return r_; } while (0)
#define BEFORE(a) do { if (a == 'f') { errno = err; return -1; } } while (0)

/* What a power cut would leave. */
static void shadow_name(char *out, char kind, ino_t ino) {
    snprintf(out, PATH_MAX, "%.3000s/%c-%lu", shadow, kind, (unsigned long)ino);
}

static void made_anew(int fd, const char *path) {
    struct stat st;
    char name[PATH_MAX];
    if (!*shadow || (path ? lstat(path, &st) : fstat(fd, &st))) return;
    shadow_name(name, S_ISDIR(st.st_mode) ? 'd' : 'f', st.st_ino);
    syscall(SYS_unlinkat, AT_FDCWD, name, 0);
}

static void made_durable(int fd) {
    struct stat st;
    char name[PATH_MAX], full[PATH_MAX], block[65536];
    if (!*shadow || !below(fd, NULL, full) || fstat(fd, &st)) return;
    shadow_name(name, S_ISDIR(st.st_mode) ? 'd' : 'f', st.st_ino);
    int out = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (S_ISDIR(st.st_mode)) {
        DIR *dir = opendir(full);
        for (struct dirent *e; dir && (e = readdir(dir));)
            if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
                int n = snprintf(block, sizeof block, "%lu %s%c", (unsigned long)e->d_ino, e->d_name, 0);
                syscall(SYS_write, out, block, n);
            }
        if (dir) closedir(dir);
    } else {
        int in = syscall(SYS_openat, AT_FDCWD, full, O_RDONLY);
        for (ssize_t n; in >= 0 && (n = syscall(SYS_read, in, block, sizeof block)) > 0;) syscall(SYS_write, out, block, n);
        if (in >= 0) syscall(SYS_close, in);
    }
    syscall(SYS_close, out);
}

static int opened(const char *symbol, int dirfd, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    struct stat st;
    int a = turn('o', dirfd, path), watched = *shadow && (flags & O_CREAT) && below(dirfd, path, full);
    int fresh = watched && lstat(full, &st);
    BEFORE(a);
    (void)symbol;
    int fd = syscall(SYS_openat, dirfd, path, flags, mode);
    if (fd >= 0 && fresh) made_anew(fd, NULL);
    if (a == 't') die();
    if (fd < 0) return fd; /* errno is set */
    if (a == 'a') { syscall(SYS_close, fd); errno = err; return -1; }
    return fd;
}

#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list v; va_start(v, flags); mode = va_arg(v, mode_t); va_end(v); }
int open(const char *path, int flags, ...) { MODE return opened("open", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened("open64", AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int d, const char *path, int flags, ...) { MODE return opened("openat", d, path, flags, mode); }
int openat64(int d, const char *path, int flags, ...) { MODE return opened("openat64", d, path, flags | O_LARGEFILE, mode); }

ssize_t write(int fd, const void *data, size_t n) {
    int a = turn('w', fd, NULL);
    BEFORE(a);
    if (a == 't') n /= 2;
    AFTER(a, REAL(write)(fd, data, n));
}

int fsync(int fd) {
    int a = turn('s', fd, NULL);
    BEFORE(a);
    int r = REAL(fsync)(fd);
    if (!r) made_durable(fd);
    AFTER(a, r);
}

int fdatasync(int fd) { return fsync(fd); }
int link(const char *from, const char *to) { int a = turn('l', AT_FDCWD, to); BEFORE(a); AFTER(a, REAL(link)(from, to)); }
int linkat(int d, const char *from, int e, const char *to, int flags) {
    int a = turn('l', e, to); BEFORE(a); AFTER(a, REAL(linkat)(d, from, e, to, flags)); }
int unlink(const char *path) { int a = turn('u', AT_FDCWD, path); BEFORE(a); AFTER(a, REAL(unlink)(path)); }
int unlinkat(int d, const char *path, int flags) {
    int a = turn(flags & AT_REMOVEDIR ? 'd' : 'u', d, path); BEFORE(a); AFTER(a, REAL(unlinkat)(d, path, flags)); }
int rmdir(const char *path) { int a = turn('d', AT_FDCWD, path); BEFORE(a); AFTER(a, REAL(rmdir)(path)); }
int rename(const char *from, const char *to) { int a = turn('R', AT_FDCWD, to); BEFORE(a); AFTER(a, REAL(rename)(from, to)); }
int renameat(int d, const char *from, int e, const char *to) {
    int a = turn('R', e, to); BEFORE(a); AFTER(a, REAL(renameat)(d, from, e, to)); }
int renameat2(int d, const char *from, int e, const char *to, unsigned flags) {
    int a = turn('N', e, to); BEFORE(a); AFTER(a, REAL(renameat2)(d, from, e, to, flags)); }
int mkdirat(int d, const char *path, mode_t mode) {
    char full[PATH_MAX];
    int a = turn('m', d, path), watched = below(d, path, full);
    BEFORE(a);
    int r = REAL(mkdirat)(d, path, mode);
    if (!r && watched) made_anew(-1, full);
    AFTER(a, r);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* stdio: streams for writing below the root go through write() above, buffered as ever. */
static ssize_t cookie_write(void *c, const char *data, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t r = write((int)(long)c, data + done, n - done);
        if (r < 0) return 0;
        done += r;
    }
    return done;
}
static int cookie_seek(void *c, off64_t *at, int whence) {
    off64_t r = lseek64((int)(long)c, *at, whence);
    if (r < 0) return -1;
    *at = r;
    return 0;
}
static int cookie_close(void *c) { return close((int)(long)c); }

static FILE *streamed(const char *path, const char *mode, FILE *(*real)(const char *, const char *)) {
    char full[PATH_MAX];
    if (*mode != 'w' || !below(AT_FDCWD, path, full)) return real(path, mode);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return NULL;
    cookie_io_functions_t calls = {NULL, cookie_write, cookie_seek, cookie_close};
    return fopencookie((void *)(long)fd, mode, calls);
}
FILE *fopen(const char *path, const char *mode) { return streamed(path, mode, REAL(fopen)); }
FILE *fopen64(const char *path, const char *mode) { return streamed(path, mode, REAL(fopen64)); }
