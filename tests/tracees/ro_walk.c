// what: current directory, dirfds and openat2 inside the tree
// worlds: ro
// variants: dynamic static threads
// pitfalls: 20, 23, 24
#include "fixture.h"
#include <linux/openat2.h>

static int open2(int dfd, const char *path, uint64_t resolve)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = resolve};
    return (int)syscall(SYS_openat2, dfd, path, &how, sizeof how);
}

static void test(void)
{
    char real[PATH_MAX], buf[PATH_MAX];
    struct stat st;
    CHECK(realpath(dir, real) != NULL);
    CHECK_OK(chdir(in("linkdir/sub")));
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf, join(real, "dir/sub"));
    CHECK_CONTENT("deep", "deep\n");
    CHECK_CONTENT("../a", "a\n");
    CHECK_CONTENT("../../link", FIXTURE_TEXT);
    ssize_t n = CHECK_OK(readlink("/proc/self/cwd", buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, join(real, "dir/sub"));
    CHECK_CONTENT("/proc/self/cwd/deep", "deep\n");
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_CONTENT("deep", "deep\n");
        execl("/bin/sh", "sh", "-c", "cat deep >/dev/null && cd .. && test -e sub/deep && cd ../deep && pwd", (char *)NULL);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    CHECK_OK(chdir(".."));
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf, join(real, "dir"));
    CHECK_ERRNO(chdir("a"), ENOTDIR);
    CHECK_ERRNO(chdir("nope"), ENOENT);
    CHECK_ERRNO(chdir("../loop"), ELOOP);

    int d = CHECK_OK(open(in("dir"), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), p = CHECK_OK(open(in("linkdir"), O_PATH | O_CLOEXEC));
    for (int i = 0; i < 2; i++) {
        int fd = i ? p : d;
        CHECK_OK(fstatat(fd, "sub/deep", &st, 0));
        CHECK_OK(fstatat(fd, "../file", &st, 0));
        CHECK_OK(faccessat(fd, "a", R_OK, 0));
        CHECK_OK(close(CHECK_OK(open2(fd, "a", 0))));
        CHECK_OK(close(CHECK_OK(open2(fd, "sub/../a", RESOLVE_BENEATH))));
        CHECK_ERRNO(open2(fd, "up", RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "../file", RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "up", RESOLVE_NO_SYMLINKS), ELOOP);
        CHECK_ERRNO(open2(fd, "up", RESOLVE_IN_ROOT), ENOENT);
        CHECK_OK(close(CHECK_OK(open2(fd, "/sub/../../../a", RESOLVE_IN_ROOT))));
        CHECK_OK(close(CHECK_OK(open2(fd, "sub/deep", RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS))));
        CHECK_ERRNO(openat(fd, "a/x", O_RDONLY), ENOTDIR);
    }
    int top = CHECK_OK(open(dir, O_PATH | O_CLOEXEC));
    CHECK_OK(close(CHECK_OK(open2(top, "linkdir/up", RESOLVE_BENEATH))));
    CHECK_ERRNO(open2(top, "toroot/etc", RESOLVE_BENEATH), EXDEV);
    CHECK_OK(close(CHECK_OK(open2(top, "toroot/dir/a", RESOLVE_IN_ROOT))));
    CHECK_ERRNO(open2(top, "l41", 0), ELOOP);
    // Links to what is open; re-opens through them.
    char link[64];
    int f = CHECK_OK(open(in("link"), O_RDONLY | O_CLOEXEC));
    snprintf(link, sizeof link, "/proc/self/fd/%d", f);
    n = CHECK_OK(readlink(link, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, join(real, "file"));
    CHECK_EQ(lseek(f, 7, SEEK_SET), 7);
    CHECK_CONTENT(link, FIXTURE_TEXT);
    snprintf(link, sizeof link, "/dev/fd/%d", p);
    n = CHECK_OK(readlink(link, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, join(real, "dir"));
    snprintf(link, sizeof link, "/proc/self/fd/%d/sub/deep", p);
    CHECK_CONTENT(link, "deep\n");
    CHECK_OK(fchdir(p));
    CHECK_CONTENT("b", "b\n");
    CHECK_OK(chdir("/"));
}
