// what: directory descriptors, cwd and open files keep their meaning over exec
// worlds: rw
// variants: dynamic static threads
// pitfalls: 23, 43
#define USES_HELPER
#include "check.h"

// helper --use DIRFD FILEFD PATHFD: cwd must be <dir>/cwd.
static int helper(int argc, char **argv)
{
    CHECK_EQ(argc, 5);
    int d = atoi(argv[2]), f = atoi(argv[3]), p = atoi(argv[4]);
    char buf[16] = "";
    CHECK_EQ(read(f, buf, sizeof buf), 2); // the offset was kept
    CHECK_STR(buf, "cd");
    int fd = CHECK_OK(openat(d, "made", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
    CHECK_EQ(write(fd, "made", 4), 4);
    struct stat st;
    CHECK_OK(fstatat(p, "made", &st, 0));
    CHECK_EQ(st.st_size, 4);
    CHECK_OK(fchdir(d));
    CHECK_CONTENT("made", "made");
    return 0;
}

static int use_cwd(void)
{
    char cwd[PATH_MAX];
    CHECK(getcwd(cwd, sizeof cwd) != NULL);
    size_t n = strlen(cwd);
    CHECK(n > 4 && !strcmp(cwd + n - 4, "/cwd"));
    write_file("here", "relative");
    return 0;
}

static void test(void)
{
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkdir(in("cwd"), 0755));
    write_file(in("f"), "abcd");
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY)), f = CHECK_OK(open(in("f"), O_RDONLY)), p = CHECK_OK(open(in("d"), O_PATH));
    char buf[2], a[16], b[16], c[16], self[PATH_MAX];
    CHECK_EQ(read(f, buf, 2), 2);
    snprintf(a, sizeof a, "%d", d);
    snprintf(b, sizeof b, "%d", f);
    snprintf(c, sizeof c, "%d", p);
    ssize_t n = CHECK_OK(readlink("/proc/self/exe", self, sizeof self - 1));
    self[n] = 0;
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(chdir(in("cwd")));
        use_cwd();
        execl(self, "helper", "--use", a, b, c, (char *)NULL);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    CHECK_CONTENT(in("d/made"), "made");
    CHECK_CONTENT(in("cwd/here"), "relative");
    // The child's reads moved the offset that is shared with us.
    CHECK_EQ(lseek(f, 0, SEEK_CUR), 4);
    CHECK(!exists("/proc/self/cwd/here") || !strcmp(dir, "/"));
}
