// what: exec by a thread that is not the leader: one process goes on, with its pid, descriptors, cwd and
// the umask of the thread
// worlds: rw
// variants: dynamic static
// pitfalls: 11
#define USES_HELPER
#include "check.h"

// helper --now PID KEPT CWD
static int helper(int argc, char **argv)
{
    char buf[PATH_MAX];
    CHECK_EQ(argc, 5);
    CHECK_EQ(getpid(), atoi(argv[2]));
    CHECK_EQ(syscall(SYS_gettid), getpid());
    CHECK_EQ(read(atoi(argv[3]), buf, 4), 4);
    CHECK(!memcmp(buf, "kept", 4));
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf, argv[4]);
    CHECK_EQ(count_entries("/proc/self/task"), 1);
    CHECK_OK(close(CHECK_OK(open("masked", O_WRONLY | O_CREAT | O_EXCL, 0666))));
    CHECK_EQ(stat_of("masked").st_mode & 0777, 0600);
    CHECK_OK(unlink("masked"));
    write_file("done", "by the new leader");
    int fd = CHECK_OK(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_OK(mkdirat(fd, "sub", 0755));
    CHECK_OK(chdir("sub"));
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf + strlen(argv[4]), "/sub");
    return 0;
}

static char prog[PATH_MAX], pid_text[16], fd_text[16], cwd[PATH_MAX];

static void *runs(void *a)
{
    (void)a;
    // The leader's is another.
    CHECK_OK(unshare(CLONE_FS));
    CHECK_EQ(umask(077), 022);
    execl(prog, "prog", "--now", pid_text, fd_text, cwd, (char *)NULL);
    CHECK_OK(-1);
    return NULL;
}

static void *opens(void *a)
{
    (void)a;
    struct stat st;
    for (;;) {
        int fd = open(prog, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            close(fd);
        stat(dir, &st);
        stat("/etc/passwd", &st);
    }
    return NULL;
}

static void child(void *a)
{
    bool leader_waits = a != NULL;
    pthread_t t;
    CHECK_OK(chdir(dir));
    CHECK(getcwd(cwd, sizeof cwd) != NULL);
    CHECK_OK(close(CHECK_OK(open("made", O_WRONLY | O_CREAT, 0666))));
    CHECK_EQ(stat_of("made").st_mode & 0777, 0644);
    snprintf(pid_text, sizeof pid_text, "%d", getpid());
    snprintf(fd_text, sizeof fd_text, "%d", CHECK_OK(open(in("f"), O_RDONLY)));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t, NULL, opens, NULL), 0);
    sleep_ms(2);
    CHECK_EQ(pthread_create(&t, NULL, runs, NULL), 0);
    if (leader_waits)
        for (;;)
            pause();
    opens(NULL);
}

static void test(void)
{
    strcpy(prog, in("prog"));
    copy_file("/proc/self/exe", prog, 0755);
    write_file(in("f"), "kept");
    for (int i = 0; i < 2 * loops(5); i++) {
        wait_ok(spawn(child, i % 2 ? "" : NULL));
        CHECK_CONTENT(in("done"), "by the new leader");
        CHECK_OK(unlink(in("done")));
        CHECK_OK(rmdir(in("sub")));
    }
}
