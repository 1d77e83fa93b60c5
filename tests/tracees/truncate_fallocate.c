// what: truncate, ftruncate, fallocate and their modes
// worlds: rw
// variants: dynamic static threads
// pitfalls: 29, 67
#include "check.h"
#include <linux/falloc.h>

static char buf[65536];

static int zeros(int fd, off_t from, size_t n)
{
    CHECK_EQ(pread(fd, buf, n, from), n);
    for (size_t i = 0; i < n; i++)
        if (buf[i])
            return 0;
    return 1;
}

static off_t size(void)
{
    return stat_of(in("f")).st_size;
}

static void test(void)
{
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    memset(buf, 'A', sizeof buf);
    CHECK_EQ(write(fd, buf, 65536), 65536);
    CHECK_OK(truncate(in("f"), 10000));
    CHECK_EQ(size(), 10000);
    CHECK_OK(ftruncate(fd, 20000)); // what was cut is zero when it comes back
    CHECK_EQ(size(), 20000);
    CHECK(zeros(fd, 10000, 10000));
    CHECK_EQ(pread(fd, buf, 1, 9999), 1);
    CHECK_EQ(buf[0], 'A');
    CHECK_OK(truncate(in("f"), 0));
    CHECK_EQ(size(), 0);
    CHECK_EQ(stat_of(in("f")).st_blocks, 0);
    CHECK_OK(ftruncate(fd, 1L << 33));
    CHECK_EQ(size(), 1L << 33);
    CHECK(stat_of(in("f")).st_blocks < 64);
    CHECK_OK(ftruncate(fd, 0));

    CHECK_ERRNO(truncate(in("f"), -1), EINVAL);
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
    CHECK_ERRNO(truncate(in("nope"), 0), ENOENT);
    CHECK_ERRNO(truncate(in("nope"), -1), EINVAL);
    CHECK_ERRNO(truncate(dir, 0), EISDIR);
    CHECK_ERRNO(truncate(in("f/x"), 0), ENOTDIR);
    CHECK_ERRNO2(ftruncate(-1, 0), EBADF, EINVAL);
    int r = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(ftruncate(r, 0), EINVAL);
    CHECK_OK(chmod(in("f"), 0444));
    CHECK_ERRNO(truncate(in("f"), 0), EACCES);
    CHECK_OK(ftruncate(fd, 5)); // the descriptor may
    CHECK_OK(chmod(in("f"), 0644));
    struct rlimit old, lim = {100000, RLIM_INFINITY};
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &old));
    on_signal(SIGXFSZ, SIG_IGN, 0);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &lim));
    CHECK_ERRNO(ftruncate(fd, 100001), EFBIG);
    CHECK_ERRNO(truncate(in("f"), 100001), EFBIG);
    CHECK_EQ(pwrite(fd, buf, 100, 99950), 50);
    CHECK_ERRNO(pwrite(fd, buf, 1, 100000), EFBIG);
    lim.rlim_cur = old.rlim_cur;
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &lim));

    // fallocate.
    CHECK_OK(ftruncate(fd, 0));
    CHECK_OK(fallocate(fd, 0, 0, 50000));
    CHECK_EQ(size(), 50000);
    CHECK(stat_of(in("f")).st_blocks >= 50000 / 512);
    CHECK(zeros(fd, 0, 50000));
    CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 50000, 50000));
    CHECK_EQ(size(), 50000);
    memset(buf, 'B', sizeof buf);
    CHECK_EQ(pwrite(fd, buf, 50000, 0), 50000);
    CHECK_OK(fallocate(fd, 0, 0, 100)); // allocated already: data stays
    CHECK_EQ(pread(fd, buf, 1, 50), 1);
    CHECK_EQ(buf[0], 'B');
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 20000));
    CHECK(zeros(fd, 5000, 20000));
    CHECK_EQ(pread(fd, buf, 1, 4999), 1);
    CHECK_EQ(buf[0], 'B');
    CHECK_EQ(pread(fd, buf, 1, 25000), 1);
    CHECK_EQ(buf[0], 'B');
    CHECK_EQ(size(), 50000);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 100), EOPNOTSUPP);
    CHECK_ERRNO2(fallocate(fd, 0x4000, 0, 100), EOPNOTSUPP, EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, 0, -1, 100), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, -5), EINVAL);
    CHECK_ERRNO(fallocate(r, 0, 0, 100), EBADF);
    CHECK_ERRNO(fallocate(fd, 0, 1L << 62, 1L << 62), EFBIG);
    int p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    CHECK_ERRNO(fallocate(p[1], 0, 0, 100), ESPIPE);
    CHECK_OK(posix_fallocate(fd, 0, 70000));
    CHECK_EQ(size(), 70000);
}
