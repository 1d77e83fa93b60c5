// what: threads and processes that read everything at once, under signals
// worlds: ro
// variants: dynamic static
// pitfalls: 2, 4, 12
#include "fixture.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
    (void)sig;
    hits++;
}

static void *reads(void *a)
{
    char buf[4096], name[32];
    struct stat st;
    for (int i = 0; i < loops(60); i++) {
        int k = ((int)(long)a * 1009 + i * 31) % FIXTURE_MANY;
        snprintf(name, sizeof name, "many/n%05d", k);
        CHECK_OK(stat(in(name), &st));
        CHECK_OK(close(CHECK_OK(open(in(name), O_RDONLY | O_CLOEXEC))));
        int fd = CHECK_OK(open(in("big"), O_RDONLY | O_CLOEXEC));
        off_t at = (off_t)k * 100;
        ssize_t n;
        while ((n = pread(fd, buf, 64, at)) == -1 && errno == EINTR) {
        }
        CHECK_EQ(n, 64);
        CHECK_EQ((unsigned char)buf[5], fixture_byte((size_t)at + 5));
        CHECK_OK(close(fd));
        CHECK_CONTENT(in("l30"), FIXTURE_TEXT);
        CHECK_EQ(count_entries(in("dir")), 4);
        CHECK_ERRNO(open(in("nope"), O_RDONLY), ENOENT);
        CHECK_OK(access(in("deep/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12"), X_OK));
    }
    return NULL;
}

static void test(void)
{
    pthread_t t[8];
    pid_t pids[4];
    on_signal(SIGALRM, handler, SA_RESTART);
    every_us(500);
    for (long i = 0; i < 4; i++) {
        pids[i] = CHECK_OK(fork());
        if (pids[i] == 0) {
            every_us(700);
            reads((void *)(i + 100));
            _exit(0);
        }
    }
    for (long i = 0; i < 8; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, reads, (void *)i), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    for (int i = 0; i < 4; i++)
        wait_ok(pids[i]);
    every_us(0);
    CHECK(hits > 0);
}
