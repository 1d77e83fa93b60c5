// what: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS by an ordinary user
// worlds: rw
// variants: dynamic static
// pitfalls: 45
#include "check.h"
#include <linux/fs.h>
#include <linux/magic.h>

static int get(int fd)
{
    int flags = -1;
    CHECK_OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
    return flags;
}

static int set(int fd, int flags)
{
    return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static void try(const char *path, int open_flags)
{
    int fd = CHECK_OK(open(path, open_flags | O_CLOEXEC));
    int before = get(fd);
    CHECK_EQ(before & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL), 0);
    CHECK_OK(set(fd, before | FS_NODUMP_FL | FS_NOATIME_FL));
    CHECK_EQ(get(fd), before | FS_NODUMP_FL | FS_NOATIME_FL);
    CHECK_OK(set(fd, before | FS_NODUMP_FL));
    int again = CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
    CHECK_EQ(get(again), before | FS_NODUMP_FL);
    CHECK_OK(set(again, before));
    CHECK_EQ(get(fd), before);

    // What only root may, and what nobody knows.
    CHECK_ERRNO(set(fd, before | FS_IMMUTABLE_FL), EPERM);
    CHECK_ERRNO(set(fd, before | FS_APPEND_FL), EPERM);
    CHECK_ERRNO(set(fd, before | (int)0x80000000), EOPNOTSUPP);
    CHECK_EQ(get(fd), before);
    CHECK_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, (void *)8), EFAULT);
    CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, (void *)8), EFAULT);
    int path_only = CHECK_OK(open(path, O_PATH | O_CLOEXEC)), flags = 0;
    CHECK_ERRNO(ioctl(path_only, FS_IOC_GETFLAGS, &flags), EBADF);
    CHECK_ERRNO(set(path_only, 0), EBADF);
    CHECK_OK(close(path_only));
    CHECK_OK(close(again));
    CHECK_OK(close(fd));
}

static void test(void)
{
    struct statfs fs;
    CHECK_OK(statfs(dir, &fs));
    write_file(in("f"), "content");
    CHECK_OK(mkdir(in("d"), 0755));
    try(in("f"), O_RDONLY);
    try(in("f"), O_RDWR);
    CHECK_CONTENT(in("f"), "content");
    // Linux's tmpfs has flags of directories only since 6.6.
    if (fs.f_type != TMPFS_MAGIC)
        try(in("d"), O_RDONLY | O_DIRECTORY);

    int fd = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC)), flags = 0;
    CHECK_ERRNO(set(fd, get(fd) | FS_DIRSYNC_FL), EOPNOTSUPP);
    CHECK_OK(mkfifo(in("p"), 0600));
    int fifo = CHECK_OK(open(in("p"), O_RDWR | O_CLOEXEC)), p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    CHECK_ERRNO(ioctl(p[0], FS_IOC_GETFLAGS, &flags), ENOTTY);
    CHECK_ERRNO(ioctl(-1, FS_IOC_GETFLAGS, &flags), EBADF);
    CHECK_OK(close(fifo));
    CHECK_ERRNO2(ioctl(CHECK_OK(open("/etc/passwd", O_RDONLY | O_CLOEXEC)), FS_IOC_SETFLAGS, &flags), EPERM, ENOTTY);
}
