// what: the current directory when it is renamed, removed, inherited
// worlds: rw
// variants: dynamic static threads
// pitfalls: 24
#include "check.h"

static char *cwd(void)
{
    static char buf[PATH_MAX];
    CHECK(getcwd(buf, sizeof buf) != NULL);
    return buf;
}

static void child(void *a)
{
    (void)a;
    CHECK_OK(chdir("in"));
    write_file("from-child", "x");
}

static void test(void)
{
    char real[PATH_MAX], buf[PATH_MAX], want[PATH_MAX];
    CHECK(realpath(dir, real) != NULL);
    CHECK_OK(mkdir(in("a"), 0755));
    CHECK_OK(mkdir(in("a/in"), 0755));
    CHECK_OK(chdir(in("a")));
    CHECK_STR(cwd(), join(real, "a"));
    wait_ok(spawn(child, NULL));
    CHECK_CONTENT(in("a/in/from-child"), "x");
    CHECK_STR(cwd(), join(real, "a")); // the child's chdir was its own

    CHECK_OK(rename(in("a"), in("b")));
    CHECK_STR(cwd(), join(real, "b"));
    write_file("rel", "r");
    CHECK_CONTENT(in("b/rel"), "r");
    CHECK_OK(chdir("in"));
    CHECK_STR(cwd(), join(real, "b/in"));
    CHECK_OK(rename(in("b"), in("c")));
    CHECK_STR(cwd(), join(real, "c/in"));
    CHECK_OK(chdir(".."));
    CHECK_STR(cwd(), join(real, "c"));
    CHECK_OK(chdir("../.."));
    strcpy(buf, real);
    *strrchr(buf, '/') = 0;
    CHECK_STR(cwd(), *buf ? buf : "/");

    // getcwd(2) itself: length with the NUL; ERANGE; EFAULT.
    CHECK_OK(chdir(in("c")));
    strcpy(want, join(real, "c"));
    CHECK_EQ(syscall(SYS_getcwd, buf, sizeof buf), strlen(want) + 1);
    CHECK_EQ(syscall(SYS_getcwd, buf, strlen(want) + 1), strlen(want) + 1);
    CHECK_ERRNO(syscall(SYS_getcwd, buf, strlen(want)), ERANGE);
    CHECK_ERRNO(syscall(SYS_getcwd, (void *)8, sizeof buf), EFAULT);
    ssize_t n = CHECK_OK(readlink("/proc/self/cwd", buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, want);

    // Through a symlink: the real name.
    CHECK_OK(symlink("c/in", in("link")));
    CHECK_OK(chdir(in("link")));
    CHECK_STR(cwd(), join(real, "c/in"));
    CHECK_OK(chdir("../rel/..") == -1 && errno == ENOTDIR ? 0 : -1);

    // Removed while it is the current one.
    CHECK_OK(unlink("from-child"));
    CHECK_OK(rmdir(in("c/in")));
    CHECK(getcwd(buf, sizeof buf) == NULL && errno == ENOENT);
    struct stat st;
    CHECK_OK(stat(".", &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_ERRNO(open("x", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERRNO(mkdir("x", 0755), ENOENT);
    CHECK_OK(mkdir(in("c/in"), 0755)); // another directory of the same name changes nothing
    CHECK(getcwd(buf, sizeof buf) == NULL && errno == ENOENT);
    CHECK_ERRNO(stat("from-child", &st), ENOENT);
    CHECK_OK(stat("..", &st));
    CHECK_EQ(st.st_ino, stat_of(in("c")).st_ino);
    CHECK_OK(chdir(".."));
    CHECK_STR(cwd(), join(real, "c"));

    CHECK_ERRNO(chdir(in("c/rel")), ENOTDIR);
    CHECK_ERRNO(chdir(in("nope")), ENOENT);
    CHECK_ERRNO(chdir(""), ENOENT);
    CHECK_ERRNO(chdir(NULL), EFAULT);
    CHECK_OK(mkdir(in("closed"), 0600));
    CHECK_ERRNO(chdir(in("closed")), EACCES);
    CHECK_OK(chmod(in("closed"), 0100));
    CHECK_OK(chdir(in("closed"))); // search permission is enough
    CHECK_ERRNO(open(".", O_RDONLY), EACCES);
    CHECK_STR(cwd(), join(real, "closed"));
    // By descriptor, also of O_PATH.
    int p = CHECK_OK(open(in("c"), O_PATH | O_CLOEXEC)), f = CHECK_OK(open(in("c/rel"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(fchdir(p));
    CHECK_STR(cwd(), join(real, "c"));
    CHECK_ERRNO(fchdir(f), ENOTDIR);
    CHECK_ERRNO(fchdir(-1), EBADF);
    CHECK_OK(chdir("/"));
    CHECK_STR(cwd(), "/");
    CHECK_OK(chmod(in("closed"), 0700));
}
