// what: processes killed in the middle of calls: the others go on, nothing is left half done
// worlds: rw
// variants: static
// pitfalls: 6, 8
#include "check.h"

static void works(void *a)
{
    char x[32], y[32];
    snprintf(x, sizeof x, "x%ld", (long)a);
    snprintf(y, sizeof y, "y%ld", (long)a);
    for (;;) {
        int fd = open(in(x), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
        if (fd >= 0) {
            if (write(fd, "payload", 7) < 0) {
            }
            close(fd);
        }
        rename(in(x), in(y));
        stat(in(y), &(struct stat){0});
        mkdir(in("dd"), 0755);
        chdir(in("dd"));
        rmdir(in("dd"));
        unlink(in(y));
    }
}

static void test(void)
{
    enum { N = 6 };
    pid_t pids[N];
    for (long i = 0; i < N; i++)
        pids[i] = spawn(works, (void *)i);
    for (int i = 0; i < loops(100); i++) {
        sleep_ms(i % 4);
        int k = i % N;
        CHECK_OK(kill(pids[k], SIGKILL));
        CHECK_EQ(WTERMSIG(wait_status(pids[k])), SIGKILL);
        pids[k] = spawn(works, (void *)(long)k);
        write_file(in("mine"), "ok");
        CHECK_CONTENT(in("mine"), "ok");
    }
    for (int i = 0; i < N; i++) {
        CHECK_OK(kill(pids[i], SIGKILL));
        wait_status(pids[i]);
    }
    // What is there is whole: no strange names, and all can be removed.
    rmdir(in("dd"));
    for (long i = 0; i < N; i++) {
        char name[32];
        for (int y = 0; y < 2; y++) {
            snprintf(name, sizeof name, "%c%ld", y ? 'y' : 'x', i);
            if (exists(in(name))) {
                CHECK(stat_of(in(name)).st_size <= 7);
                CHECK_OK(unlink(in(name)));
            }
        }
    }
    CHECK_OK(unlink(in("mine")));
    CHECK_EQ(count_entries(dir), 0);
}
