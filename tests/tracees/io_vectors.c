// what: readv, preadv, pwritev2 and their limits; offsets beyond 2 and 4 GiB
// worlds: rw
// variants: dynamic static threads
// pitfalls: 29
#include "check.h"

static void test(void)
{
    char a[4] = "", b[8] = "", c[4] = "";
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    struct iovec w[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}}, r[3] = {{a, 3}, {b, 4}, {c, 3}};
    CHECK_EQ(writev(fd, w, 3), 8);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(readv(fd, r, 3), 8);
    CHECK(!memcmp(a, "abc", 3) && !memcmp(b, "defg", 4) && c[0] == 'h');
    CHECK_EQ(readv(fd, r, 3), 0);
    CHECK_EQ(preadv(fd, r, 2, 5), 3);
    CHECK(!memcmp(a, "fgh", 3));
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
    CHECK_EQ(pwritev(fd, w, 1, 6), 3);
    CHECK_CONTENT(in("f"), "abcdefabc");
    CHECK_EQ(preadv2(fd, r, 1, -1, 0), 1); // -1: at the offset, which moves
    CHECK_EQ(a[0], 'c');
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 9);
    CHECK_EQ(pwritev2(fd, w, 1, 0, RWF_APPEND), 3);
    CHECK_CONTENT(in("f"), "abcdefabcabc");
    CHECK_EQ(pwritev2(fd, w, 1, 0, RWF_DSYNC), 3);
    CHECK_ERRNO(pwritev2(fd, w, 1, 0, 0x40000000), EOPNOTSUPP);
    ssize_t n = preadv2(fd, r, 1, 0, RWF_NOWAIT);
    CHECK(n == 3 || (n == -1 && (errno == EAGAIN || errno == EOPNOTSUPP)));

    struct iovec many[IOV_MAX + 1];
    for (int i = 0; i <= IOV_MAX; i++)
        many[i] = (struct iovec){a, 0};
    many[IOV_MAX - 1].iov_len = 1;
    CHECK_EQ(preadv(fd, many, IOV_MAX, 0), 1);
    CHECK_ERRNO(preadv(fd, many, IOV_MAX + 1, 0), EINVAL);
    CHECK_EQ(readv(fd, many, 0), 0);
    CHECK_ERRNO(readv(fd, many, -1), EINVAL);
    CHECK_ERRNO(pread(fd, a, 1, -1), EINVAL);
    CHECK_ERRNO(pwrite(fd, a, 1, -1), EINVAL);
    CHECK_ERRNO(preadv(fd, r, 1, -2), EINVAL);
    CHECK_EQ(read(fd, NULL, 0), 0);
    CHECK_EQ(write(fd, NULL, 0), 0);
    CHECK_ERRNO(pread(fd, (void *)8, 4, 0), EFAULT);
    CHECK_ERRNO(pwrite(fd, (void *)8, 4, 0), EFAULT);
    r[1].iov_base = (void *)8;
    CHECK_EQ(preadv(fd, r, 2, 0), 3); // the part before the bad vector counts

    // Far offsets; the file is sparse.
    static const off_t far[] = {(1L << 31) - 2, (1L << 31) + 5, (1L << 32) - 1, (5L << 30) + 7};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pwrite(fd, "farther", 7, far[i]), 7);
        CHECK_EQ(stat_of(in("f")).st_size, far[i] + 7);
        memset(b, 0, sizeof b);
        CHECK_EQ(pread(fd, b, 7, far[i]), 7);
        CHECK_STR(b, "farther");
    }
    CHECK_EQ(pread(fd, b, 4, 1L << 30), 4);
    CHECK(!memcmp(b, "\0\0\0\0", 4));
    CHECK(stat_of(in("f")).st_blocks < 2048);
    CHECK_EQ(lseek(fd, 0, SEEK_END), far[3] + 7);
    CHECK_EQ(lseek(fd, -7, SEEK_CUR), far[3]);
    CHECK_EQ(read(fd, b, 7), 7);
    CHECK_STR(b, "farther");
    int again = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(pread(again, b, 7, far[2]), 7);
    CHECK_STR(b, "farther");
}
