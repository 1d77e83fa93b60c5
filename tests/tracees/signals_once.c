// what: side effects happen exactly once, and the result is right, however signals fall
// worlds: rw
// variants: dynamic static
// pitfalls: 5
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
    (void)sig;
    hits++;
}

static void storm(void *a)
{
    pid_t parent = *(pid_t *)a;
    while (kill(parent, SIGUSR1) == 0) {
        for (volatile int i = 0; i < 2000; i++) {
        }
        if (getppid() != parent)
            break;
    }
}

static void round_of(int i)
{
    char a[32], b[32];
    struct stat st;
    snprintf(a, sizeof a, "a%d", i);
    snprintf(b, sizeof b, "b%d", i);
    // If a call ran twice, the second time it would see its own result as an error.
    CHECK_OK(mkdir(in(a), 0755));
    CHECK_ERRNO(mkdir(in(a), 0755), EEXIST);
    CHECK_OK(rename(in(a), in(b)));
    CHECK_ERRNO(rename(in(a), in(b)), ENOENT);
    CHECK_OK(rmdir(in(b)));
    CHECK_ERRNO(rmdir(in(b)), ENOENT);
    int fd = CHECK_OK(open(in(a), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
    CHECK_ERRNO(open(in(a), O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_OK(link(in(a), in(b)));
    CHECK_ERRNO(link(in(a), in(b)), EEXIST);
    CHECK_OK(renameat2(AT_FDCWD, in(a), AT_FDCWD, in("swap"), RENAME_EXCHANGE) == -1 && errno == ENOENT ? 0 : -1);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 2);
    CHECK_OK(unlink(in(a)));
    CHECK_ERRNO(unlink(in(a)), ENOENT);
    CHECK_OK(symlink("x", in(a)));
    CHECK_ERRNO(symlink("x", in(a)), EEXIST);
    CHECK_OK(unlink(in(a)));
    CHECK_OK(unlink(in(b)));
    CHECK_OK(mkfifo(in(a), 0600));
    CHECK_ERRNO(mkfifo(in(a), 0600), EEXIST);
    CHECK_OK(unlink(in(a)));
    CHECK_OK(close(fd));
    CHECK_ERRNO(close(fd), EBADF);
}

static void test(void)
{
    pid_t self = getpid();
    for (int restart = 0; restart < 2; restart++) {
        on_signal(SIGUSR1, handler, restart ? SA_RESTART : 0);
        pid_t pid = spawn(storm, &self);
        for (int i = 0; i < loops(100); i++) {
            // Descriptor numbers are checked too: nothing may leak.
            int before = dup(0);
            close(before);
            round_of(i);
            int after = dup(0);
            close(after);
            CHECK_EQ(after, before);
        }
        CHECK_OK(kill(pid, SIGKILL));
        wait_status(pid);
    }
    CHECK(hits > 0);
    CHECK_EQ(count_entries(dir), 0);
}
