// Shared frame of the tracees: tiny self-checking programs that must pass natively and in a view.
//
// A tracee defines `static void test(void)`. Globals `dir` (argv[1], the directory under test) and `out` (argv[2], an ordinary
// writable directory outside it) are set before. A failed check prints file:line, the expression, what it got and
// what it expected, and ends the process with status 1. Status 77 means "this kernel cannot do it" (see SKIP).
//
// A tracee may define USES_HELPER and `static int helper(int argc, char **argv)`: it runs instead of test() when argv[1] begins
// with "--" or CHECK_HELPER is in the environment. So a tracee is also the program its exec tests run.
//
// With CHECK_NO_MAIN the program has a main of its own and uses only the macros.
// With -DCHECK_THREADS the test runs on a thread that is not the leader, while three other threads open and stat files.
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static const char *dir UNUSED, *out UNUSED;
static volatile int check_stop UNUSED;

__attribute__((noreturn, format(printf, 4, 5), unused)) static void check_fail(const char *file, int line, const char *expr,
                                                                               const char *fmt, ...)
{
    char text[2048];
    const char *base = strrchr(file, '/');
    int n = snprintf(text, sizeof text, "%s:%d: %s: ", base ? base + 1 : file, line, expr);
    va_list ap;
    va_start(ap, fmt);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof text - 2)
        n = sizeof text - 2;
    text[n++] = '\n';
    if (write(2, text, (size_t)n) < 0) {
    }
    _exit(1);
}

#define CHECK(c)                                                                                                                 \
    do {                                                                                                                         \
        if (!(c))                                                                                                                \
            check_fail(__FILE__, __LINE__, #c, "got false (errno %d, %s), expected true", errno, strerror(errno));               \
    } while (0)

// Integer equality; prints both values.
#define CHECK_EQ(got, want)                                                                                                      \
    do {                                                                                                                         \
        long long g_ = (long long)(got), w_ = (long long)(want);                                                                 \
        if (g_ != w_)                                                                                                            \
            check_fail(__FILE__, __LINE__, #got, "got %lld (0x%llx), expected %s = %lld (0x%llx); errno %d, %s", g_, g_, #want,  \
                       w_, w_, errno, strerror(errno));                                                                          \
    } while (0)

// String equality.
#define CHECK_STR(got, want)                                                                                                     \
    do {                                                                                                                         \
        const char *g_ = (got), *w_ = (want);                                                                                    \
        if (strcmp(g_, w_))                                                                                                      \
            check_fail(__FILE__, __LINE__, #got, "got \"%s\", expected \"%s\"", g_, w_);                                         \
    } while (0)

// The call must not return -1; gives its value.
#define CHECK_OK(e)                                                                                                              \
    ({                                                                                                                           \
        errno = 0;                                                                                                               \
        __auto_type r_ = (e);                                                                                                    \
        if ((long)r_ == -1L)                                                                                                     \
            check_fail(__FILE__, __LINE__, #e, "got -1, errno %d (%s), expected success", errno, strerror(errno));               \
        r_;                                                                                                                      \
    })

// The call must return -1 with this errno.
#define CHECK_ERRNO(e, want)                                                                                                     \
    do {                                                                                                                         \
        errno = 0;                                                                                                               \
        long r_ = (long)(e);                                                                                                     \
        int e_ = errno;                                                                                                          \
        if (r_ != -1 || e_ != (want))                                                                                            \
            check_fail(__FILE__, __LINE__, #e, "got %ld, errno %d (%s), expected -1, %s (%s)", r_, e_, strerror(e_), #want,      \
                       strerror(want));                                                                                          \
    } while (0)

// The call must return -1 with one of two errnos (where Linux filesystems differ).
#define CHECK_ERRNO2(e, want, other)                                                                                             \
    do {                                                                                                                         \
        errno = 0;                                                                                                               \
        long r_ = (long)(e);                                                                                                     \
        int e_ = errno;                                                                                                          \
        if (r_ != -1 || (e_ != (want) && e_ != (other)))                                                                         \
            check_fail(__FILE__, __LINE__, #e, "got %ld, errno %d (%s), expected -1, %s or %s", r_, e_, strerror(e_), #want,     \
                       #other);                                                                                                  \
    } while (0)

// This kernel or sandbox lacks what the test is about. The harness accepts it only if it also happens natively.
#define SKIP(why)                                                                                                                \
    do {                                                                                                                         \
        fprintf(stderr, "skipped: %s\n", why);                                                                                   \
        _exit(77);                                                                                                               \
    } while (0)

// A name inside the directory under test; one of 16 rotating buffers of the thread.
UNUSED static char *join(const char *base, const char *name)
{
    static __thread char bufs[16][PATH_MAX + 512];
    static __thread unsigned next;
    char *b = bufs[next++ % 16];
    snprintf(b, sizeof bufs[0], "%s/%s", base, name);
    return b;
}
UNUSED static char *in(const char *name) { return join(dir, name); }
UNUSED static char *outside(const char *name) { return join(out, name); }

// Repetitions of a loop test: n, times VIEW_TEST_SCALE percent.
UNUSED static int loops(int n)
{
    const char *s = getenv("VIEW_TEST_SCALE");
    long long v = s ? (long long)n * atoi(s) / 100 : n;
    return v < 1 ? 1 : (int)v;
}

UNUSED static void check_write_file(const char *file, int line, const char *path, const char *data)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, data, strlen(data)) != (ssize_t)strlen(data))
        check_fail(file, line, path, "cannot write: errno %d (%s)", errno, strerror(errno));
    CHECK_OK(close(fd));
}
#define write_file(path, data) check_write_file(__FILE__, __LINE__, path, data)

// Reads a whole small file; the result is NUL-terminated and lives until the thread's next call.
UNUSED static char *check_read_file(const char *file, int line, const char *path)
{
    static __thread char buf[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        check_fail(file, line, path, "cannot open: errno %d (%s)", errno, strerror(errno));
    size_t n = 0;
    for (;;) {
        ssize_t r = read(fd, buf + n, sizeof buf - 1 - n);
        if (r < 0 && errno == EINTR)
            continue;
        CHECK(r >= 0);
        if (r == 0)
            break;
        n += (size_t)r;
    }
    buf[n] = 0;
    CHECK_OK(close(fd));
    return buf;
}
#define read_file(path) check_read_file(__FILE__, __LINE__, path)
#define CHECK_CONTENT(path, want) CHECK_STR(read_file(path), want)

UNUSED static struct stat check_stat_of(const char *file, int line, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        check_fail(file, line, path, "cannot lstat: errno %d (%s)", errno, strerror(errno));
    return st;
}
#define stat_of(path) check_stat_of(__FILE__, __LINE__, path)

UNUSED static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

// Copies a file with its mode set to `mode`.
UNUSED static void copy_file(const char *from, const char *to, mode_t mode)
{
    static __thread char buf[65536];
    int a = CHECK_OK(open(from, O_RDONLY | O_CLOEXEC)), b = CHECK_OK(open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700));
    ssize_t n;
    while ((n = CHECK_OK(read(a, buf, sizeof buf))) > 0)
        CHECK_EQ(write(b, buf, (size_t)n), n);
    CHECK_OK(fchmod(b, mode));
    CHECK_OK(close(a));
    CHECK_OK(close(b));
}

UNUSED static int wait_status(pid_t pid)
{
    int st;
    while (waitpid(pid, &st, 0) == -1)
        CHECK(errno == EINTR);
    return st;
}

// The child must have ended with status 0.
#define wait_ok(pid)                                                                                                             \
    do {                                                                                                                         \
        int s_ = wait_status(pid);                                                                                               \
        if (s_)                                                                                                                  \
            check_fail(__FILE__, __LINE__, "child", "got wait status 0x%x, expected exit 0", s_);                                \
    } while (0)

// Runs f(arg) in a forked child; status 0 when it returns.
UNUSED static pid_t spawn(void (*f)(void *), void *arg)
{
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        f(arg);
        _exit(0);
    }
    return pid;
}

UNUSED static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) {
    }
}

UNUSED static void on_signal(int sig, void (*handler)(int), int flags)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    CHECK_OK(sigaction(sig, &sa, NULL));
}

UNUSED static void every_us(long us)
{
    struct itimerval it = {{0, us}, {0, us}};
    CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
}

// Number of entries of a directory, without "." and "..".
UNUSED static int count_entries(const char *path)
{
    DIR *d = opendir(path);
    CHECK(d != NULL);
    int n = 0;
    struct dirent *e;
    while ((e = readdir(d)) != NULL)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

// Two anonymous shared pages for counters that cross fork.
UNUSED static void *shared_page(void)
{
    return CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

#ifndef CHECK_NO_MAIN
static void test(void);
#ifdef USES_HELPER
static int helper(int argc, char **argv);
#endif

#ifdef CHECK_THREADS
static sigset_t check_mask;
static void *check_main(void *a)
{
    (void)a;
    pthread_sigmask(SIG_SETMASK, &check_mask, NULL);
    test();
    _exit(0);
}
static void *check_noise(void *a)
{
    (void)a;
    while (!check_stop) {
        struct stat st;
        CHECK_OK(stat(dir, &st));
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(fd >= 0 || errno == EMFILE);
        if (fd >= 0) {
            CHECK_OK(fstat(fd, &st));
            close(fd);
        }
        CHECK_ERRNO(stat("/nowhere/at/all", &st), ENOENT);
        fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 || errno == EMFILE);
        if (fd >= 0)
            close(fd);
        usleep(200);
    }
    return NULL;
}
#endif

int main(int argc, char **argv)
{
#ifdef USES_HELPER
    if ((argc >= 2 && !strncmp(argv[1], "--", 2)) || getenv("CHECK_HELPER"))
        return helper(argc, argv);
#endif
    if (argc != 3) {
        fprintf(stderr, "usage: %s DIR OUTSIDE\n", argv[0]);
        return 2;
    }
    dir = argv[1];
    out = argv[2];
    umask(022);
#ifdef CHECK_THREADS
    pthread_t t;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &check_mask);
    CHECK_EQ(pthread_create(&t, NULL, check_main, NULL), 0);
    for (int i = 0; i < 2; i++) {
        int error;
        // On a busy machine there may be no room for a thread at this moment.
        while ((error = pthread_create(&t, NULL, check_noise, NULL)) == EAGAIN)
            usleep(10000);
        CHECK_EQ(error, 0);
    }
    check_noise(NULL);
    pause();
#endif
    test();
    return 0;
}
#endif // CHECK_NO_MAIN
#endif
