// what: two signals whose handlers end at the same moment: the return from one is interrupted by the other
// worlds: rw
// variants: dynamic static threads
// pitfalls: 2, 5
#include "check.h"

static volatile sig_atomic_t alarms, users;

static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
}

static void on_user(int sig)
{
    (void)sig;
    users++;
}

static void storm(void *a)
{
    pid_t parent = *(pid_t *)a;
    while (getppid() == parent && kill(parent, SIGUSR1) == 0) {
        for (volatile int i = 0; i < 300; i++) {
        }
    }
}

static void test(void)
{
    struct stat st;
    pid_t self = getpid();
    on_signal(SIGALRM, on_alarm, 0);
    on_signal(SIGUSR1, on_user, 0);
    every_us(100);
    pid_t pid = spawn(storm, &self);
    for (int i = 0; i < loops(1000); i++) {
        CHECK_OK(stat(dir, &st));
        CHECK_ERRNO(stat(in("nothing"), &st), ENOENT);
        int fd = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        CHECK_OK(close(fd));
        CHECK_OK(kill(self, 0));
    }
    every_us(0);
    CHECK_OK(kill(pid, SIGKILL));
    wait_status(pid);
    CHECK(alarms > 0);
    CHECK(users > 0);
}
