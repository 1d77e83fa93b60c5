// what: a terminal's line discipline and job control for processes of the directory
// worlds: rw
// variants: dynamic static
// pitfalls: 13
#include "check.h"
#include <termios.h>

static void shell(void *a)
{
    int m = *(int *)a;
    char *name = ptsname(m);
    CHECK_OK(setsid());
    int t = CHECK_OK(open(name, O_RDWR));
    CHECK_OK(ioctl(t, TIOCSCTTY, 0));
    CHECK_OK(close(m));
    for (int i = 0; i < 3; i++)
        CHECK_OK(dup2(t, i));
    CHECK_OK(chdir(dir));
    execl("/bin/sh", "sh", "-i", "+m", (char *)NULL);
    CHECK_OK(-1);
}

static char got[65536];
static size_t len;

// Reads until the text has come.
static void until(int m, const char *text)
{
    for (int i = 0; !strstr(got, text); i++) {
        struct pollfd p = {m, POLLIN, 0};
        if (poll(&p, 1, 10000) != 1)
            check_fail(__FILE__, __LINE__, text, "did not come; got \"%s\"", got);
        ssize_t n = CHECK_OK(read(m, got + len, sizeof got - 1 - len));
        len += (size_t)n;
        got[len] = 0;
    }
    len = 0;
    got[0] = 0;
}

static void type(int m, const char *text)
{
    CHECK_EQ(write(m, text, strlen(text)), strlen(text));
}

static void test(void)
{
    int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (m < 0 || grantpt(m) || unlockpt(m))
        SKIP("no pseudo terminals here");
    setenv("PS1", "PROMPT> ", 1);
    unsetenv("ENV");
    pid_t pid = spawn(shell, &m);
    until(m, "PROMPT> ");
    type(m, "echo a''b > f; cat f\n");
    until(m, "ab\r\n");
    type(m, "tty | sed s,pts,YES,; test -t 0 && echo is''tty\n");
    until(m, "istty\r\n");
    // Ctrl-C ends what waits in the foreground: a blocked open of a FIFO.
    type(m, "mkfifo p; cat p; echo status=$''?\n");
    sleep_ms(200);
    type(m, "\003");
    until(m, "PROMPT> ");
    type(m, "echo af''ter\n");
    until(m, "after\r\n");
    type(m, "exit 5\n");
    int st = wait_status(pid);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), 5);
    CHECK_CONTENT(in("f"), "ab\n");
}
