// what: ptrace inside the view: a tracer and its tracee, over path calls, exec and chdir
// worlds: rw
// variants: dynamic static
// pitfalls: 15
#define USES_HELPER
#include "check.h"
#include <sys/ptrace.h>
#include <sys/user.h>

static int helper(int argc, char **argv)
{
    CHECK_EQ(argc, 3);
    struct stat st;
    CHECK_OK(chdir(argv[2]));
    write_file("made", "x");
    CHECK_OK(stat("made", &st));
    CHECK_OK(mkdir("sub", 0755));
    CHECK_OK(chdir("sub"));
    CHECK_OK(stat("../made", &st));
    CHECK_OK(chdir("/"));
    return 6;
}

static char prog[PATH_MAX], work[PATH_MAX];

static void tracee(void *a)
{
    if (a)
        CHECK_OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
    else
        raise(SIGSTOP);
    execl(prog, "prog", "--work", work, (char *)NULL);
    CHECK_OK(-1);
}

// Goes from stop to stop until the end; counts the syscall stops of mkdir and chdir.
static int follow(pid_t pid, int request, int *mkdirs, int *chdirs)
{
    int st;
    *mkdirs = *chdirs = 0;
    for (;;) {
        CHECK_EQ(waitpid(pid, &st, __WALL), pid);
        if (WIFEXITED(st) || WIFSIGNALED(st))
            return st;
        CHECK(WIFSTOPPED(st));
        int sig = WSTOPSIG(st);
        if (sig == (SIGTRAP | 0x80)) {
            struct user_regs_struct r;
            CHECK_OK(ptrace(PTRACE_GETREGS, pid, 0, &r));
            *mkdirs += r.orig_rax == SYS_mkdir || r.orig_rax == SYS_mkdirat;
            *chdirs += r.orig_rax == SYS_chdir;
            sig = 0;
        } else if (sig == SIGTRAP || sig == SIGSTOP || st >> 16) {
            sig = 0;
        }
        CHECK_OK(ptrace((enum __ptrace_request)request, pid, 0, (void *)(long)sig));
    }
}

static void clean(void)
{
    CHECK_OK(unlink(in("w/made")));
    CHECK_OK(rmdir(in("w/sub")));
}

static void test(void)
{
    int st, mkdirs, chdirs;
    strcpy(prog, in("prog"));
    strcpy(work, in("w"));
    copy_file("/proc/self/exe", prog, 0755);
    CHECK_OK(mkdir(work, 0755));
    // TRACEME: a stop at exec, then every system call stops twice.
    pid_t pid = spawn(tracee, "");
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTRAP);
    CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
    CHECK_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
    st = follow(pid, PTRACE_SYSCALL, &mkdirs, &chdirs);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), 6);
    CHECK_EQ(mkdirs, 2);
    CHECK_EQ(chdirs, 6);
    clean();
    // ATTACH to a running one, without looking at its calls.
    pid = spawn(tracee, NULL);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    CHECK(WIFSTOPPED(st));
    if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0) {
        CHECK_EQ(waitpid(pid, &st, 0), pid);
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
        st = follow(pid, PTRACE_CONT, &mkdirs, &chdirs);
        CHECK_EQ(WEXITSTATUS(st), 6);
        clean();
    } else {
        CHECK_EQ(errno, EPERM); // yama
        CHECK_OK(kill(pid, SIGKILL));
        wait_status(pid);
    }
    // SEIZE, interrupt, detach: the tracee doesn't notice.
    pid = spawn(tracee, NULL);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
        CHECK_EQ(waitpid(pid, &st, __WALL), pid);
        CHECK(WIFSTOPPED(st));
        while (ptrace(PTRACE_DETACH, pid, 0, 0) == -1)
            CHECK_EQ(waitpid(pid, &st, __WALL), pid);
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_EQ(WEXITSTATUS(wait_status(pid)), 6);
        clean();
    } else {
        CHECK_EQ(errno, EPERM);
        CHECK_OK(kill(pid, SIGKILL));
        wait_status(pid);
    }
}
