// what: many processes at work in one directory: every file is what its owner made it
// worlds: rw
// variants: static
// pitfalls: 12, 18
#include "check.h"

static void works(void *a)
{
    char name[32], text[64];
    for (int i = 0; i < loops(40); i++) {
        snprintf(name, sizeof name, "p%ld", (long)a);
        snprintf(text, sizeof text, "process %ld round %d", (long)a, i);
        CHECK_OK(mkdir(in(name), 0755));
        CHECK_OK(chdir(in(name)));
        write_file("f", text);
        CHECK_CONTENT("f", text);
        int fd = CHECK_OK(open(in("log"), O_WRONLY | O_APPEND | O_CLOEXEC));
        CHECK_EQ(write(fd, "line\n", 5), 5);
        CHECK_OK(close(fd));
        CHECK_EQ(count_entries("."), 1);
        CHECK_OK(unlink("f"));
        CHECK_OK(chdir(".."));
        CHECK_OK(rmdir(name));
    }
}

static void test(void)
{
    enum { N = 16 };
    pid_t pids[N];
    write_file(in("log"), "");
    for (long i = 0; i < N; i++)
        pids[i] = spawn(works, (void *)i);
    for (int i = 0; i < N; i++)
        wait_ok(pids[i]);
    CHECK_EQ(stat_of(in("log")).st_size, 5 * N * loops(40)); // appends are atomic
    CHECK_EQ(count_entries(dir), 1);
}
