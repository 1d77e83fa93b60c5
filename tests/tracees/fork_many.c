// what: many short processes (VIEW_TEST_PROCESSES for more): each is itself, whatever its pid was before
// worlds: rw
// variants: static
// pitfalls: 14, 18
#include "check.h"

static void test(void)
{
    const char *env = getenv("VIEW_TEST_PROCESSES");
    int count = env ? atoi(env) : loops(1000);
    char real[PATH_MAX], name[32];
    CHECK(realpath(dir, real) != NULL);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "d%d", i);
        CHECK_OK(mkdir(in(name), 0755));
    }
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "d%d", i % 8);
        pid_t pid = CHECK_OK(fork());
        if (pid == 0) {
            char buf[PATH_MAX];
            CHECK_OK(chdir(in(name)));
            CHECK(getcwd(buf, sizeof buf) != NULL);
            CHECK_STR(buf, join(real, name));
            umask((mode_t)(i % 8) * 8);
            int fd = CHECK_OK(open("f", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
            CHECK_OK(close(fd));
            CHECK_EQ(stat_of("f").st_mode & 0777, 0666 & ~(i % 8 * 8));
            CHECK_OK(unlink("f"));
            _exit(i % 50);
        }
        int st = wait_status(pid);
        CHECK(WIFEXITED(st));
        CHECK_EQ(WEXITSTATUS(st), i % 50);
    }
    char buf[PATH_MAX];
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf, "/");
}
