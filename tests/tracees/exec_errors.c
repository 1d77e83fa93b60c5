// what: errors of exec, in their order; a process lives on after a failed one
// worlds: rw
// variants: dynamic static threads
// pitfalls: 43, 67
#define USES_HELPER
#include "check.h"

static int helper(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--sleep")) {
        CHECK_EQ(write(1, "s", 1), 1);
        pause();
    }
    return 0;
}

static void test(void)
{
    char *const av[] = {"x", NULL};
    static char big[1 << 18];
    copy_file("/proc/self/exe", in("prog"), 0755);
    write_file(in("text"), "no magic");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(symlink("loop", in("loop")));
    CHECK_ERRNO(execve(in("nope"), av, NULL), ENOENT);
    CHECK_ERRNO(execve("", av, NULL), ENOENT);
    CHECK_ERRNO(execve(NULL, av, NULL), EFAULT);
    CHECK_ERRNO(execve(in("text"), av, NULL), EACCES);
    CHECK_OK(chmod(in("text"), 0755));
    CHECK_ERRNO(execve(in("text"), av, NULL), ENOEXEC);
    CHECK_ERRNO(execve(in("d"), av, NULL), EACCES);
    CHECK_ERRNO(execve(in("text/x"), av, NULL), ENOTDIR);
    CHECK_ERRNO(execve(in("prog/"), av, NULL), ENOTDIR);
    CHECK_ERRNO(execve(in("loop"), av, NULL), ELOOP);
    CHECK_ERRNO(execve(in("prog"), (char *const *)8, NULL), EFAULT);
    char *const bad[] = {"x", (char *)8, NULL};
    CHECK_ERRNO(execve(in("prog"), bad, NULL), EFAULT);
    CHECK_ERRNO(execve(in("prog"), av, (char *const *)8), EFAULT);
    CHECK_ERRNO(execve(in("nope"), (char *const *)8, NULL), ENOENT);
    memset(big, 'a', sizeof big - 1);
    char *const toobig[] = {"x", big, NULL}; // one string over 128 KiB
    CHECK_ERRNO(execve(in("prog"), toobig, NULL), E2BIG);
    // A truncated program.
    int fd = CHECK_OK(open(in("cut"), O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
    CHECK_EQ(write(fd, "\177ELF\2\1\1", 7), 7);
    CHECK_OK(close(fd));
    CHECK_ERRNO(execve(in("cut"), av, NULL), ENOEXEC);
    // Text busy: open for writing, or being run.
    fd = CHECK_OK(open(in("prog"), O_RDWR | O_CLOEXEC));
    CHECK_ERRNO(execve(in("prog"), av, NULL), ETXTBSY);
    CHECK_OK(close(fd));
    int p[2];
    CHECK_OK(pipe(p));
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        dup2(p[1], 1);
        execl(in("prog"), "prog", "--sleep", (char *)NULL);
        CHECK_OK(-1);
    }
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_ERRNO(open(in("prog"), O_WRONLY), ETXTBSY);
    CHECK_ERRNO(open(in("prog"), O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERRNO(truncate(in("prog"), 0), ETXTBSY);
    CHECK_OK(close(CHECK_OK(open(in("prog"), O_RDONLY))));
    CHECK_OK(link(in("prog"), in("prog2")));
    CHECK_OK(rename(in("prog2"), in("text")));
    CHECK_OK(chmod(in("prog"), 0700));
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_EQ(WTERMSIG(wait_status(pid)), SIGKILL);
    CHECK_OK(close(CHECK_OK(open(in("prog"), O_WRONLY))));
    // No argv at all: the kernel makes one empty string.
    pid = CHECK_OK(fork());
    if (pid == 0) {
        execve(in("prog"), NULL, (char *[]){"CHECK_HELPER=1", NULL});
        CHECK_OK(-1);
    }
    wait_ok(pid);
}
