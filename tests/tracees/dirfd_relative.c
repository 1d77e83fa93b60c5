// what: every *at call relative to a directory descriptor, which follows the directory
// worlds: rw
// variants: dynamic static threads
// pitfalls: 23
#include "check.h"

static void use(int d, const char *tag)
{
    struct stat st;
    char a[64], b[64], buf[64];
    snprintf(a, sizeof a, "%s-a", tag);
    snprintf(b, sizeof b, "%s-b", tag);
    int fd = CHECK_OK(openat(d, a, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
    CHECK_EQ(write(fd, "data", 4), 4);
    CHECK_OK(close(fd));
    CHECK_OK(fstatat(d, a, &st, 0));
    CHECK_EQ(st.st_size, 4);
    CHECK_OK(linkat(d, a, d, b, 0));
    CHECK_OK(unlinkat(d, a, 0));
    CHECK_OK(renameat(d, b, d, a));
    CHECK_OK(symlinkat(a, d, b));
    ssize_t n = CHECK_OK(readlinkat(d, b, buf, sizeof buf));
    CHECK_EQ(n, strlen(a));
    CHECK_OK(fchmodat(d, b, 0600, 0));
    CHECK_OK(fchownat(d, b, getuid(), getgid(), AT_SYMLINK_NOFOLLOW));
    CHECK_OK(faccessat(d, b, R_OK | W_OK, 0));
    CHECK_OK(utimensat(d, b, NULL, 0));
    CHECK_OK(unlinkat(d, b, 0));
    CHECK_OK(mkdirat(d, b, 0755));
    CHECK_ERRNO(unlinkat(d, b, 0), EISDIR);
    CHECK_ERRNO(unlinkat(d, a, AT_REMOVEDIR), ENOTDIR);
    CHECK_OK(unlinkat(d, b, AT_REMOVEDIR));
    CHECK_OK(mkfifoat(d, b, 0600));
    CHECK_OK(unlinkat(d, b, 0));
    CHECK_ERRNO(unlinkat(d, a, 0x4000), EINVAL);
}

static void test(void)
{
    struct stat st;
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkdir(in("other"), 0755));
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), p = CHECK_OK(open(in("d"), O_PATH | O_CLOEXEC));
    use(d, "one");
    use(p, "two");
    // The directory moves; the descriptors go with it.
    CHECK_OK(rename(in("d"), in("other/moved")));
    CHECK_OK(mkdir(in("d"), 0755));
    use(d, "three");
    use(p, "four");
    CHECK(exists(in("other/moved/three-a")));
    CHECK_EQ(count_entries(in("d")), 0);
    CHECK_OK(fstatat(d, "../moved/one-a", &st, 0));
    CHECK_OK(fstatat(d, "..", &st, 0));
    CHECK_EQ(st.st_ino, stat_of(in("other")).st_ino);
    // An absolute path doesn't need the descriptor; a relative one does.
    CHECK_OK(fstatat(-1, in("d"), &st, 0));
    CHECK_ERRNO(fstatat(-1, "d", &st, 0), EBADF);
    CHECK_ERRNO(fstatat(9999, "d", &st, 0), EBADF);
    CHECK_ERRNO(openat(-1, "", O_RDONLY), ENOENT);
    int f = CHECK_OK(openat(d, "one-a", O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(fstatat(f, "x", &st, 0), ENOTDIR);
    CHECK_ERRNO(openat(f, "x", O_CREAT | O_WRONLY, 0644), ENOTDIR);
    int pipefd[2];
    CHECK_OK(pipe2(pipefd, O_CLOEXEC));
    CHECK_ERRNO(fstatat(pipefd[0], "x", &st, 0), ENOTDIR);
    // Removed: names in it are gone for good.
    static const char *const left[] = {"one-a", "two-a", "three-a", "four-a"};
    for (int i = 0; i < 4; i++)
        CHECK_OK(unlinkat(d, left[i], 0));
    CHECK_OK(rmdir(in("other/moved")));
    CHECK_ERRNO(openat(d, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERRNO(mkdirat(p, "x", 0755), ENOENT);
    CHECK_ERRNO(fstatat(d, "one-a", &st, 0), ENOENT);
    CHECK_OK(fstatat(d, ".", &st, 0));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_OK(fstat(d, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(count_entries(in("other")), 0);
    // Across two descriptors.
    int d1 = CHECK_OK(open(in("d"), O_PATH | O_CLOEXEC)), d2 = CHECK_OK(open(in("other"), O_PATH | O_CLOEXEC));
    CHECK_OK(mkdirat(d1, "m", 0755));
    CHECK_OK(renameat(d1, "m", d2, "n"));
    CHECK(exists(in("other/n")) && !exists(in("d/m")));
}
