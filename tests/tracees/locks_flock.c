// what: flock between processes and descriptions; released on close and exit
// worlds: rw
// variants: dynamic static threads
// pitfalls: 45
#include "check.h"
#include <sys/file.h>

static int held[2], go[2];

static void holder(void *a)
{
    char c;
    int fd = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(flock(fd, (int)(long)a));
    CHECK_EQ(write(held[1], "h", 1), 1);
    CHECK_EQ(read(go[0], &c, 1), 1);
    if (c == 'k')
        kill(getpid(), SIGKILL);
}

static void test(void)
{
    char c;
    write_file(in("f"), "x");
    CHECK_OK(pipe2(held, O_CLOEXEC));
    CHECK_OK(pipe2(go, O_CLOEXEC));
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    for (int round = 0; round < 2; round++) {
        pid_t pid = spawn(holder, (void *)LOCK_EX);
        CHECK_EQ(read(held[0], &c, 1), 1);
        CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
        CHECK_ERRNO(flock(fd, LOCK_SH | LOCK_NB), EWOULDBLOCK);
        CHECK_EQ(write(go[1], round ? "k" : "g", 1), 1);
        CHECK_OK(flock(fd, LOCK_EX)); // waits until it is gone
        CHECK_EQ(wait_status(pid), round ? SIGKILL : 0);
        CHECK_OK(flock(fd, LOCK_UN));
    }
    pid_t pid = spawn(holder, (void *)LOCK_SH);
    CHECK_EQ(read(held[0], &c, 1), 1);
    CHECK_OK(flock(fd, LOCK_SH | LOCK_NB));
    CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(write(go[1], "g", 1), 1);
    wait_ok(pid);
    CHECK_OK(flock(fd, LOCK_EX | LOCK_NB));
    // Two opens in one process conflict; a dup doesn't; a hard link is the same file.
    int second = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC)), du = CHECK_OK(dup(fd));
    CHECK_ERRNO(flock(second, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(flock(du, LOCK_EX | LOCK_NB));
    CHECK_OK(link(in("f"), in("g")));
    int hard = CHECK_OK(open(in("g"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(flock(hard, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(close(fd));
    CHECK_ERRNO(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK); // the dup still holds it
    CHECK_OK(close(du));
    CHECK_OK(flock(second, LOCK_EX | LOCK_NB));
    CHECK_ERRNO(flock(second, 0), EINVAL);
    CHECK_ERRNO(flock(-1, LOCK_SH), EBADF);
    // A file of the same name that replaced it is another one.
    write_file(in("new"), "y");
    CHECK_OK(rename(in("new"), in("f")));
    int other = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(flock(other, LOCK_EX | LOCK_NB));
}
