// what: a process that is not dumpable: its path calls work all the same
// worlds: rw
// variants: dynamic static threads
// pitfalls: 16
#include "check.h"
#include <sys/prctl.h>

static void test(void)
{
    char buf[PATH_MAX];
    struct stat st;
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    write_file(in("d/f"), "x");
    CHECK_CONTENT(in("d/f"), "x");
    CHECK_OK(stat("/etc/passwd", &st));
    CHECK_CONTENT(in("d/../d/f"), "x");
    CHECK_OK(chdir(in("d")));
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_OK(rename("f", "g"));
    int d = CHECK_OK(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_OK(fstatat(d, "g", &st, 0));
    CHECK_EQ(count_entries("."), 1);
    CHECK_OK(mkfifo("p", 0600));
    CHECK_OK(close(CHECK_OK(open("p", O_RDWR | O_CLOEXEC))));
    CHECK_OK(chdir("/"));
    // A child inherits the state until it execs.
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
        CHECK_OK(chdir(in("d")));
        CHECK_CONTENT("g", "x");
        execl("/bin/sh", "sh", "-c", "cat g >/dev/null && test -r g && mv g h", (char *)NULL);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    CHECK(exists(in("d/h")));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
}
