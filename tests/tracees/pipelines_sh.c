// what: pipelines of the shell: all of them end
// worlds: rw
// variants: static
// pitfalls: 1, 8
#include "check.h"

static void sh(const char *script, const char *want)
{
    int p[2];
    static char buf[65536];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(chdir(dir));
        dup2(p[1], 1);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        CHECK_OK(-1);
    }
    CHECK_OK(close(p[1]));
    size_t n = 0;
    ssize_t r;
    while ((r = read(p[0], buf + n, sizeof buf - 1 - n)) > 0)
        n += (size_t)r;
    buf[n] = 0;
    CHECK_OK(close(p[0]));
    wait_ok(pid);
    CHECK_STR(buf, want);
}

static void test(void)
{
    char script[256], want[4096] = "";
    int n = loops(50);
    for (int i = 0; i < n && i < 1000; i++)
        strcat(want, "abc\n");
    snprintf(script, sizeof script, "i=0; while [ $i -lt %d ]; do echo abc | cat | cat; i=$((i+1)); done", n);
    sh(script, want);
    sh("echo one > f; cat < f | tr a-z A-Z >> g; cat g", "ONE\n");
    sh("mkfifo p; (echo via > p &) ; cat p; rm p", "via\n");
    sh("mkdir -p a/b/c && cd a/b && pwd | sed 's,.*/a,a,' && cd .. && ls && cd .. && rm -r a && ls -A | wc -l | tr -d ' '", "a/b\nb\n2\n");
    sh("x=$(cat f); echo \"$x\"; (cd /; cat \"$OLDPWD/f\"); test -e f && test ! -e nope && echo ok", "one\none\nok\n");
    sh("for i in 1 2 3 4 5 6 7 8; do (echo $i > n$i) & done; wait; cat n1 n8; rm n?", "1\n8\n");
    sh("echo body > h; read x < h; echo $x; cat <<E\nhere\nE", "body\nhere\n");
    sh("yes | head -n 1; true | false; echo $?; sh -c 'exit 7'; echo $?; sh -c 'kill -9 $$' 2>/dev/null; echo $?", "y\n1\n7\n137\n");
}
