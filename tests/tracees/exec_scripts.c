// what: #! scripts: arguments, chains, five levels, env -S, interpreters in the directory, bad ones
// worlds: rw
// variants: dynamic static threads
// pitfalls: 43
#define USES_HELPER
#include "check.h"

// Prints its arguments, one a line; also comm.
static int helper(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("%s\n", argv[i]);
    printf("comm=%s", read_file("/proc/self/comm"));
    fflush(stdout);
    return 0;
}

static char output[8192];

// Status of the program, or 200 + errno of the exec; its output in `output`.
static int run(const char *file, const char *arg)
{
    int p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        dup2(p[1], 1);
        setenv("CHECK_HELPER", "1", 1);
        execl(file, "ignored", arg, (char *)NULL);
        _exit(200 + (errno & 63) % 56);
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

static void script(const char *name, const char *form, const char *arg)
{
    char text[PATH_MAX];
    snprintf(text, sizeof text, form, arg);
    write_file(in(name), text);
    CHECK_OK(chmod(in(name), 0755));
}

static void expect(const char *name, const char *form, ...)
{
    char want[8192];
    va_list ap;
    va_start(ap, form);
    vsnprintf(want, sizeof want, form, ap);
    va_end(ap);
    int status = run(in(name), "last");
    if (status || strcmp(output, want))
        check_fail(__FILE__, __LINE__, name, "got status %d and output \"%s\", expected 0 and \"%s\"", status, output, want);
}

static void test(void)
{
    static char interp[PATH_MAX];
    strcpy(interp, in("interp"));
    copy_file("/proc/self/exe", interp, 0755);

    script("sh", "#!/bin/sh\necho \"$0|$1\"\n", "");
    expect("sh", "%s|last\n", in("sh"));
    script("plain", "#!%s\nignored\n", interp);
    expect("plain", "%s\n%s\nlast\ncomm=plain\n", interp, in("plain"));
    script("onearg", "#!%s  one arg with spaces \t\n", interp);
    expect("onearg", "%s\none arg with spaces\n%s\nlast\ncomm=onearg\n", interp, in("onearg"));
    script("spaces", "#! \t %s\n", interp);
    expect("spaces", "%s\n%s\nlast\ncomm=spaces\n", interp, in("spaces"));
    script("nonewline", "#!%s", interp);
    expect("nonewline", "%s\n%s\nlast\ncomm=nonewline\n", interp, in("nonewline"));
    script("env", "#!/usr/bin/env -S %s a b\n", interp);
    CHECK_EQ(run(in("env"), "last"), 0);
    CHECK(strstr(output, "\na\nb\n") != NULL);
    // Chains: each level adds its arguments.
    script("c1", "#!%s x1\n", interp);
    script("c2", "#!%s x2\n", in("c1"));
    script("c3", "#!%s x3\n", in("c2"));
    expect("c3", "%s\nx1\n%s\nx2\n%s\nx3\n%s\nlast\ncomm=c3\n", interp, in("c1"), in("c2"), in("c3"));
    script("c4", "#!%s x4\n", in("c3"));
    script("c5", "#!%s x5\n", in("c4"));
    CHECK_EQ(run(in("c5"), "last"), 0);
    script("c6", "#!%s x6\n", in("c5"));
    CHECK_EQ(run(in("c6"), "last"), 200 + ELOOP);
    script("self", "#!%s\n", in("self"));
    CHECK_EQ(run(in("self"), "last"), 200 + ELOOP);
    // An interpreter by a path that is relative to the current directory; through a link.
    CHECK_OK(chdir(dir));
    script("rel", "#!./interp r\n", "");
    expect("rel", "./interp\nr\n%s\nlast\ncomm=rel\n", in("rel"));
    CHECK_EQ(run("rel", "last"), 0);
    CHECK_STR(output, "./interp\nr\nrel\nlast\ncomm=rel\n");
    CHECK_OK(chdir("/"));
    CHECK_EQ(run(in("rel"), "last"), 200 + ENOENT);
    CHECK_OK(symlink("interp", in("ilink")));
    CHECK_OK(symlink("vialink", in("slink")));
    script("vialink", "#!%s\n", in("ilink"));
    expect("slink", "%s\n%s\nlast\ncomm=slink\n", in("ilink"), in("slink"));
    // What is wrong.
    script("missing", "#!%s\n", in("nope"));
    CHECK_EQ(run(in("missing"), "x"), 200 + ENOENT);
    script("crlf", "#!/bin/sh\r\necho x\r\n", "");
    CHECK_EQ(run(in("crlf"), "x"), 200 + ENOENT);
    script("isdir", "#!%s\n", dir);
    CHECK_EQ(run(in("isdir"), "x"), 200 + EACCES);
    script("empty", "#!\n", "");
    CHECK_EQ(run(in("empty"), "x"), 200 + ENOEXEC);
    script("blank", "#!   \n", "");
    CHECK_EQ(run(in("blank"), "x"), 200 + ENOEXEC);
    script("text", "echo no magic\n", "");
    CHECK_EQ(run(in("text"), "x"), 200 + ENOEXEC);
    script("zero", "", "");
    CHECK_EQ(run(in("zero"), "x"), 200 + ENOEXEC);
    script("noexec", "#!%s\n", interp);
    CHECK_OK(chmod(in("noexec"), 0644));
    CHECK_EQ(run(in("noexec"), "x"), 200 + EACCES);
    script("plainfile", "not a program", "");
    CHECK_OK(chmod(in("plainfile"), 0644));
    script("badinterp", "#!%s\n", in("plainfile"));
    CHECK_EQ(run(in("badinterp"), "x"), 200 + EACCES);
    // A script that isn't readable: the kernel starts the interpreter, which is its affair.
    CHECK_OK(chmod(in("plain"), 0111));
    expect("plain", "%s\n%s\nlast\ncomm=plain\n", interp, in("plain"));
}
