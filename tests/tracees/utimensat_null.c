// what: utimensat and its older forms: NULL path, NOW, OMIT, nanoseconds, after 2038
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21
#include "check.h"
#include <utime.h>

static void is(const char *path, long as, long an, long ms, long mn)
{
    struct stat s = stat_of(path);
    CHECK_EQ(s.st_atim.tv_sec, as);
    CHECK_EQ(s.st_atim.tv_nsec, an);
    CHECK_EQ(s.st_mtim.tv_sec, ms);
    CHECK_EQ(s.st_mtim.tv_nsec, mn);
}

static void test(void)
{
    char *f = in("f");
    write_file(f, "x");
    CHECK_OK(symlink("f", in("l")));
    struct timespec t[2] = {{1000000001, 123456789}, {1100000002, 987654321}};
    CHECK_OK(utimensat(AT_FDCWD, f, t, 0));
    is(f, 1000000001, 123456789, 1100000002, 987654321);
    int fd = CHECK_OK(open(f, O_RDONLY | O_CLOEXEC));
    struct timespec u[2] = {{4102444800, 1}, {4102444801, 999999999}};
    CHECK_OK(syscall(SYS_utimensat, fd, NULL, u, 0));
    is(f, 4102444800, 1, 4102444801, 999999999);
    struct timespec omit[2] = {{0, UTIME_OMIT}, {5, 5}};
    CHECK_OK(futimens(fd, omit));
    is(f, 4102444800, 1, 5, 5);
    struct timespec both[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    struct stat before = stat_of(f);
    CHECK_OK(utimensat(AT_FDCWD, f, both, 0));
    CHECK_EQ(stat_of(f).st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    struct timespec old[2] = {{-1000, 0}, {-2000, 500}};
    CHECK_OK(utimensat(AT_FDCWD, f, old, 0));
    is(f, -1000, 0, -2000, 500);

    time_t now = time(NULL);
    struct timespec n[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    CHECK_OK(utimensat(AT_FDCWD, f, n, 0));
    CHECK(labs(stat_of(f).st_mtim.tv_sec - now) <= 2);
    CHECK_OK(utimensat(AT_FDCWD, f, t, 0));
    CHECK_OK(utimensat(AT_FDCWD, f, NULL, 0));
    CHECK(labs(stat_of(f).st_atim.tv_sec - now) <= 2);

    // The link itself, and the file through it.
    CHECK_OK(utimensat(AT_FDCWD, in("l"), t, AT_SYMLINK_NOFOLLOW));
    is(in("l"), 1000000001, 123456789, 1100000002, 987654321);
    CHECK(stat_of(f).st_mtim.tv_sec >= now - 2);
    CHECK_OK(utimensat(AT_FDCWD, in("l"), omit, 0));
    CHECK_EQ(stat_of(f).st_mtim.tv_sec, 5);

    struct timespec bad[2] = {{1, 1000000000}, {1, 0}}, neg[2] = {{1, 0}, {1, -1}};
    CHECK_ERRNO(utimensat(AT_FDCWD, f, bad, 0), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, f, neg, 0), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, in("missing"), bad, 0), ENOENT);
    CHECK_ERRNO(utimensat(AT_FDCWD, in("missing"), t, 0), ENOENT);
    CHECK_OK(utimensat(AT_FDCWD, in("missing"), both, 0)); // nothing to change: the path is not even looked up
    CHECK_ERRNO(utimensat(AT_FDCWD, f, t, 0x4000), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, "", t, 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, f, (void *)8, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_utimensat, AT_FDCWD, NULL, t, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_utimensat, -1, NULL, t, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_utimensat, fd, NULL, t, AT_SYMLINK_NOFOLLOW), EINVAL);
    CHECK_ERRNO2(utimensat(AT_FDCWD, "/etc/passwd", t, 0), EPERM, EROFS);

    struct timeval tv[2] = {{7, 8}, {9, 10}};
    CHECK_OK(utimes(f, tv));
    is(f, 7, 8000, 9, 10000);
    struct timeval tv2[2] = {{7, 1000000}, {9, 10}};
    CHECK_ERRNO(syscall(SYS_utimes, f, tv2), EINVAL);
    struct utimbuf ub = {11, 12};
    CHECK_OK(utime(f, &ub));
    is(f, 11, 0, 12, 0);
    struct timeval tv3[2] = {{13, 1}, {14, 2}};
    CHECK_OK(syscall(SYS_futimesat, AT_FDCWD, f, tv3));
    is(f, 13, 1000, 14, 2000);
    CHECK_OK(syscall(SYS_futimesat, fd, NULL, tv));
    is(f, 7, 8000, 9, 10000);
    // A descriptor opened with O_PATH only names the file.
    int p = CHECK_OK(open(f, O_PATH | O_CLOEXEC));
    CHECK_ERRNO(futimens(p, t), EBADF);
    CHECK_OK(utimensat(p, "", t, AT_EMPTY_PATH));
    is(f, 1000000001, 123456789, 1100000002, 987654321);
}
