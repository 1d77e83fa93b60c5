// what: ioctl, fadvise, sync and lease calls on files of the directory
// worlds: rw
// variants: dynamic static
// pitfalls: 45, 67
#include "check.h"
#include <termios.h>

static void test(void)
{
    int n = -1;
    struct termios t;
    write_file(in("f"), "0123456789");
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC)), d = CHECK_OK(open(dir, O_RDONLY | O_CLOEXEC));
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_OK(ioctl(fd, FIONREAD, &n));
    CHECK_EQ(n, 6);
    CHECK_ERRNO(ioctl(fd, FIONREAD, (void *)8), EFAULT);
    CHECK_ERRNO(ioctl(fd, TCGETS, &t), ENOTTY);
    CHECK_ERRNO(ioctl(d, TCGETS, &t), ENOTTY);
    CHECK_EQ(isatty(fd), 0);
    CHECK_ERRNO(ioctl(-1, FIONREAD, &n), EBADF);
    CHECK_OK(ioctl(fd, FIONCLEX));
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_OK(ioctl(fd, FIOCLEX));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    n = 1;
    CHECK_OK(ioctl(fd, FIONBIO, &n));
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_OK(fsync(fd));
    CHECK_OK(fdatasync(fd));
    CHECK_OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
    CHECK_OK(readahead(fd, 0, 4096));
    CHECK_ERRNO(fsync(-1), EBADF);
    int p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    CHECK_ERRNO(fsync(p[0]), EINVAL);
    // A lease: granted, or refused.
    int r = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    if (fcntl(r, F_SETLEASE, F_WRLCK) == -1)
        CHECK(errno == EAGAIN || errno == EINVAL || errno == EACCES);
    CHECK_ERRNO2(fcntl(r, F_SETLEASE, 99), EINVAL, EINVAL);
    CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
    CHECK_EQ(pread(fd, &n, 2, 0), 2);
}
