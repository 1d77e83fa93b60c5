// what: far more blocked opens of FIFOs than any pool has workers: other calls still go on
// worlds: rw
// variants: dynamic static
// pitfalls: 12
#include "check.h"

enum { N = 100 };

static void blocked(void *a)
{
    char name[32], c;
    snprintf(name, sizeof name, "p%ld", (long)a % 10);
    int r = CHECK_OK(open(in(name), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(r, &c, 1), 1);
    CHECK_OK(stat(in(name), &(struct stat){0}));
}

static void *thread(void *a)
{
    blocked(a);
    return NULL;
}

static void test(void)
{
    char name[32];
    pid_t pids[N];
    pthread_t t[20];
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "p%d", i);
        CHECK_OK(mkfifo(in(name), 0600));
    }
    for (long i = 0; i < N; i++)
        pids[i] = spawn(blocked, (void *)i);
    for (long i = 0; i < 20; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, thread, (void *)i), 0);
    sleep_ms(100);
    // All of them hang in open now. Everybody else works.
    for (int i = 0; i < 50; i++) {
        write_file(in("f"), "x");
        CHECK_OK(rename(in("f"), in("g")));
        CHECK_OK(stat(in("g"), &(struct stat){0}));
        pid_t pid = CHECK_OK(fork());
        if (pid == 0)
            _exit(access("/etc/passwd", R_OK) | access(in("g"), R_OK));
        wait_ok(pid);
    }
    // Let them go: readers of one FIFO share what is written.
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "p%d", i);
        int w = CHECK_OK(open(in(name), O_RDWR | O_CLOEXEC));
        for (int k = 0; k < N / 10 + 2; k++)
            CHECK_EQ(write(w, "x", 1), 1);
    }
    // (The descriptors stay open, so no reader sees the end too early.)
    for (int i = 0; i < N; i++)
        wait_ok(pids[i]);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}
