// what: statx: masks, flags, AT_EMPTY_PATH, bad pointers; equal to stat
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21, 31, 67
#include "check.h"

static void same(const char *path, int nofollow)
{
    struct statx x;
    struct stat s;
    memset(&x, 0xff, sizeof x);
    CHECK_OK(fstatat(AT_FDCWD, path, &s, nofollow));
    CHECK_OK(statx(AT_FDCWD, path, nofollow, STATX_BASIC_STATS | STATX_BTIME, &x));
    CHECK_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK_EQ(x.stx_ino, s.st_ino);
    CHECK_EQ(x.stx_mode, s.st_mode);
    CHECK_EQ(x.stx_nlink, s.st_nlink);
    CHECK_EQ(x.stx_uid, s.st_uid);
    CHECK_EQ(x.stx_gid, s.st_gid);
    CHECK_EQ(x.stx_size, s.st_size);
    CHECK_EQ(x.stx_blocks, s.st_blocks);
    CHECK_EQ(x.stx_blksize, s.st_blksize);
    CHECK_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), s.st_dev);
    CHECK_EQ(makedev(x.stx_rdev_major, x.stx_rdev_minor), s.st_rdev);
    CHECK_EQ(x.stx_mtime.tv_sec, s.st_mtim.tv_sec);
    CHECK_EQ(x.stx_mtime.tv_nsec, s.st_mtim.tv_nsec);
    CHECK_EQ(x.stx_ctime.tv_nsec, s.st_ctim.tv_nsec);
    CHECK_EQ(x.stx_atime.tv_nsec, s.st_atim.tv_nsec);
    if (x.stx_mask & STATX_BTIME)
        CHECK(x.stx_btime.tv_sec > 0 && x.stx_btime.tv_nsec < 1000000000);
}

static void test(void)
{
    struct statx x;
    struct stat s;
    write_file(in("f"), "12345");
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(mkdir(in("d"), 0750));
    CHECK_OK(mkfifo(in("p"), 0600));
    for (int i = 0; i < 2; i++) {
        same(in("f"), i * AT_SYMLINK_NOFOLLOW);
        same(in("l"), i * AT_SYMLINK_NOFOLLOW);
        same(in("d"), i * AT_SYMLINK_NOFOLLOW);
        same(in("p"), i * AT_SYMLINK_NOFOLLOW);
        same(dir, i * AT_SYMLINK_NOFOLLOW);
    }
    CHECK_OK(statx(AT_FDCWD, in("l"), AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_SIZE, &x));
    CHECK(S_ISLNK(x.stx_mode));
    CHECK_EQ(x.stx_size, 1);
    CHECK_OK(statx(AT_FDCWD, in("f"), 0, 0, &x));
    CHECK_OK(statx(AT_FDCWD, in("f"), AT_STATX_FORCE_SYNC, STATX_SIZE, &x));
    CHECK_EQ(x.stx_size, 5);
    CHECK_OK(statx(AT_FDCWD, in("f"), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_ALL, &x));
    CHECK_ERRNO(statx(AT_FDCWD, in("f"), AT_STATX_SYNC_TYPE, STATX_SIZE, &x), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, in("f"), 0, 1U << 31, &x), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, in("f"), 1 << 30, STATX_SIZE, &x), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, in("missing"), 0, 1U << 31, &x), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, in("missing"), 0, STATX_SIZE, &x), ENOENT);
    CHECK_ERRNO(statx(AT_FDCWD, in("f/x"), 0, STATX_SIZE, &x), ENOTDIR);
    CHECK_ERRNO(statx(AT_FDCWD, "", 0, STATX_SIZE, &x), ENOENT);
    CHECK_ERRNO(syscall(SYS_statx, AT_FDCWD, in("f"), 0, STATX_SIZE, (void *)8), EFAULT);
    CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, in("f"), (void *)8, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, in("missing"), (void *)8, 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, in("f"), &s, 1 << 30), EINVAL);

    int f = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC)), p = CHECK_OK(open(in("l"), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    CHECK_OK(statx(f, "", AT_EMPTY_PATH, STATX_ALL, &x));
    CHECK_EQ(x.stx_ino, stat_of(in("f")).st_ino);
    CHECK_OK(fstatat(f, "", &s, AT_EMPTY_PATH));
    CHECK_EQ(s.st_size, 5);
    CHECK_OK(statx(p, "", AT_EMPTY_PATH, STATX_ALL, &x));
    CHECK(S_ISLNK(x.stx_mode));
    CHECK_OK(fstat(p, &s));
    CHECK_EQ(s.st_ino, x.stx_ino);
    CHECK_ERRNO(statx(f, "", 0, STATX_ALL, &x), ENOENT);
    CHECK_ERRNO(statx(f, "x", AT_EMPTY_PATH, STATX_ALL, &x), ENOTDIR);
    CHECK_ERRNO(statx(-1, "", AT_EMPTY_PATH, STATX_ALL, &x), EBADF);
    CHECK_ERRNO(statx(-1, "f", 0, STATX_ALL, &x), EBADF);
    CHECK_OK(statx(-1, in("f"), 0, STATX_ALL, &x));
    // The current directory by an empty path.
    CHECK_OK(chdir(in("d")));
    CHECK_OK(statx(AT_FDCWD, "", AT_EMPTY_PATH, STATX_ALL, &x));
    CHECK_EQ(x.stx_ino, stat_of(in("d")).st_ino);
}
