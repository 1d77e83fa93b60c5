// what: the lowest free descriptor, F_DUPFD, dup2, dup3
// worlds: rw
// variants: dynamic static
// pitfalls: 39
#include "check.h"

static void test(void)
{
    CHECK_OK(mkdir(in("d"), 0755));
    write_file(in("f"), "x");
    CHECK_OK(mkfifo(in("p"), 0600));
    for (int i = 3; i < 64; i++)
        close(i);
    // Each way to open takes the lowest free number, whatever it opens.
    int fd[10];
    CHECK_EQ(fd[0] = open(in("f"), O_RDONLY), 3);
    CHECK_EQ(fd[1] = open(in("d"), O_RDONLY | O_DIRECTORY), 4);
    CHECK_EQ(fd[2] = open(in("f"), O_PATH), 5);
    CHECK_EQ(fd[3] = open(in("p"), O_RDWR), 6);
    CHECK_EQ(fd[4] = open("/etc/passwd", O_RDONLY), 7);
    CHECK_EQ(fd[5] = socket(AF_UNIX, SOCK_STREAM, 0), 8);
    CHECK_EQ(fd[6] = open(in("new"), O_CREAT | O_RDWR, 0644), 9);
    CHECK_EQ(fd[7] = openat(4, ".", O_RDONLY), 10);
    CHECK_EQ(fd[8] = dup(3), 11);
    CHECK_EQ(fd[9] = memfd_create("m", 0), 12);
    CHECK_OK(close(5));
    CHECK_OK(close(8));
    CHECK_EQ(open(in("f"), O_RDWR), 5);
    CHECK_EQ(open(in("d"), O_RDONLY), 8);
    CHECK_EQ(open(in("f"), O_RDWR), 13);
    // A failed open uses no number.
    for (int i = 0; i < 5; i++) {
        CHECK_ERRNO(open(in("nope"), O_RDONLY), ENOENT);
        CHECK_ERRNO(open(in("d"), O_RDWR), EISDIR);
        CHECK_ERRNO(open(in("f"), O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
        CHECK_ERRNO(chdir(in("f")), ENOTDIR);
        CHECK_OK(chdir(in("d")));
    }
    CHECK_EQ(dup(3), 14);
    CHECK_EQ(fcntl(3, F_DUPFD, 20), 20);
    CHECK_EQ(fcntl(3, F_DUPFD, 20), 21);
    CHECK_EQ(fcntl(4, F_DUPFD_CLOEXEC, 20), 22);
    CHECK_EQ(fcntl(22, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(21, F_GETFD), 0);
    CHECK_ERRNO(fcntl(3, F_DUPFD, -1), EINVAL);
    CHECK_ERRNO(fcntl(3, F_DUPFD, 1 << 30), EINVAL);
    CHECK_ERRNO(fcntl(99, F_DUPFD, 0), EBADF);
    // dup2 over a virtual or a real one closes it.
    CHECK_EQ(dup2(3, 4), 4);
    struct stat a, b;
    CHECK_OK(fstat(3, &a));
    CHECK_OK(fstat(4, &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(dup2(8, 7), 7);
    CHECK_OK(fstat(7, &b));
    CHECK(S_ISDIR(b.st_mode));
    CHECK_OK(close(CHECK_OK(openat(7, "made", O_CREAT | O_WRONLY, 0644))));
    CHECK(exists(in("d/made")));
    CHECK_EQ(dup2(3, 3), 3);
    CHECK_ERRNO(dup2(99, 3), EBADF);
    CHECK_OK(fstat(3, &a));
    CHECK_ERRNO(dup2(3, -1), EBADF);
    CHECK_EQ(dup3(3, 50, O_CLOEXEC), 50);
    CHECK_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(dup3(3, 3, 0), EINVAL);
    CHECK_ERRNO(dup3(3, 51, O_APPEND), EINVAL);
    CHECK_OK(fcntl(50, F_SETFD, 0));
    CHECK_EQ(fcntl(50, F_GETFD), 0);
    // Number 0, when it is free.
    CHECK_OK(close(0));
    CHECK_EQ(open(in("f"), O_RDONLY), 0);
}
