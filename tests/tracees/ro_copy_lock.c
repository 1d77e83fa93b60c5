// what: sendfile and its family out of the tree; locks on its files; FIFO and descriptors of it
// worlds: ro
// variants: dynamic static threads
// pitfalls: 40, 44, 45
#include "fixture.h"
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/sendfile.h>

static unsigned char buf[FIXTURE_BIG];

static void same(int fd)
{
    CHECK_EQ(pread(fd, buf, FIXTURE_BIG, 0), FIXTURE_BIG);
    for (size_t i = 0; i < FIXTURE_BIG; i++)
        if (buf[i] != fixture_byte(i))
            check_fail(__FILE__, __LINE__, "copy of big", "byte %zu is wrong", i);
    CHECK_OK(ftruncate(fd, 0));
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
}

static void test(void)
{
    int a = CHECK_OK(open(in("big"), O_RDONLY | O_CLOEXEC)), b = CHECK_OK(open(outside("copy"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    off_t off = 0;
    while (off < FIXTURE_BIG)
        CHECK(CHECK_OK(sendfile(b, a, &off, (size_t)(FIXTURE_BIG - off))) > 0);
    same(b);
    loff_t from = 0, to = 0;
    while (from < FIXTURE_BIG) {
        ssize_t n = copy_file_range(a, &from, b, &to, (size_t)(FIXTURE_BIG - from), 0);
        if (n == -1 && (errno == EXDEV || errno == EOPNOTSUPP))
            break;
        CHECK(n > 0);
    }
    if (from == FIXTURE_BIG)
        same(b);
    int p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    from = 0;
    while (from < FIXTURE_BIG) {
        ssize_t n = CHECK_OK(splice(a, &from, p[1], NULL, 50000, 0));
        for (ssize_t m; n > 0; n -= m)
            CHECK((m = splice(p[0], NULL, b, NULL, (size_t)n, 0)) > 0);
    }
    same(b);
    if (ioctl(b, FICLONE, a) == 0)
        same(b);
    else
        CHECK(errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL || errno == ENOTTY);
    // Locks need no write access, save for F_WRLCK.
    int c = CHECK_OK(open(in("file"), O_RDONLY | O_CLOEXEC)), d = CHECK_OK(open(in("file"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(flock(c, LOCK_EX));
    CHECK_ERRNO(flock(d, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(flock(c, LOCK_UN));
    CHECK_OK(flock(d, LOCK_SH | LOCK_NB));
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    CHECK_OK(fcntl(c, F_SETLK, &l));
    l.l_type = F_WRLCK;
    CHECK_ERRNO(fcntl(c, F_SETLK, &l), EBADF);
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        int e = CHECK_OK(open(in("file"), O_RDONLY | O_CLOEXEC));
        struct flock g = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        CHECK_OK(fcntl(e, F_GETLK, &g));
        CHECK_EQ(g.l_type, F_RDLCK);
        CHECK_EQ(g.l_pid, getppid());
        CHECK_ERRNO(flock(e, LOCK_EX | LOCK_NB), EWOULDBLOCK);
        _exit(0);
    }
    wait_ok(pid);
    // The FIFO is one for all who open it.
    pid = CHECK_OK(fork());
    if (pid == 0) {
        int w = CHECK_OK(open(in("fifo"), O_WRONLY | O_CLOEXEC));
        CHECK_EQ(write(w, "through", 7), 7);
        _exit(0);
    }
    int r = CHECK_OK(open(in("fifo"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(r, buf, 100), 7);
    CHECK(!memcmp(buf, "through", 7));
    wait_ok(pid);
    CHECK_ERRNO(open(in("sock"), O_RDONLY), ENXIO);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, in("sock"));
    int s = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_ERRNO(connect(s, (struct sockaddr *)&addr, sizeof addr), ECONNREFUSED);
}
