// what: fallocate's modes that zero a range, take it out, or put one in: content, sizes, errors, other descriptors and mappings
// worlds: rw
// variants: dynamic static
// pitfalls: 29, 67
#include "check.h"
#include <linux/falloc.h>
#include <linux/magic.h>

enum { BLOCK = 65536, SIZE = 6 * BLOCK };
static unsigned char want[4 * SIZE], got[4 * SIZE];
static size_t size;
static int fd;

// What a file has must be what is expected, through every way to look at it.
static void same(void)
{
    struct stat st;
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, size);
    CHECK_EQ(stat_of(in("f")).st_size, size);
    CHECK_EQ(pread(fd, got, sizeof got, 0), size);
    CHECK(!memcmp(got, want, size));
    int r = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(r, got, sizeof got), size);
    CHECK(!memcmp(got, want, size));
    CHECK_OK(close(r));
}

// Only tmpfs may say that it cannot.
static bool does(int mode, off_t offset, off_t length)
{
    struct statfs fs;
    if (fallocate(fd, mode, offset, length) == 0)
        return true;
    int error = errno;
    CHECK_OK(fstatfs(fd, &fs));
    CHECK_EQ(error, EOPNOTSUPP);
    CHECK_EQ(fs.f_type, TMPFS_MAGIC);
    return false;
}

static void fill(void)
{
    for (size_t i = 0; i < SIZE; i++)
        want[i] = (unsigned char)(i * 7 + i / 4099 + 1);
    size = SIZE;
    CHECK_OK(ftruncate(fd, 0));
    CHECK_EQ(pwrite(fd, want, SIZE, 0), SIZE);
}

static void zero(size_t from, size_t n)
{
    memset(want + from, 0, n);
}

static void test(void)
{
    fd = CHECK_OK(open(in("f"), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    fill();
    CHECK_OK(fsync(fd));

    // Ragged holes, and space behind the end, right after a write and after a sync.
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 3000));
    zero(1000, 3000);
    same();
    CHECK_EQ(pwrite(fd, "between", 7, 2000), 7);
    memcpy(want + 2000, "between", 7);
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK - 5, 2 * BLOCK));
    zero(BLOCK - 5, 2 * BLOCK);
    same();
    CHECK_OK(fsync(fd));
    same();
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SIZE - 100, 5000));
    zero(SIZE - 100, 100);
    CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, BLOCK));
    same();
    CHECK_OK(fallocate(fd, 0, SIZE - 10, 1010));
    zero(SIZE, 1000);
    size = SIZE + 1000;
    same();
    CHECK(stat_of(in("f")).st_mtim.tv_sec >= time(NULL) - 60);

    // ZERO_RANGE, inside and across the end.
    fill();
    if (does(FALLOC_FL_ZERO_RANGE, 5000, 100000)) {
        zero(5000, 100000);
        same();
        CHECK_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, SIZE - 10, 1000));
        zero(SIZE - 10, 10);
        same();
        CHECK_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, SIZE - 20, 1000));
        zero(SIZE - 20, 1000);
        size = SIZE + 980;
        same();
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100), EOPNOTSUPP);
    }

    // COLLAPSE_RANGE: also of what was written a moment ago, and seen through a mapping.
    fill();
    unsigned char *map = CHECK_OK(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0));
    if (does(FALLOC_FL_COLLAPSE_RANGE, BLOCK, 2 * BLOCK)) {
        memmove(want + BLOCK, want + 3 * BLOCK, SIZE - 3 * BLOCK);
        size = SIZE - 2 * BLOCK;
        same();
        CHECK(!memcmp(map, want, size));
        CHECK_OK(fsync(fd));
        same();
        CHECK_EQ(pwrite(fd, "after", 5, 2 * BLOCK + 17), 5);
        memcpy(want + 2 * BLOCK + 17, "after", 5);
        same();
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, (off_t)size), EINVAL);
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, BLOCK, (off_t)size), EINVAL);
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 100, BLOCK), EINVAL);
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 100), EINVAL);
        CHECK_ERRNO2(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, BLOCK), EINVAL, EOPNOTSUPP);
        same();
    }
    CHECK_OK(munmap(map, SIZE));

    // INSERT_RANGE.
    fill();
    if (does(FALLOC_FL_INSERT_RANGE, BLOCK, 3 * BLOCK)) {
        memmove(want + 4 * BLOCK, want + BLOCK, SIZE - BLOCK);
        zero(BLOCK, 3 * BLOCK);
        size = SIZE + 3 * BLOCK;
        same();
        CHECK_OK(fsync(fd));
        CHECK_EQ(pwrite(fd, "in the hole", 11, 2 * BLOCK), 11);
        memcpy(want + 2 * BLOCK, "in the hole", 11);
        same();
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, (off_t)size, BLOCK), EINVAL);
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, 4 * (off_t)SIZE, BLOCK), EINVAL);
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, 1, BLOCK), EINVAL);
        CHECK_ERRNO2(fallocate(fd, FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE, 0, BLOCK), EINVAL, EOPNOTSUPP);
        CHECK_OK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, BLOCK, 3 * BLOCK));
        memmove(want + BLOCK, want + 4 * BLOCK, SIZE - BLOCK);
        size = SIZE;
        same();
    }

    // Without the right to write, without a name.
    int r = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(fallocate(r, 0, 0, 100), EBADF);
    CHECK_ERRNO(fallocate(r, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 100), EBADF);
    int d = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_ERRNO(fallocate(d, 0, 0, 100), EBADF);
    CHECK_ERRNO(fallocate(-1, 0, 0, 100), EBADF);
    fill();
    CHECK_OK(unlink(in("f")));
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, BLOCK));
    zero(10, BLOCK);
    CHECK_OK(fallocate(fd, 0, SIZE, 10));
    zero(SIZE, 10);
    CHECK_EQ(pread(fd, got, sizeof got, 0), SIZE + 10);
    CHECK(!memcmp(got, want, SIZE + 10));
}
