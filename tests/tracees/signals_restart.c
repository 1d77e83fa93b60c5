// what: SA_RESTART and blocking reads of FIFOs, sockets and terminals; partial transfers return counts
// worlds: rw
// variants: dynamic static
// pitfalls: 3
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
    (void)sig;
    hits++;
}

static void feed(void *a)
{
    int fd = *(int *)a;
    every_us(0);
    for (int i = 0; i < 5; i++) {
        sleep_ms(10);
        CHECK_EQ(write(fd, "x", 1), 1);
    }
}

// Both ways to wait for a byte on r, which a child writes to w.
static void reads(int r, int w)
{
    char c;
    on_signal(SIGALRM, handler, SA_RESTART);
    every_us(1000);
    pid_t pid = spawn(feed, &w);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(read(r, &c, 1), 1);
    wait_ok(pid);
    on_signal(SIGALRM, handler, 0);
    CHECK_ERRNO(read(r, &c, 1), EINTR);
    every_us(0);
}

static void drain(void *a)
{
    static char buf[65536];
    int *fds = a;
    every_us(0);
    close(fds[1]);
    size_t total = 0;
    ssize_t n;
    sleep_ms(20);
    while ((n = read(fds[0], buf, sizeof buf)) > 0)
        total += (size_t)n;
    CHECK_EQ(n, 0);
    CHECK_EQ(total, 4 << 20);
}

static void test(void)
{
    CHECK_OK(mkfifo(in("p"), 0600));
    int rw = CHECK_OK(open(in("p"), O_RDWR | O_CLOEXEC)), s[2], p[2];
    reads(rw, rw);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    reads(s[0], s[1]);
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0) {
        int t = open(ptsname(m), O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (t >= 0)
            reads(m, t);
    }
    // A large write that is interrupted gives the count; the sum is right.
    CHECK_OK(pipe2(p, O_CLOEXEC));
    pid_t pid = spawn(drain, p);
    static char data[1 << 20];
    on_signal(SIGALRM, handler, 0);
    every_us(500);
    size_t total = 0;
    while (total < 4 << 20) {
        size_t want = (4 << 20) - total;
        ssize_t n = write(p[1], data, want < sizeof data ? want : sizeof data);
        CHECK(n > 0 || errno == EINTR);
        if (n > 0)
            total += (size_t)n;
    }
    every_us(0);
    CHECK_OK(close(p[0]));
    CHECK_OK(close(p[1]));
    wait_ok(pid);
    CHECK(hits > 0);
}
