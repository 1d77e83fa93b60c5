// what: processes that are stopped and continued in the middle of calls
// worlds: rw
// variants: dynamic static
// pitfalls: 13
#include "check.h"

static volatile int *progress;

static void works(void *a)
{
    (void)a;
    char buf[PATH_MAX];
    for (int i = 0; i < loops(400); i++) {
        CHECK_OK(mkdir(in("d"), 0755));
        CHECK_OK(chdir(in("d")));
        write_file("f", "data");
        CHECK_CONTENT(in("d/f"), "data");
        CHECK(getcwd(buf, sizeof buf) != NULL);
        CHECK_OK(rename("f", "../g"));
        CHECK_OK(unlink(in("g")));
        CHECK_OK(chdir("/"));
        CHECK_OK(rmdir(in("d")));
        *progress = i;
    }
}

static void test(void)
{
    progress = shared_page();
    pid_t pid = spawn(works, NULL);
    int st;
    for (int i = 0;; i++) {
        usleep((useconds_t)(i * 37 % 900));
        CHECK_OK(kill(pid, i % 2 ? SIGSTOP : SIGTSTP));
        CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
        if (WIFEXITED(st))
            break;
        CHECK(WIFSTOPPED(st));
        // Stopped is stopped.
        int before = *progress;
        if (i % 10 == 0)
            sleep_ms(5);
        CHECK_EQ(*progress, before);
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
        if (WIFEXITED(st))
            break;
        CHECK(WIFCONTINUED(st));
    }
    CHECK_EQ(st, 0);
    CHECK_EQ(count_entries(dir), 0);
}
