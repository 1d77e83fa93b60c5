// what: O_TMPFILE and giving it a name
// worlds: rw
// variants: dynamic static threads
// pitfalls: 27
#include "check.h"

static char *link_of(int fd)
{
    static char b[64];
    snprintf(b, sizeof b, "/proc/self/fd/%d", fd);
    return b;
}

static void test(void)
{
    struct stat st;
    char buf[PATH_MAX];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EOPNOTSUPP)
        SKIP("no O_TMPFILE here");
    CHECK_OK(fd);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    CHECK_EQ(st.st_uid, geteuid());
    CHECK_EQ(st.st_dev, stat_of(dir).st_dev);
    CHECK_EQ(count_entries(dir), 0);
    CHECK_EQ(write(fd, "hidden", 6), 6);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ssize_t n = CHECK_OK(readlink(link_of(fd), buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK(!strncmp(buf, dir, strlen(dir)) && strstr(buf, " (deleted)"));
    CHECK_OK(linkat(AT_FDCWD, link_of(fd), AT_FDCWD, in("named"), AT_SYMLINK_FOLLOW));
    CHECK_CONTENT(in("named"), "hidden");
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_ino, stat_of(in("named")).st_ino);
    CHECK_EQ(pwrite(fd, "H", 1, 0), 1);
    CHECK_CONTENT(in("named"), "Hidden");
    CHECK_OK(close(fd));

    // By AT_EMPTY_PATH: newer kernels allow it to the one who opened it, older ones need a capability.
    CHECK_OK(chdir(dir));
    fd = CHECK_OK(open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_EQ(write(fd, "two", 3), 3);
    if (linkat(fd, "", AT_FDCWD, "two", AT_EMPTY_PATH) == 0)
        CHECK_CONTENT(in("two"), "two");
    else
        CHECK_EQ(errno, ENOENT);
    CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH) == 0 ? 0 : (errno = errno == ENOENT ? EEXIST : errno, -1), EEXIST);
    CHECK_OK(close(fd));

    // O_EXCL: never gets a name.
    fd = CHECK_OK(open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    CHECK_ERRNO(linkat(AT_FDCWD, link_of(fd), AT_FDCWD, in("never"), AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_OK(close(fd));

    int d = CHECK_OK(open(dir, O_PATH | O_CLOEXEC));
    fd = CHECK_OK(openat(d, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 04711));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 07777, 04711);
    CHECK_OK(close(fd));
    CHECK_ERRNO(open(dir, O_TMPFILE | O_RDONLY, 0600), EINVAL);
    CHECK_ERRNO(open(in("named"), O_TMPFILE | O_RDWR, 0600), ENOTDIR);
    CHECK_ERRNO(open(in("nope"), O_TMPFILE | O_RDWR, 0600), ENOENT);
    CHECK_ERRNO(open(dir, (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600), EINVAL);
    CHECK_ERRNO(open(dir, O_TMPFILE | O_CREAT | O_RDWR, 0600), EINVAL);
    // Unnamed ones can be many, each with its own number.
    int a = CHECK_OK(open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)), b = CHECK_OK(open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    struct stat sa, sb;
    CHECK_OK(fstat(a, &sa));
    CHECK_OK(fstat(b, &sb));
    CHECK(sa.st_ino != sb.st_ino);
}
