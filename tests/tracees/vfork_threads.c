// what: vfork and exec from one thread while its siblings open files
// worlds: rw
// variants: dynamic static
// pitfalls: 10
#define USES_HELPER
#include "check.h"

static int helper(int argc, char **argv)
{
    CHECK_EQ(argc, 3);
    CHECK_CONTENT(argv[2], "data");
    return 5;
}

static void *opens(void *a)
{
    struct stat st;
    char name[32];
    for (int i = 0; !check_stop; i++) {
        int fd = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
        CHECK_OK(fstat(fd, &st));
        CHECK_EQ(st.st_size, 4);
        CHECK_OK(close(fd));
        snprintf(name, sizeof name, "t%ld-%d", (long)a, i % 10);
        write_file(in(name), "x");
        CHECK_OK(unlink(in(name)));
        CHECK_OK(stat("/etc/passwd", &st));
    }
    return NULL;
}

static void test(void)
{
    pthread_t t[3];
    char prog[PATH_MAX], f[PATH_MAX];
    strcpy(prog, in("prog"));
    strcpy(f, in("f"));
    copy_file("/proc/self/exe", prog, 0755);
    write_file(f, "data");
    for (long i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, opens, (void *)i), 0);
    for (int i = 0; i < loops(50); i++) {
        pid_t pid = vfork();
        CHECK(pid != -1);
        if (pid == 0) {
            execl(i % 5 == 4 ? "/nope" : prog, "prog", "--read", f, (char *)NULL);
            _exit(9);
        }
        int st = wait_status(pid);
        CHECK(WIFEXITED(st));
        CHECK_EQ(WEXITSTATUS(st), i % 5 == 4 ? 9 : 5);
    }
    check_stop = 1;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}
