// what: a command for the lifecycle tests: it says how it was started, or stays around in some way
// worlds: none
// variants: dynamic
// pitfalls: 7, 8, 19, 64
#define CHECK_NO_MAIN
#include "check.h"
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static volatile sig_atomic_t got;

static void remember(int sig)
{
    got = sig;
}

// Waits until the path exists, then prints it. Gives up after ten seconds.
static int poll_path(const char *path)
{
    for (int i = 0; i < 1000; i++, sleep_ms(10))
        if (access(path, F_OK) == 0) {
            fputs(read_file(path), stdout);
            return 0;
        }
    return 1;
}

// Runs a command as the first process of a container would that cares for no orphans; prints how many it got.
static int adopt(char **command)
{
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    int orphans = 0;
    while (waitpid(-1, NULL, 0) > 0)
        orphans++;
    printf("%d\n", orphans);
    return 0;
}

// How a process is started, line by line, without what differs from run to run.
static int status(void)
{
    char *text = read_file("/proc/self/status");
    static const char *const keys[] = {"SigBlk:", "SigIgn:", "Groups:"};
    for (int i = 0; i < 3; i++) {
        char *p = strstr(text, keys[i]);
        CHECK(p != NULL);
        printf("%.*s\n", (int)strcspn(p, "\n"), p);
    }
    static const int limits[] = {RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_STACK, RLIMIT_NPROC, RLIMIT_AS};
    for (int i = 0; i < 5; i++) {
        struct rlimit r;
        CHECK_OK(getrlimit((__rlimit_resource_t)limits[i], &r));
        printf("limit %d: %ld %ld\n", limits[i], (long)r.rlim_cur, (long)r.rlim_max);
    }
    for (int fd = 3; fd < 100; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            printf("open: %d\n", fd);
    char cwd[PATH_MAX];
    printf("cwd: %s\n", getcwd(cwd, sizeof cwd) ? cwd : "?");
    printf("umask: %03o\n", umask(0));
    printf("uid: %d %d gid: %d %d\n", getuid(), geteuid(), getgid(), getegid());
    printf("nice: %d\n", getpriority(PRIO_PROCESS, 0));
    printf("same session as the starter: %d\n", getenv("PROBE_SID") && getsid(0) == atoi(getenv("PROBE_SID")));
    return 0;
}

// launch [ignore=N,..] [block=N,..] [close=FD,..] [nofile=N] [core=N] [umask=OCTAL] -- CMD...
static int launch(char **a)
{
    char sid[16];
    for (; *a && strcmp(*a, "--"); a++) {
        char *value = strchr(*a, '=') + 1;
        sigset_t set;
        sigemptyset(&set);
        struct rlimit r = {(rlim_t)atol(value), RLIM_INFINITY};
        if (!strncmp(*a, "umask=", 6))
            umask((mode_t)strtol(value, NULL, 8));
        else if (!strncmp(*a, "nofile=", 7)) {
            struct rlimit old;
            CHECK_OK(getrlimit(RLIMIT_NOFILE, &old));
            r.rlim_max = old.rlim_max;
            CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
        } else if (!strncmp(*a, "core=", 5)) {
            r.rlim_max = r.rlim_cur;
            CHECK_OK(setrlimit(RLIMIT_CORE, &r));
        } else
            for (char *p = strtok(value, ","); p; p = strtok(NULL, ","))
                if (!strncmp(*a, "ignore=", 7))
                    on_signal(atoi(p), SIG_IGN, 0);
                else if (!strncmp(*a, "close=", 6))
                    close(atoi(p));
                else {
                    sigaddset(&set, atoi(p));
                    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
                }
    }
    snprintf(sid, sizeof sid, "%d", getsid(0));
    setenv("PROBE_SID", sid, 1);
    execvp(a[1], a + 1);
    perror(a[1]);
    return 99;
}

// Leaves a process behind that has lost its parent: it copies FROM to TO once GO exists. As a daemon it also has a session
// of its own and none of our descriptors.
static int leave(bool daemon, const char *from, const char *go, const char *to)
{
    CHECK_OK(chdir(daemon ? "/" : "."));
    pid_t pid = CHECK_OK(fork());
    if (pid) {
        wait_ok(pid);
        return 0;
    }
    if (daemon)
        CHECK_OK(setsid());
    if (CHECK_OK(fork()) > 0)
        _exit(0);
    if (daemon)
        CHECK_OK(close_range(0, ~0U, 0));
    for (int i = 0; i < 1000 && access(go, F_OK) != 0; i++)
        sleep_ms(10);
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%s.new", to);
    write_file(temporary, read_file(from));
    CHECK_OK(rename(temporary, to));
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(verb, "exit"))
        return atoi(argv[2]);
    if (!strcmp(verb, "die")) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        kill(getpid(), atoi(argv[2]));
        pause();
    }
    if (!strcmp(verb, "status"))
        return status();
    if (!strcmp(verb, "launch"))
        return launch(argv + 2);
    if (!strcmp(verb, "poll"))
        return poll_path(argv[2]);
    if (!strcmp(verb, "daemon") || !strcmp(verb, "orphan"))
        return leave(!strcmp(verb, "daemon"), argv[2], argv[3], argv[4]);
    if (!strcmp(verb, "trap")) { // waits for a signal; its number is the exit status
        for (int s = 1; s < 32; s++)
            if (s != SIGCHLD && s != SIGKILL && s != SIGSTOP)
                on_signal(s, remember, 0);
        puts("ready");
        for (int i = 0; i < 2000 && !got; i++)
            sleep_ms(10);
        return got;
    }
    if (!strcmp(verb, "sleep")) { // prints its pid; some children that sleep too, when asked for
        for (int i = argc > 2 ? atoi(argv[2]) : 0; i > 0; i--)
            if (CHECK_OK(fork()) == 0)
                for (;;)
                    pause();
        printf("%d\n", getpid());
        for (;;)
            pause();
    }
    if (!strcmp(verb, "hold")) { // keeps PATH open until its standard input ends, then prints it
        int fd = CHECK_OK(open(argv[2], O_RDONLY | O_CLOEXEC));
        puts("holding");
        char c[4096];
        while (read(0, c, 1) > 0) {
        }
        ssize_t n = CHECK_OK(read(fd, c, sizeof c));
        return fwrite(c, 1, (size_t)n, stdout) == (size_t)n ? 0 : 1;
    }
    if (!strcmp(verb, "adopt"))
        return adopt(argv + 2);
    if (!strcmp(verb, "mount")) {
        CHECK_OK(mount(argv[2], argv[3], argv[4], strtoul(argv[5], NULL, 0), argc > 6 ? argv[6] : NULL));
        return 0;
    }
    if (!strcmp(verb, "umount")) { // prints the errno's number
        printf("%d\n", umount2(argv[2], atoi(argv[3])) == 0 ? 0 : errno);
        return 0;
    }
    fprintf(stderr, "probe: what?\n");
    return 98;
}
