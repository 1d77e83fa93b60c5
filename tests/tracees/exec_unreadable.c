// what: exec of a program of mode 0111: may be run, not read
// worlds: rw
// variants: static
// pitfalls: 16
#define USES_HELPER
#include "check.h"

static int helper(int argc, char **argv)
{
    CHECK_EQ(argc, 3);
    CHECK_ERRNO(open(argv[2], O_RDONLY), EACCES);
    struct stat st;
    CHECK_OK(stat(argv[2], &st));
    write_file("made-by-it", "x");
    return 0;
}

static void test(void)
{
    copy_file("/proc/self/exe", in("prog"), 0111);
    CHECK_ERRNO(open(in("prog"), O_RDONLY), EACCES);
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(chdir(dir));
        execl(in("prog"), "prog", "--run", in("prog"), (char *)NULL);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    CHECK_CONTENT(in("made-by-it"), "x");
    // By a descriptor of O_PATH, the only one that can be had.
    int p = CHECK_OK(open(in("prog"), O_PATH | O_CLOEXEC));
    CHECK_OK(unlink(in("made-by-it")));
    pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(chdir(dir));
        char *const argv[] = {"prog", "--run", in("prog"), NULL};
        syscall(SYS_execveat, p, "", argv, environ, AT_EMPTY_PATH);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    CHECK_CONTENT(in("made-by-it"), "x");
}
