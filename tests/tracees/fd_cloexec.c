// what: O_CLOEXEC is really set, and only when asked for, on everything that can be opened
// worlds: rw
// variants: dynamic static
// pitfalls: 27, 43
#define USES_HELPER
#include "check.h"

// helper --open FD...: exactly these are open besides 0, 1 and 2.
static int helper(int argc, char **argv)
{
    for (int fd = 3; fd < 200; fd++) {
        bool wanted = false;
        for (int i = 2; i < argc; i++)
            wanted |= atoi(argv[i]) == fd;
        if ((fcntl(fd, F_GETFD) == 0) != wanted)
            check_fail(__FILE__, __LINE__, "descriptor after exec", "%d is %s", fd, wanted ? "gone" : "still open");
    }
    return 0;
}

static void test(void)
{
    for (int i = 3; i < 200; i++)
        close(i);
    write_file(in("f"), "x");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkfifo(in("p"), 0600));
    CHECK_OK(symlink("f", in("l")));
    const struct {
        char *path;
        int flags;
    } kinds[] = {
        {in("f"), O_RDONLY},   {in("f"), O_RDWR | O_APPEND}, {in("d"), O_RDONLY | O_DIRECTORY}, {in("f"), O_PATH}, {in("d"), O_PATH},
        {in("l"), O_PATH | O_NOFOLLOW}, {in("p"), O_RDWR}, {in("new"), O_CREAT | O_WRONLY}, {strdup(dir), O_TMPFILE | O_RDWR},
        {"/etc/passwd", O_RDONLY}, {"/proc/self/status", O_RDONLY}, {"/dev/null", O_RDWR}, {"/proc/self/fd/0", O_RDONLY}, {in("l"), O_RDONLY | O_TRUNC},
    };
    char *argv[40] = {"helper", "--open"}, number[40][8];
    int n = 2;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int c = CHECK_OK(open(kinds[i].path, kinds[i].flags | O_CLOEXEC, 0600));
        int k = CHECK_OK(open(kinds[i].path, kinds[i].flags, 0600));
        CHECK_EQ(fcntl(c, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(k, F_GETFD), 0);
        CHECK_EQ(fcntl(c, F_GETFL) & ~O_CLOEXEC, fcntl(k, F_GETFL) & ~O_CLOEXEC);
        snprintf(number[n], sizeof number[n], "%d", k);
        argv[n] = number[n];
        n++;
    }
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(execv("/proc/self/exe", argv));
    }
    wait_ok(pid);
    // The same from a program in the directory.
    copy_file("/proc/self/exe", in("prog"), 0755);
    pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(execv(in("prog"), argv));
    }
    wait_ok(pid);
}
