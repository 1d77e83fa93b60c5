// what: a program's own use of SIGSYS: handler, mask, a seccomp filter of its own, jumps out of handlers
// worlds: rw
// variants: dynamic static
// pitfalls: 51
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile sig_atomic_t seen, number;

static void emulate(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    seen = sig;
    number = info->si_syscall;
    u->uc_mcontext.gregs[REG_RAX] = 4242;
}

static void jumps(int sig)
{
    seen = sig;
    siglongjmp(back, 1);
}

static void test(void)
{
    struct sigaction sa;
    sigset_t set, old;
    struct stat st;
    // Untouched at the start.
    CHECK_OK(sigaction(SIGSYS, NULL, &sa));
    CHECK(sa.sa_handler == SIG_DFL);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &old));
    CHECK(!sigismember(&old, SIGSYS));
    // Blocked: the mask reads back, and path calls work.
    sigfillset(&set);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    CHECK_OK(stat(dir, &st));
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(chdir(in("d")));
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &set));
    CHECK(sigismember(&set, SIGSYS) && sigismember(&set, SIGUSR1));
    CHECK_OK(sigpending(&set));
    for (int s = 1; s < 32; s++)
        CHECK(!sigismember(&set, s));
    CHECK_OK(sigprocmask(SIG_SETMASK, &old, NULL));
    // A filter of its own, on a number that nobody needs; the handler makes up the result.
    sa = (struct sigaction){.sa_sigaction = emulate, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK_OK(sigaction(SIGSYS, &sa, NULL));
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mknod, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof code / sizeof *code, code};
    CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
    CHECK_EQ(syscall(SYS_personality, 0xffffffff), 4242);
    CHECK_EQ(seen, SIGSYS);
    CHECK_EQ(number, SYS_personality);
    CHECK_ERRNO(syscall(SYS_mknod, in("x"), S_IFREG | 0600, 0), 77); // its filter comes before ours
    CHECK(!exists(in("x")));
    // Everything else goes on, in children too.
    write_file(in("d/f"), "x");
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_personality, 0xffffffff), 4242);
        CHECK_CONTENT(in("d/f"), "x");
        _exit(0);
    }
    wait_ok(pid);
    // Jumps out of handlers, while calls are made.
    sa = (struct sigaction){.sa_handler = jumps};
    CHECK_OK(sigaction(SIGSYS, &sa, NULL));
    seen = 0;
    if (sigsetjmp(back, 1) == 0) {
        syscall(SYS_personality, 0xffffffff);
        CHECK(!"not reached");
    }
    CHECK_EQ(seen, SIGSYS);
    on_signal(SIGALRM, jumps, 0);
    static volatile int jumped;
    static char f[PATH_MAX], d[PATH_MAX];
    strcpy(f, in("d/f"));
    strcpy(d, in("d"));
    for (volatile int i = 0; i < loops(200); i++) {
        if (sigsetjmp(back, 1) == 0) {
            struct itimerval it = {{0, 0}, {0, 50 + i % 400}};
            CHECK_OK(setitimer(ITIMER_REAL, &it, NULL));
            for (;;) {
                stat(f, &st);
                chdir(d);
                access("/etc/passwd", R_OK);
            }
        }
        jumped++;
        CHECK_OK(stat(f, &st));
        CHECK_EQ(st.st_size, 1);
    }
    CHECK(jumped > 0);
}
