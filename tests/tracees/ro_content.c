// what: file contents by read, pread, readv and mmap; large, empty and sparse files
// worlds: ro
// variants: dynamic static threads
// pitfalls: 29, 42
#include "fixture.h"

static unsigned char buf[FIXTURE_BIG + 100];

static void test(void)
{
    struct stat st;
    CHECK_CONTENT(in("file"), FIXTURE_TEXT);
    CHECK_CONTENT(in("empty"), "");
    CHECK_CONTENT(in("dir/sub/deep"), "deep\n");
    CHECK_CONTENT(in("deep/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/leaf"), "leaf\n");
    int fd = CHECK_OK(open(in("big"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, FIXTURE_BIG);
    size_t n = 0;
    for (ssize_t r; (r = CHECK_OK(read(fd, buf + n, n % 7000 + 1))) > 0;)
        n += (size_t)r;
    CHECK_EQ(n, FIXTURE_BIG);
    for (size_t i = 0; i < n; i++)
        if (buf[i] != fixture_byte(i))
            check_fail(__FILE__, __LINE__, "big", "byte %zu is %u, expected %u", i, buf[i], fixture_byte(i));
    for (int i = 0; i < 100; i++) {
        off_t at = (off_t)i * 10007;
        unsigned char c[3];
        CHECK_EQ(pread(fd, c, 3, at), 3);
        CHECK(c[0] == fixture_byte((size_t)at) && c[2] == fixture_byte((size_t)at + 2));
    }
    CHECK_EQ(pread(fd, buf, 100, FIXTURE_BIG - 10), 10);
    CHECK_EQ(pread(fd, buf, 100, FIXTURE_BIG), 0);
    CHECK_EQ(pread(fd, buf, 100, 1L << 40), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), FIXTURE_BIG);
    unsigned char *m = CHECK_OK(mmap(NULL, FIXTURE_BIG, PROT_READ, MAP_SHARED, fd, 0));
    for (size_t i = 0; i < FIXTURE_BIG; i += 511)
        CHECK_EQ(m[i], fixture_byte(i));
    unsigned char *p = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 1 << 20));
    CHECK_EQ(p[3], fixture_byte((1 << 20) + 3));
    CHECK_EQ(p[17], 0); // the rest of the last page
    p[3]++;
    CHECK_EQ(pread(fd, buf, 1, (1 << 20) + 3), 1);
    CHECK_EQ(buf[0], fixture_byte((1 << 20) + 3));
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    CHECK_ERRNO(write(fd, "x", 1), EBADF);
    CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
    CHECK_OK(close(fd));
    CHECK_EQ(m[100], fixture_byte(100));
    // The sparse one.
    fd = CHECK_OK(open(in("sparse"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, FIXTURE_SPARSE);
    CHECK(st.st_blocks < 256);
    CHECK_EQ(pread(fd, buf, 4096, 0), 4096);
    CHECK(buf[0] == 'A' && buf[1] == 0);
    CHECK_EQ(pread(fd, buf, 65536, 1 << 20), 65536);
    for (int i = 0; i < 65536; i++)
        CHECK_EQ(buf[i], 0);
    CHECK_EQ(pread(fd, buf, 8, FIXTURE_SPARSE - 3), 3);
    CHECK(buf[0] == 0 && buf[2] == 'Z');
    off_t hole = CHECK_OK(lseek(fd, 0, SEEK_HOLE)), data = CHECK_OK(lseek(fd, 1 << 20, SEEK_DATA));
    CHECK(hole > 0 && hole <= FIXTURE_SPARSE);
    CHECK(data >= 1 << 20 && data < FIXTURE_SPARSE);
    // Opened many times, read at once by several processes.
    pid_t pids[4];
    for (int k = 0; k < 4; k++) {
        pids[k] = CHECK_OK(fork());
        if (pids[k] == 0) {
            int f = CHECK_OK(open(in("big"), O_RDONLY | O_CLOEXEC));
            for (size_t i = (size_t)k * 1000; i < FIXTURE_BIG; i += 9973) {
                CHECK_EQ(pread(f, buf, 1, (off_t)i), 1);
                CHECK_EQ(buf[0], fixture_byte(i));
            }
            _exit(0);
        }
    }
    for (int k = 0; k < 4; k++)
        wait_ok(pids[k]);
}
