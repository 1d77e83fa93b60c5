// what: opening FIFOs: waiting for the other side, non-blocking, both ways, after unlink
// worlds: rw
// variants: dynamic static threads
// pitfalls: 12
#include "check.h"

static void writes(void *a)
{
    sleep_ms((int)(long)a);
    int w = CHECK_OK(open(in("p"), O_WRONLY | O_CLOEXEC));
    CHECK_EQ(write(w, "hello", 5), 5);
}

static void reads(void *a)
{
    char buf[8];
    sleep_ms((int)(long)a);
    int r = CHECK_OK(open(in("p"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(r, buf, 8), 5);
    CHECK_EQ(read(r, buf, 8), 0);
}

static void test(void)
{
    char buf[8];
    struct stat st;
    CHECK_OK(mkfifo(in("p"), 0644));
    // The reader waits for the writer, and the other way round.
    pid_t pid = spawn(writes, (void *)30L);
    int r = CHECK_OK(open(in("p"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(r, buf, 8), 5);
    CHECK(!memcmp(buf, "hello", 5));
    CHECK_EQ(read(r, buf, 8), 0);
    wait_ok(pid);
    CHECK_OK(close(r));
    pid = spawn(reads, (void *)30L);
    int w = CHECK_OK(open(in("p"), O_WRONLY | O_CLOEXEC));
    CHECK_EQ(write(w, "hello", 5), 5);
    CHECK_OK(close(w));
    wait_ok(pid);
    for (int i = 0; i < loops(20); i++) {
        pid_t a = spawn(writes, (void *)0L), b = spawn(reads, (void *)0L);
        wait_ok(a);
        wait_ok(b);
    }
    // Non-blocking.
    CHECK_ERRNO(open(in("p"), O_WRONLY | O_NONBLOCK), ENXIO);
    r = CHECK_OK(open(in("p"), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_EQ(read(r, buf, 8), 0);
    w = CHECK_OK(open(in("p"), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_ERRNO(read(r, buf, 8), EAGAIN);
    CHECK_EQ(write(w, "x", 1), 1);
    CHECK_EQ(read(r, buf, 8), 1);
    int w2 = CHECK_OK(open(in("p"), O_WRONLY | O_CLOEXEC)); // a reader is there: no waiting
    CHECK_OK(fstat(w2, &st));
    CHECK_EQ(st.st_ino, stat_of(in("p")).st_ino);
    CHECK_OK(close(r));
    on_signal(SIGPIPE, SIG_IGN, 0);
    CHECK_ERRNO(write(w, "x", 1), EPIPE);
    CHECK_OK(close(w));
    CHECK_OK(close(w2));
    // Both ways: never waits. O_PATH, stat and O_CREAT: neither.
    int rw = CHECK_OK(open(in("p"), O_RDWR | O_CLOEXEC));
    CHECK_OK(close(CHECK_OK(open(in("p"), O_PATH))));
    CHECK_OK(close(CHECK_OK(open(in("p"), O_RDWR | O_CREAT | O_TRUNC, 0644))));
    CHECK_ERRNO(open(in("p"), O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    // The same FIFO by a link, a new name, through its descriptor, without a name.
    CHECK_OK(link(in("p"), in("q")));
    CHECK_OK(rename(in("p"), in("p2")));
    w = CHECK_OK(open(in("q"), O_WRONLY | O_CLOEXEC));
    CHECK_EQ(write(w, "q", 1), 1);
    CHECK_EQ(read(rw, buf, 8), 1);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", rw);
    w2 = CHECK_OK(open(link, O_WRONLY | O_CLOEXEC));
    CHECK_OK(unlink(in("q")));
    CHECK_OK(unlink(in("p2")));
    CHECK_EQ(write(w2, "n", 1), 1);
    CHECK_EQ(read(rw, buf, 8), 1);
    CHECK_EQ(buf[0], 'n');
    // Two FIFOs don't mix.
    CHECK_OK(mkfifo(in("p"), 0600));
    int other = CHECK_OK(open(in("p"), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    CHECK_EQ(write(w2, "n", 1), 1);
    CHECK_ERRNO(read(other, buf, 8), EAGAIN);
    // Permission.
    CHECK_OK(chmod(in("p"), 0400));
    CHECK_ERRNO(open(in("p"), O_WRONLY), EACCES);
    CHECK_ERRNO(open(in("p"), O_RDWR), EACCES);
}
