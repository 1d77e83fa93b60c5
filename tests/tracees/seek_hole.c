// what: SEEK_DATA and SEEK_HOLE agree with what was written
// worlds: rw
// variants: dynamic static
// pitfalls: 29
#include "check.h"

static void test(void)
{
    enum { MB = 1 << 20 };
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
    CHECK_ERRNO(lseek(fd, 0, SEEK_HOLE), ENXIO);
    CHECK_OK(ftruncate(fd, 8 * MB));
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
    CHECK_EQ(pwrite(fd, "x", 1, 2 * MB), 1);
    CHECK_EQ(pwrite(fd, "y", 1, 6 * MB), 1);
    off_t d1 = CHECK_OK(lseek(fd, 0, SEEK_DATA));
    CHECK(d1 <= 2 * MB && d1 > MB);
    off_t h1 = CHECK_OK(lseek(fd, d1, SEEK_HOLE));
    CHECK(h1 > 2 * MB && h1 < 4 * MB);
    off_t d2 = CHECK_OK(lseek(fd, h1, SEEK_DATA));
    CHECK(d2 <= 6 * MB && d2 > 5 * MB);
    off_t h2 = CHECK_OK(lseek(fd, d2, SEEK_HOLE));
    CHECK(h2 > 6 * MB && h2 <= 8 * MB);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), h2);
    CHECK_ERRNO(lseek(fd, 8 * MB, SEEK_DATA), ENXIO);
    CHECK_ERRNO(lseek(fd, 8 * MB, SEEK_HOLE), ENXIO);
    CHECK_EQ(lseek(fd, 2 * MB, SEEK_DATA), 2 * MB);
    // A full file: the only hole is its end.
    int g = CHECK_OK(open(in("g"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_EQ(write(g, "0123456789", 10), 10);
    CHECK_EQ(lseek(g, 0, SEEK_HOLE), 10);
    CHECK_EQ(lseek(g, 3, SEEK_DATA), 3);
    CHECK_ERRNO(lseek(g, -1, SEEK_DATA), ENXIO);
}
