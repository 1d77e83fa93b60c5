// what: mknod of every type, and what the nodes are good for
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21, 67
#include "check.h"

static void test(void)
{
    CHECK_OK(mknod(in("r"), S_IFREG | 0640, 0));
    CHECK_EQ(stat_of(in("r")).st_mode, S_IFREG | 0640);
    CHECK_OK(mknod(in("r0"), 0600, 0)); // no type: a regular file
    CHECK_EQ(stat_of(in("r0")).st_mode, S_IFREG | 0600);
    CHECK_OK(mknod(in("p"), S_IFIFO | 0666, 0));
    CHECK_EQ(stat_of(in("p")).st_mode, S_IFIFO | 0644);
    CHECK_OK(mknod(in("s"), S_IFSOCK | 0700, 0));
    CHECK_EQ(stat_of(in("s")).st_mode, S_IFSOCK | 0700);
    CHECK_ERRNO(mknod(in("c"), S_IFCHR | 0600, makedev(1, 3)), EPERM);
    CHECK_ERRNO(mknod(in("b"), S_IFBLK | 0600, makedev(7, 0)), EPERM);
    CHECK_ERRNO(mknod(in("d"), S_IFDIR | 0700, 0), EPERM);
    CHECK_ERRNO(mknod(in("l"), S_IFLNK | 0700, 0), EINVAL);
    CHECK_ERRNO(mknod(in("x"), 0150000 | 0700, 0), EINVAL);
    CHECK_ERRNO(mknod(in("r"), S_IFIFO | 0600, 0), EEXIST);
    CHECK_ERRNO(mknod(in("nope/r"), S_IFREG | 0600, 0), ENOENT);
    CHECK_ERRNO(mknod(in("r/x"), S_IFREG | 0600, 0), ENOTDIR);
    CHECK_ERRNO(mknod(NULL, S_IFREG | 0600, 0), EFAULT);
    CHECK_EQ(count_entries(dir), 4);
    // Nodes: a FIFO is not seekable or mappable, a socket can't be opened.
    int p = CHECK_OK(open(in("p"), O_RDWR | O_CLOEXEC));
    CHECK_ERRNO(lseek(p, 0, SEEK_CUR), ESPIPE);
    CHECK_ERRNO(ftruncate(p, 0), EINVAL);
    CHECK_EQ(write(p, "via fifo", 8), 8);
    char buf[16];
    CHECK_EQ(read(p, buf, 16), 8);
    struct stat st;
    CHECK_OK(fstat(p, &st));
    CHECK_EQ(st.st_ino, stat_of(in("p")).st_ino);
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_ERRNO(open(in("s"), O_RDONLY), ENXIO);
    CHECK_ERRNO(open(in("s"), O_RDWR | O_NONBLOCK), ENXIO);
    CHECK_OK(close(CHECK_OK(open(in("s"), O_PATH))));
    CHECK_ERRNO(truncate(in("p"), 0), EINVAL);
    CHECK_ERRNO(open(in("p"), O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_OK(rename(in("p"), in("p2")));
    CHECK(S_ISFIFO(stat_of(in("p2")).st_mode));
    CHECK_OK(unlink(in("p2")));
    CHECK_EQ(write(p, "x", 1), 1); // still works without a name
    CHECK_EQ(read(p, buf, 16), 1);
    CHECK_OK(unlink(in("s")));
    // Real devices through a link in the directory.
    CHECK_OK(symlink("/dev/null", in("null")));
    int n = CHECK_OK(open(in("null"), O_RDWR | O_CLOEXEC));
    CHECK_EQ(write(n, "x", 1), 1);
    CHECK_EQ(read(n, buf, 1), 0);
    CHECK_OK(fstat(n, &st));
    CHECK_EQ(st.st_rdev, makedev(1, 3));
}
