// what: fchmodat2: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, bad flags
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21
#include "check.h"
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static long fchmodat2_(int dfd, const char *path, mode_t mode, int flags)
{
    return syscall(SYS_fchmodat2, dfd, path, mode, flags);
}

static mode_t mode(const char *path)
{
    return stat_of(path).st_mode & 07777;
}

static void test(void)
{
    write_file(in("f"), "x");
    CHECK_OK(symlink("f", in("l")));
    if (fchmodat2_(AT_FDCWD, in("f"), 0640, 0) == -1 && errno == ENOSYS)
        SKIP("no fchmodat2");
    CHECK_EQ(mode(in("f")), 0640);
    int d = CHECK_OK(open(dir, O_PATH | O_CLOEXEC));
    CHECK_OK(fchmodat2_(d, "f", 0600, 0));
    CHECK_EQ(mode(in("f")), 0600);
    CHECK_OK(fchmodat2_(d, "l", 0604, 0));
    CHECK_EQ(mode(in("f")), 0604);
    CHECK_OK(fchmodat2_(d, "f", 0611, AT_SYMLINK_NOFOLLOW));
    CHECK_EQ(mode(in("f")), 0611);
    CHECK_ERRNO(fchmodat2_(d, "l", 0777, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    CHECK_EQ(mode(in("f")), 0611);
    int f = CHECK_OK(open(in("f"), O_PATH | O_CLOEXEC));
    CHECK_ERRNO(fchmod(f, 0644), EBADF);
    CHECK_OK(fchmodat2_(f, "", 0644, AT_EMPTY_PATH));
    CHECK_EQ(mode(in("f")), 0644);
    CHECK_ERRNO(fchmodat2_(f, "", 0644, 0), ENOENT);
    CHECK_ERRNO(fchmodat2_(d, "f", 0644, 0x4000), EINVAL);
    CHECK_ERRNO(fchmodat2_(d, "f", 0644, AT_SYMLINK_FOLLOW), EINVAL);
    CHECK_ERRNO(fchmodat2_(d, "missing", 0644, 0), ENOENT);
    CHECK_ERRNO(fchmodat2_(d, NULL, 0644, 0), EFAULT);
    CHECK_ERRNO(fchmodat2_(-1, "f", 0644, 0), EBADF);
    CHECK_ERRNO(fchmodat2_(f, "f", 0644, 0), ENOTDIR);
    // The older call takes three arguments; what is in the fourth register does not matter.
    CHECK_OK(syscall(SYS_fchmodat, d, "f", 0600, 0x7777));
    CHECK_EQ(mode(in("f")), 0600);
    // What cp -r does: libc's fchmodat with AT_SYMLINK_NOFOLLOW.
    CHECK_OK(fchmodat(d, "f", 0751, AT_SYMLINK_NOFOLLOW));
    CHECK_EQ(mode(in("f")), 0751);
}
