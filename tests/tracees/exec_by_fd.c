// what: execveat and fexecve: descriptors, O_PATH, AT_EMPTY_PATH, scripts, memfds, /proc/self/fd
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21, 43
#define USES_HELPER
#include "check.h"
#include <sys/auxv.h>

// helper --exe PATH EXECFN
static int helper(int argc, char **argv)
{
    char buf[PATH_MAX];
    if (argc == 4 && *argv[2]) {
        ssize_t n = CHECK_OK(readlink("/proc/self/exe", buf, sizeof buf - 1));
        buf[n] = 0;
        CHECK_STR(buf, argv[2]);
    }
    if (argc == 4 && *argv[3])
        CHECK_STR((char *)getauxval(AT_EXECFN), argv[3]);
    return 0;
}

static char real_prog[PATH_MAX];

static int try(int dfd, const char *path, int flags, const char *exe, const char *execfn)
{
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        char *const argv[] = {"h", "--exe", (char *)exe, (char *)execfn, NULL};
        syscall(SYS_execveat, dfd, path, argv, environ, flags);
        _exit(100 + errno);
    }
    int st = wait_status(pid);
    CHECK(WIFEXITED(st));
    return WEXITSTATUS(st);
}

static void test(void)
{
    char real[PATH_MAX], buf[64];
    CHECK(realpath(dir, real) != NULL);
    strcpy(real_prog, join(real, "prog"));
    copy_file("/proc/self/exe", in("prog"), 0755);
    CHECK_OK(symlink("prog", in("link")));
    int d = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), dp = CHECK_OK(open(dir, O_PATH | O_CLOEXEC));
    snprintf(buf, sizeof buf, "/dev/fd/%d/prog", d);
    CHECK_EQ(try(d, "prog", 0, real_prog, buf), 0);
    CHECK_EQ(try(dp, "prog", 0, real_prog, ""), 0);
    CHECK_EQ(try(AT_FDCWD, in("prog"), 0, real_prog, in("prog")), 0);
    CHECK_EQ(try(d, in("prog"), 0, real_prog, in("prog")), 0);
    CHECK_EQ(try(d, "link", 0, real_prog, ""), 0);
    CHECK_EQ(try(d, "link", AT_SYMLINK_NOFOLLOW, "", ""), 100 + ELOOP);
    CHECK_EQ(try(d, "prog", AT_SYMLINK_NOFOLLOW, real_prog, ""), 0);
    CHECK_EQ(try(d, "prog", 0x4000, "", ""), 100 + EINVAL);
    CHECK_EQ(try(d, "", 0, "", ""), 100 + ENOENT);
    CHECK_EQ(try(d, "", AT_EMPTY_PATH, "", ""), 100 + EACCES);
    CHECK_EQ(try(-1, "prog", 0, "", ""), 100 + EBADF);
    int f = CHECK_OK(open(in("prog"), O_RDONLY | O_CLOEXEC)), p = CHECK_OK(open(in("prog"), O_PATH | O_CLOEXEC));
    snprintf(buf, sizeof buf, "/dev/fd/%d", f);
    CHECK_EQ(try(f, "", AT_EMPTY_PATH, real_prog, buf), 0);
    CHECK_EQ(try(p, "", AT_EMPTY_PATH, real_prog, ""), 0);
    CHECK_EQ(try(f, "x", AT_EMPTY_PATH, "", ""), 100 + ENOTDIR);
    snprintf(buf, sizeof buf, "/proc/self/fd/%d", f);
    CHECK_EQ(try(AT_FDCWD, buf, 0, real_prog, buf), 0);
    snprintf(buf, sizeof buf, "/dev/fd/%d", p);
    CHECK_EQ(try(AT_FDCWD, buf, 0, real_prog, buf), 0);
    // The libc function.
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        char *const argv[] = {"h", "--exe", real_prog, "", NULL};
        fexecve(f, argv, environ);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    // A script: its interpreter opens /dev/fd/N, so the descriptor must stay open.
    write_file(in("script"), "#!/bin/sh\nexit 7\n");
    CHECK_OK(chmod(in("script"), 0755));
    int sc = CHECK_OK(open(in("script"), O_RDONLY | O_CLOEXEC)), so = CHECK_OK(open(in("script"), O_RDONLY));
    CHECK_EQ(try(sc, "", AT_EMPTY_PATH, "", ""), 100 + ENOENT);
    CHECK_EQ(try(so, "", AT_EMPTY_PATH, "", ""), 7);
    CHECK_EQ(try(dp, "script", 0, "", ""), 100 + ENOENT); // the directory's descriptor is CLOEXEC
    int dopen = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY));
    CHECK_EQ(try(dopen, "script", 0, "", ""), 7);
    // A removed program, and one that never had a name.
    CHECK_OK(unlink(in("prog")));
    char gone[PATH_MAX + 16];
    snprintf(gone, sizeof gone, "%s (deleted)", real_prog);
    CHECK_EQ(try(f, "", AT_EMPTY_PATH, gone, ""), 0);
    int m = CHECK_OK(memfd_create("code", MFD_CLOEXEC));
    char block[65536];
    ssize_t n;
    while ((n = CHECK_OK(read(f, block, sizeof block))) > 0)
        CHECK_EQ(write(m, block, (size_t)n), n);
    snprintf(buf, sizeof buf, "/proc/self/fd/%d", m);
    int ro = CHECK_OK(open(buf, O_RDONLY | O_CLOEXEC));
    CHECK_OK(close(m));
    CHECK_EQ(try(ro, "", AT_EMPTY_PATH, "/memfd:code (deleted)", ""), 0);
}
