// what: a blocked open or read of a FIFO and signals: EINTR without SA_RESTART, restarted with it, killable
// worlds: rw
// variants: dynamic static
// pitfalls: 3, 6, 13
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
    (void)sig;
    hits++;
}

static void opens(void *a)
{
    (void)a;
    open(in("p"), O_RDONLY);
}

static void late_writer(void *a)
{
    sleep_ms((int)(long)a);
    int w = CHECK_OK(open(in("p"), O_WRONLY | O_CLOEXEC));
    sleep_ms((int)(long)a);
    CHECK_EQ(write(w, "data", 4), 4);
}

static void test(void)
{
    char buf[8];
    CHECK_OK(mkfifo(in("p"), 0600));
    // Without SA_RESTART.
    on_signal(SIGALRM, handler, 0);
    for (int i = 0; i < 10; i++) {
        hits = 0;
        every_us(10000); // again and again: the first may come before the open
        CHECK_ERRNO(open(in("p"), i % 2 ? O_WRONLY : O_RDONLY), EINTR);
        CHECK(hits > 0);
    }
    every_us(0);
    int rw = CHECK_OK(open(in("p"), O_RDWR | O_CLOEXEC));
    every_us(10000);
    CHECK_ERRNO(read(rw, buf, 8), EINTR);
    CHECK_OK(close(rw));
    // With SA_RESTART the open and the read go on until there is something.
    on_signal(SIGALRM, handler, SA_RESTART);
    hits = 0;
    pid_t pid = spawn(late_writer, (void *)150L);
    int r = CHECK_OK(open(in("p"), O_RDONLY | O_CLOEXEC));
    CHECK(hits > 0);
    CHECK_EQ(read(r, buf, 8), 4);
    CHECK(hits > 1);
    wait_ok(pid);
    CHECK_OK(close(r));
    every_us(0);
    // A signal that is ignored, or blocked, changes nothing.
    on_signal(SIGALRM, SIG_IGN, 0);
    every_us(5000);
    pid = spawn(late_writer, (void *)30L);
    r = CHECK_OK(open(in("p"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(r, buf, 8), 4);
    wait_ok(pid);
    CHECK_OK(close(r));
    every_us(0);
    // A stopped and continued process goes on waiting.
    pid = spawn(opens, NULL);
    for (int i = 0; i < 5; i++) {
        sleep_ms(10);
        CHECK_OK(kill(pid, SIGSTOP));
        int st;
        CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
        CHECK(WIFSTOPPED(st));
        CHECK_OK(kill(pid, SIGCONT));
    }
    int w = CHECK_OK(open(in("p"), O_WRONLY | O_CLOEXEC));
    CHECK_OK(close(w));
    wait_ok(pid);
    // Killed while it waits: gone at once, and others are not affected.
    for (int i = 0; i < loops(20); i++) {
        pid = spawn(opens, NULL);
        sleep_ms(i % 5);
        CHECK_OK(kill(pid, i % 2 ? SIGKILL : SIGTERM));
        CHECK_EQ(WTERMSIG(wait_status(pid)), i % 2 ? SIGKILL : SIGTERM);
    }
    CHECK_OK(stat(in("p"), &(struct stat){0}));
    CHECK_ERRNO(open(in("p"), O_WRONLY | O_NONBLOCK), ENXIO); // no reader is left behind
}
