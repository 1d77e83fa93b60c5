// what: what a descriptor of a directory can and can't do
// worlds: rw
// variants: dynamic static threads
// pitfalls: 27, 67
#include "check.h"

static void test(void)
{
    char buf[64];
    struct stat st;
    struct statfs sf;
    CHECK_OK(mkdir(in("d"), 0755));
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(read(d, buf, 1), EISDIR);
    CHECK_ERRNO(pread(d, buf, 1, 0), EISDIR);
    CHECK_ERRNO(write(d, "x", 1), EBADF);
    CHECK_ERRNO(ftruncate(d, 0), EINVAL);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, d, 0) == MAP_FAILED && errno == ENODEV);
    CHECK_OK(fsync(d));
    CHECK_OK(fdatasync(d));
    CHECK_OK(fstat(d, &st));
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(st.st_nlink, 2);
    CHECK_OK(fstatfs(d, &sf));
    CHECK_OK(fchmod(d, 0700));
    CHECK_EQ(stat_of(in("d")).st_mode & 07777, 0700);
    CHECK_OK(fchown(d, getuid(), getgid()));
    CHECK_OK(futimens(d, NULL));
    CHECK_EQ(fcntl(d, F_GETFL) & (O_ACCMODE | O_APPEND), 0);
    CHECK_OK(fchdir(d));
    CHECK_EQ(stat_of(".").st_ino, st.st_ino);
    CHECK_ERRNO(fchdir(-1), EBADF);
    CHECK_ERRNO(truncate(in("d"), 0), EISDIR);
    struct pollfd p = {d, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK(p.revents & POLLIN);
    CHECK_OK(mkdir(in("d/sub"), 0755));
    CHECK_OK(fstat(d, &st));
    CHECK_EQ(st.st_nlink, 3);
    CHECK_OK(rmdir(in("d/sub")));
    CHECK_OK(fstat(d, &st));
    CHECK_EQ(st.st_nlink, 2);
    // Many open at once, each the directory it was opened on.
    int fds[100];
    char name[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "d/s%d", i);
        CHECK_OK(mkdir(in(name), 0755));
        fds[i] = CHECK_OK(open(in(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "d/s%d", i);
        CHECK_OK(fstat(fds[i], &st));
        CHECK_EQ(st.st_ino, stat_of(in(name)).st_ino);
        CHECK_EQ(count_entries(in(name)), 0);
    }
}
