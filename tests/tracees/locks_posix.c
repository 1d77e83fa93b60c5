// what: POSIX and OFD record locks: ranges, F_GETLK, deadlock detection, release on close and exit
// worlds: rw
// variants: dynamic static
// pitfalls: 45
#include "check.h"

static int lk(int fd, int cmd, int type, off_t start, off_t len)
{
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, cmd, &l);
}

static int step[2], go[2];

static void holder(void *a)
{
    char c;
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    CHECK_OK(lk(fd, (int)(long)a, F_WRLCK, 100, 50));
    CHECK_EQ(write(step[1], "h", 1), 1);
    CHECK_EQ(read(go[0], &c, 1), 1);
    if (c == 'c') { // closing any descriptor of the file drops POSIX locks
        CHECK_OK(close(CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC))));
        CHECK_EQ(write(step[1], "c", 1), 1);
        CHECK_EQ(read(go[0], &c, 1), 1);
    }
}

static void deadlocks(void *a)
{
    (void)a;
    char c;
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    CHECK_OK(lk(fd, F_SETLKW, F_WRLCK, 10, 1));
    CHECK_EQ(write(step[1], "h", 1), 1);
    CHECK_EQ(read(go[0], &c, 1), 1);
    CHECK_OK(lk(fd, F_SETLKW, F_WRLCK, 20, 1)); // waits for the parent, which then gets EDEADLK and lets go
}

static void test(void)
{
    char c;
    write_file(in("f"), "x");
    CHECK_OK(pipe2(step, O_CLOEXEC));
    CHECK_OK(pipe2(go, O_CLOEXEC));
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC)), r = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    pid_t pid = spawn(holder, (void *)F_SETLK);
    CHECK_EQ(read(step[0], &c, 1), 1);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_OK(fcntl(fd, F_GETLK, &l));
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_pid, pid);
    CHECK_EQ(l.l_start, 100);
    CHECK_EQ(l.l_len, 50);
    CHECK_ERRNO2(lk(fd, F_SETLK, F_RDLCK, 149, 1), EAGAIN, EACCES);
    CHECK_OK(lk(fd, F_SETLK, F_WRLCK, 150, 0));
    CHECK_OK(lk(fd, F_SETLK, F_RDLCK, 0, 100));
    CHECK_ERRNO(lk(r, F_SETLK, F_WRLCK, 0, 1), EBADF);
    CHECK_EQ(write(go[1], "c", 1), 1);
    CHECK_EQ(read(step[0], &c, 1), 1);
    CHECK_OK(lk(fd, F_SETLK, F_WRLCK, 100, 50));
    CHECK_EQ(write(go[1], "g", 1), 1);
    wait_ok(pid);
    CHECK_OK(lk(fd, F_SETLK, F_UNLCK, 0, 0));
    // The exit of the holder frees one who waits.
    pid = spawn(holder, (void *)F_SETLK);
    CHECK_EQ(read(step[0], &c, 1), 1);
    CHECK_EQ(write(go[1], "g", 1), 1);
    CHECK_OK(lk(fd, F_SETLKW, F_WRLCK, 100, 1));
    wait_ok(pid);
    CHECK_OK(lk(fd, F_SETLK, F_UNLCK, 0, 0));

    CHECK_OK(lk(fd, F_SETLK, F_WRLCK, 20, 1));
    pid = spawn(deadlocks, NULL);
    CHECK_EQ(read(step[0], &c, 1), 1);
    CHECK_EQ(write(go[1], "g", 1), 1);
    sleep_ms(100);
    CHECK_ERRNO(lk(fd, F_SETLKW, F_WRLCK, 10, 1), EDEADLK);
    CHECK_OK(lk(fd, F_SETLK, F_UNLCK, 0, 0));
    wait_ok(pid);

    // OFD locks belong to the description: seen by others, also in one process.
    pid = spawn(holder, (void *)F_OFD_SETLK);
    CHECK_EQ(read(step[0], &c, 1), 1);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_OK(fcntl(fd, F_OFD_GETLK, &l));
    CHECK_EQ(l.l_type, F_WRLCK);
    CHECK_EQ(l.l_pid, -1);
    CHECK_ERRNO2(lk(fd, F_SETLK, F_WRLCK, 100, 1), EAGAIN, EACCES);
    CHECK_ERRNO2(lk(fd, F_OFD_SETLK, F_WRLCK, 100, 1), EAGAIN, EACCES);
    CHECK_EQ(write(go[1], "g", 1), 1);
    wait_ok(pid);
    int second = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    CHECK_OK(lk(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
    CHECK_ERRNO2(lk(second, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN, EACCES);
    CHECK_OK(close(fd));
    CHECK_OK(lk(second, F_OFD_SETLK, F_WRLCK, 5, 10));
    CHECK_ERRNO(lk(second, F_SETLK, 99, 0, 0), EINVAL);
    CHECK_ERRNO(lk(second, F_SETLK, F_WRLCK, -1, 0), EINVAL);
}
