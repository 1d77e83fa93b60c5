// what: close_range with its flags, closefrom; nothing else is closed
// worlds: rw
// variants: dynamic static
// pitfalls: 39
#include "check.h"
#include <linux/close_range.h>

static void open_all(void)
{
    for (int i = 10; i < 30; i++) {
        int fd = CHECK_OK(open(i % 3 == 0 ? in("f") : i % 3 == 1 ? in("d") : "/etc/passwd", O_RDONLY));
        if (fd != i) {
            CHECK_EQ(dup2(fd, i), i);
            CHECK_OK(close(fd));
        }
    }
}

static void *other(void *a)
{
    int *go = a;
    CHECK_OK(close_range(10, 29, CLOSE_RANGE_UNSHARE));
    CHECK_ERRNO(fcntl(10, F_GETFD), EBADF);
    *go = 1;
    return NULL;
}

static void test(void)
{
    write_file(in("f"), "x");
    CHECK_OK(mkdir(in("d"), 0755));
    open_all();
    CHECK_OK(close_range(12, 20, 0));
    for (int i = 10; i < 30; i++)
        CHECK_EQ(fcntl(i, F_GETFD), i >= 12 && i <= 20 ? -1 : 0);
    open_all();
    CHECK_OK(close_range(15, ~0U, CLOSE_RANGE_CLOEXEC));
    for (int i = 10; i < 30; i++)
        CHECK_EQ(fcntl(i, F_GETFD), i >= 15 ? FD_CLOEXEC : 0);
    CHECK_ERRNO(close_range(20, 10, 0), EINVAL);
    CHECK_ERRNO(close_range(10, 20, 0x4000), EINVAL);
    CHECK_OK(close_range(1000, 2000, 0));
    int done = 0;
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, other, &done), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_EQ(done, 1);
    struct stat st;
    for (int i = 10; i < 30; i++)
        CHECK_OK(fstat(i, &st)); // the other thread had a table of its own
    closefrom(10);
    for (int i = 10; i < 30; i++)
        CHECK_ERRNO(fcntl(i, F_GETFD), EBADF);
    // Everything still works without any of the descriptors that were there.
    CHECK_OK(close_range(3, ~0U, 0));
    CHECK_CONTENT(in("f"), "x");
    CHECK_OK(chdir(in("d")));
    write_file("g", "y");
    CHECK_CONTENT(in("d/g"), "y");
}
