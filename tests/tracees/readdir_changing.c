// what: a directory that changes while it is listed: what stays is seen exactly once
// worlds: rw
// variants: dynamic static
// pitfalls: 25
#include "check.h"

enum { KEEP = 400, CHURN = 200 };

static void churn(void *a)
{
    volatile int *stop = a;
    char name[32], to[32];
    for (unsigned i = 0; !*stop; i++) {
        snprintf(name, sizeof name, "d/churn%u", i % CHURN);
        snprintf(to, sizeof to, "d/moved%u", i % CHURN);
        int fd = open(in(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        CHECK(fd >= 0);
        close(fd);
        if (i % 3 == 0)
            CHECK_OK(rename(in(name), in(to)));
        else
            CHECK_OK(unlink(in(name)));
        if (i % 3 == 0 && i % 2)
            CHECK_OK(unlink(in(to)));
    }
}

static void test(void)
{
    volatile int *stop = shared_page();
    char name[32], buf[2048];
    CHECK_OK(mkdir(in("d"), 0755));
    for (int i = 0; i < KEEP; i++) {
        snprintf(name, sizeof name, "d/keep%d", i);
        write_file(in(name), "");
    }
    pid_t pid = spawn(churn, (void *)stop);
    for (int round = loops(20); round > 0; round--) {
        char seen[KEEP] = "";
        int fd = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), n = 0;
        for (long len; (len = CHECK_OK(syscall(SYS_getdents64, fd, buf, sizeof buf))) > 0;)
            for (long o = 0; o < len;) {
                struct dirent64 *e = (struct dirent64 *)(buf + o);
                o += e->d_reclen;
                if (strncmp(e->d_name, "keep", 4))
                    continue;
                int i = atoi(e->d_name + 4);
                CHECK(i >= 0 && i < KEEP && !seen[i]);
                seen[i] = 1;
                n++;
            }
        CHECK_EQ(n, KEEP);
        CHECK_OK(close(fd));
    }
    *stop = 1;
    wait_ok(pid);
}
