// what: EMFILE: nothing is created, nothing is lost, and it works again afterwards
// worlds: rw
// variants: dynamic static
// pitfalls: 39, 70
#include "check.h"

static void test(void)
{
    struct rlimit old, lim;
    struct stat st;
    CHECK_OK(mkdir(in("d"), 0755));
    write_file(in("f"), "keep");
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &old));
    for (int i = 3; i < 64; i++)
        close(i);
    lim = (struct rlimit){10, old.rlim_max};
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &lim));
    CHECK_OK(getrlimit(RLIMIT_NOFILE, &lim));
    CHECK_EQ(lim.rlim_cur, 10);
    int last = -1;
    for (int i = 3; i < 10; i++)
        CHECK_EQ(last = open(i % 2 ? in("f") : in("d"), O_RDONLY), i);
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(open(in("f"), O_RDONLY), EMFILE);
        CHECK_ERRNO(open(in("d"), O_RDONLY | O_DIRECTORY), EMFILE);
        CHECK_ERRNO(open(in("d"), O_PATH), EMFILE);
        CHECK_ERRNO(open("/etc/passwd", O_RDONLY), EMFILE);
        CHECK_ERRNO(open(in("new"), O_CREAT | O_WRONLY, 0644), EMFILE);
        CHECK_ERRNO(open(in("f"), O_WRONLY | O_TRUNC), EMFILE);
        CHECK_ERRNO(open(dir, O_TMPFILE | O_RDWR, 0600), EMFILE);
        CHECK_ERRNO(open(in("nope"), O_RDONLY), EMFILE); // the number is taken before the path is looked at
        CHECK_ERRNO(dup(3), EMFILE);
        CHECK_ERRNO(fcntl(3, F_DUPFD, 3), EMFILE);
        CHECK_ERRNO(fcntl(3, F_DUPFD, 10), EINVAL);
        CHECK_ERRNO(dup2(3, 10), EBADF);
        CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    }
    CHECK(!exists(in("new")));
    CHECK_EQ(stat_of(in("f")).st_size, 4);
    // Calls that need no descriptor work.
    CHECK_OK(stat(in("f"), &st));
    CHECK_OK(mkdir(in("d/sub"), 0755));
    CHECK_OK(rename(in("d/sub"), in("d/other")));
    CHECK_OK(chdir(in("d/other")));
    CHECK_OK(symlink("x", "l"));
    CHECK_OK(truncate(in("f"), 2));
    CHECK_OK(chmod(in("f"), 0600));
    CHECK_OK(chdir(".."));
    char buf[PATH_MAX];
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_OK(close(last));
    CHECK_EQ(open(in("new"), O_CREAT | O_WRONLY, 0644), 9);
    CHECK(exists(in("new")));
    lim.rlim_cur = old.rlim_cur;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &lim));
    CHECK_EQ(open(in("f"), O_RDONLY), 10);
}
