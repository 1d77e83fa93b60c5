// what: what Go does: a thread preempts the others by SIGURG while they open files (VIEW_TEST_OPENS for more)
// worlds: rw
// variants: dynamic static
// pitfalls: 4, 48
#include "check.h"

enum { N = 3 };
static pid_t tids[N];
static volatile int left = N;
static volatile sig_atomic_t hits;
static int opens;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
    hits++;
}

static void *worker(void *a)
{
    static char stacks[N][65536];
    stack_t ss = {.ss_sp = stacks[(long)a], .ss_size = sizeof stacks[0]};
    CHECK_OK(sigaltstack(&ss, NULL));
    tids[(long)a] = (pid_t)syscall(SYS_gettid);
    char name[32];
    struct stat st;
    snprintf(name, sizeof name, "f%ld", (long)a);
    write_file(in(name), "content");
    for (int i = 0; i < opens; i++) {
        int fd = CHECK_OK(openat(AT_FDCWD, i % 2 ? in(name) : "/etc/passwd", O_RDONLY | O_CLOEXEC));
        CHECK_OK(fstat(fd, &st));
        if (i % 2)
            CHECK_EQ(st.st_size, 7);
        CHECK_OK(close(fd));
        if (i % 16 == 0) {
            CHECK_ERRNO(rename(in(name), join(in(name), "tmp")), ENOTDIR);
            CHECK_ERRNO(stat("/nope", &st), ENOENT);
        }
    }
    __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST);
    while (left)
        usleep(1000);
    return NULL;
}

static void test(void)
{
    const char *env = getenv("VIEW_TEST_OPENS");
    opens = env ? atoi(env) : loops(2000);
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    CHECK_OK(sigaction(SIGURG, &sa, NULL));
    pthread_t t[N];
    for (long i = 0; i < N; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, worker, (void *)i), 0);
    for (int i = 0; left; i++) {
        usleep(100);
        if (tids[i % N])
            syscall(SYS_tgkill, getpid(), tids[i % N], SIGURG);
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK(hits > 0);
}
