// what: programs of the tree: dynamic, static, scripts; what they see of themselves
// worlds: ro
// variants: dynamic static threads
// pitfalls: 36, 43
#include "fixture.h"

static char output[8192];

static int run(const char *file, const char *arg)
{
    int p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        dup2(p[1], 1);
        execl(file, "name", arg, (char *)NULL);
        _exit(100 + errno);
    }
    CHECK_OK(close(p[1]));
    size_t n = 0;
    ssize_t r;
    while ((r = read(p[0], output + n, sizeof output - 1 - n)) > 0)
        n += (size_t)r;
    output[n] = 0;
    CHECK_OK(close(p[0]));
    int st = wait_status(pid);
    CHECK(WIFEXITED(st));
    return WEXITSTATUS(st);
}

static void test(void)
{
    char real[PATH_MAX], want[PATH_MAX * 3];
    CHECK(realpath(dir, real) != NULL);
    static const char *const programs[] = {"bin/show", "bin/show-static"};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(run(in(programs[i]), "arg"), 0);
        snprintf(want, sizeof want, "argv0=name\nargv1=arg\nexe=%s/%s\nexecfn=%s/%s\n", real, programs[i], dir, programs[i]);
        CHECK_STR(output, want);
    }
    CHECK_EQ(run(in("bin/script"), "arg"), 0);
    CHECK_STR(output, "script arg\n");
    CHECK_EQ(run(in("linkdir/../bin/script"), "x"), 0);
    CHECK_EQ(run(in("bin/notexec"), "x"), 100 + EACCES);
    CHECK_EQ(run(in("file"), "x"), 100 + EACCES);
    CHECK_EQ(run(in("dir"), "x"), 100 + EACCES);
    CHECK_EQ(run(in("bin/nope"), "x"), 100 + ENOENT);
    // An interpreter that is relative to the current directory.
    CHECK_OK(chdir(dir));
    CHECK_EQ(run("bin/relscript", "last"), 0);
    snprintf(want, sizeof want, "argv0=bin/show\nargv1=--flag\nargv2=bin/relscript\nargv3=last\nexe=%s/bin/show\nexecfn=bin/relscript\n", real);
    CHECK_STR(output, want);
    CHECK_OK(chdir(in("bin")));
    CHECK_EQ(run("./show-static", "x"), 0);
    CHECK_EQ(run("./relscript", "x"), 100 + ENOENT);
    // By descriptor.
    int fd = CHECK_OK(open(in("bin/show"), O_RDONLY | O_CLOEXEC));
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        close(1);
        CHECK_OK(open("/dev/null", O_WRONLY));
        fexecve(fd, (char *[]){"show", NULL}, environ);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    // By the shell, with PATH in the tree.
    pid = CHECK_OK(fork());
    if (pid == 0) {
        setenv("PATH", join(real, "bin"), 1);
        execl("/bin/sh", "sh", "-c", "x=$(script a) && test \"$x\" = 'script a' && show >/dev/null && (cd ../dir && read l < a && test $l = a)", (char *)NULL);
        CHECK_OK(-1);
    }
    wait_ok(pid);
    // While it runs, the file may be read but, where it could be, not written.
    for (int i = 0; i < loops(30); i++)
        CHECK_EQ(run(in(programs[i % 2]), "again"), 0);
    CHECK_ERRNO(execve(in("bin/show"), (char *const *)8, NULL), EFAULT);
}
