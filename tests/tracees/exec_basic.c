// what: exec of a program in the directory: argv, AT_EXECFN, exe, comm, cwd, environment, CLOEXEC, signal state
// worlds: rw
// variants: dynamic static static-pie threads
// pitfalls: 36, 43
#define USES_HELPER
#include "check.h"
#include <sys/auxv.h>
#include <sys/prctl.h>

// helper --check EXE EXECFN CWD KEPT GONE
static int helper(int argc, char **argv)
{
    char buf[PATH_MAX];
    CHECK_EQ(argc, 7);
    CHECK_STR(argv[0], "any name");
    ssize_t n = CHECK_OK(readlink("/proc/self/exe", buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, argv[2]);
    CHECK_STR((char *)getauxval(AT_EXECFN), argv[3]);
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf, argv[4]);
    CHECK_OK(fcntl(atoi(argv[5]), F_GETFD));
    CHECK_ERRNO(fcntl(atoi(argv[6]), F_GETFD), EBADF);
    CHECK_OK(prctl(PR_GET_NAME, buf));
    CHECK_STR(buf, "a program with "); // the file's name, cut to 15 bytes
    CHECK_STR(read_file("/proc/self/comm"), "a program with \n");
    CHECK_STR(getenv("KEY"), "value");
    CHECK(getenv("HOME") == NULL);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EUID), geteuid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK(getauxval(AT_RANDOM) != 0);
    struct sigaction sa;
    CHECK_OK(sigaction(SIGUSR1, NULL, &sa));
    CHECK(sa.sa_handler == SIG_DFL);
    CHECK_OK(sigaction(SIGUSR2, NULL, &sa));
    CHECK(sa.sa_handler == SIG_IGN);
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK(sigismember(&set, SIGHUP) && !sigismember(&set, SIGINT) && !sigismember(&set, SIGSYS));
    char *line = strchr(read_file("/proc/self/cmdline"), 0);
    CHECK_STR(line + 1, "--check");
    // Our own file can't be written now.
    CHECK_ERRNO(open("/proc/self/exe", O_WRONLY), ETXTBSY);
    CHECK_ERRNO(open(argv[2], O_RDWR), ETXTBSY);
    CHECK_ERRNO(truncate(argv[2], 0), ETXTBSY);
    int fd = CHECK_OK(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK(!memcmp(buf, "\177ELF", 4));
    return 0;
}

static void nothing(int sig)
{
    (void)sig;
}

static void run(const char *file, const char *exe, const char *cwd, int kept, int gone)
{
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        char a[16], b[16];
        snprintf(a, sizeof a, "%d", kept);
        snprintf(b, sizeof b, "%d", gone);
        on_signal(SIGUSR1, nothing, 0);
        on_signal(SIGUSR2, SIG_IGN, 0);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_SETMASK, &set, NULL);
        char *const argv[] = {"any name", "--check", (char *)exe, (char *)file, (char *)cwd, a, b, NULL};
        char *const env[] = {"KEY=value", NULL};
        CHECK_OK(execve(file, argv, env));
    }
    wait_ok(pid);
}

static void test(void)
{
    char real[PATH_MAX], exe[PATH_MAX], d[PATH_MAX];
    CHECK(realpath(dir, real) != NULL);
    strcpy(exe, join(real, "a program with a name"));
    strcpy(d, join(real, "d"));
    copy_file("/proc/self/exe", exe, 0755);
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(symlink("a program with a name", in("link")));
    CHECK_OK(symlink("../link", in("d/a program with a long name too")));
    int kept = CHECK_OK(open(exe, O_RDONLY)), gone = CHECK_OK(open(exe, O_RDONLY | O_CLOEXEC));
    CHECK_OK(chdir(d));
    run(exe, exe, d, kept, gone);
    run("../a program with a name", exe, d, kept, gone);
    run("../d/../a program with a name", exe, d, kept, gone);
    run("./a program with a long name too", exe, d, kept, gone);
    CHECK_OK(chdir("/"));
    run(in("d/a program with a long name too"), exe, "/", kept, gone);
}
