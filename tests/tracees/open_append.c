// what: O_APPEND, offsets of descriptions, and what dup and re-open share
// worlds: rw
// variants: dynamic static threads
// pitfalls: 27, 37, 39
#include "check.h"

static void child(void *a)
{
    CHECK_EQ(lseek(*(int *)a, 7, SEEK_SET), 7);
}

static void test(void)
{
    char link[64], buf[32];
    write_file(in("f"), "start");
    int a = CHECK_OK(open(in("f"), O_RDWR | O_APPEND | O_CLOEXEC));
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 0);
    CHECK_EQ(write(a, "-one", 4), 4);
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 9);
    CHECK_EQ(pwrite(a, "-two", 4, 0), 4); // Linux appends, whatever the offset
    CHECK_CONTENT(in("f"), "start-one-two");
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 9);
    CHECK_EQ(pread(a, buf, 5, 0), 5);
    CHECK(!memcmp(buf, "start", 5));
    CHECK_OK(fcntl(a, F_SETFL, 0));
    CHECK_EQ(pwrite(a, "S", 1, 0), 1);
    CHECK_CONTENT(in("f"), "Start-one-two");
    CHECK_OK(fcntl(a, F_SETFL, O_APPEND | O_NONBLOCK));
    CHECK_EQ(fcntl(a, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE), O_APPEND | O_NONBLOCK | O_RDWR);
    // Two appenders never overwrite each other.
    int b = CHECK_OK(open(in("f"), O_WRONLY | O_APPEND | O_CLOEXEC));
    CHECK_EQ(write(b, "B", 1), 1);
    CHECK_EQ(write(a, "A", 1), 1);
    CHECK_EQ(write(b, "B", 1), 1);
    CHECK_CONTENT(in("f"), "Start-one-twoBAB");

    // A re-open is a description of its own; dup and fork share one.
    snprintf(link, sizeof link, "/proc/self/fd/%d", a);
    int re = CHECK_OK(open(link, O_RDONLY | O_CLOEXEC)), du = CHECK_OK(dup(a));
    CHECK_EQ(lseek(a, 3, SEEK_SET), 3);
    CHECK_EQ(lseek(du, 0, SEEK_CUR), 3);
    CHECK_EQ(lseek(re, 0, SEEK_CUR), 0);
    CHECK_EQ(fcntl(re, F_GETFL) & (O_APPEND | O_ACCMODE), O_RDONLY);
    CHECK_EQ(fcntl(du, F_GETFL) & (O_APPEND | O_ACCMODE), O_APPEND | O_RDWR);
    wait_ok(spawn(child, &a));
    CHECK_EQ(lseek(du, 0, SEEK_CUR), 7);
    CHECK_EQ(lseek(re, 0, SEEK_CUR), 0);
    CHECK_OK(fcntl(du, F_SETFL, O_NONBLOCK));
    CHECK_EQ(fcntl(a, F_GETFL) & (O_APPEND | O_NONBLOCK), O_NONBLOCK);
    // One description's writes are the other's reads at once.
    CHECK_EQ(pwrite(a, "!", 1, 0), 1);
    CHECK_EQ(read(re, buf, 1), 1);
    CHECK_EQ(buf[0], '!');
    CHECK_OK(ftruncate(a, 1));
    CHECK_EQ(read(re, buf, 10), 0);
    CHECK_EQ(lseek(a, 0, SEEK_END), 1);
    CHECK_ERRNO(lseek(a, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(a, 0, 99), EINVAL);
}
