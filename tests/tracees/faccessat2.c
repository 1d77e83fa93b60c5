// what: access, faccessat, faccessat2: modes and flags
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21, 35
#include "check.h"
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

static long acc(int dfd, const char *path, int mode, int flags)
{
    return syscall(SYS_faccessat2, dfd, path, mode, flags);
}

static void test(void)
{
    write_file(in("f"), "x");
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(symlink("nowhere", in("dangling")));
    CHECK_OK(chmod(in("f"), 0400));
    int d = CHECK_OK(open(dir, O_PATH | O_CLOEXEC));
    static const int flags[] = {0, AT_EACCESS, AT_SYMLINK_NOFOLLOW, AT_EACCESS | AT_SYMLINK_NOFOLLOW};
    for (unsigned i = 0; i < 4; i++) {
        CHECK_OK(acc(d, "f", F_OK, flags[i]));
        CHECK_OK(acc(d, "f", R_OK, flags[i]));
        CHECK_ERRNO(acc(d, "f", W_OK, flags[i]), EACCES);
        CHECK_ERRNO(acc(d, "f", X_OK, flags[i]), EACCES);
        CHECK_ERRNO(acc(d, "f", R_OK | W_OK, flags[i]), EACCES);
        CHECK_OK(acc(d, ".", R_OK | W_OK | X_OK, flags[i]));
        CHECK_ERRNO(acc(d, "missing", F_OK, flags[i]), ENOENT);
        CHECK_ERRNO(acc(d, "f/x", F_OK, flags[i]), ENOTDIR);
    }
    CHECK_ERRNO(acc(d, "l", W_OK, 0), EACCES);
    CHECK_OK(acc(d, "l", R_OK | W_OK | X_OK, AT_SYMLINK_NOFOLLOW));
    CHECK_ERRNO(acc(d, "dangling", F_OK, 0), ENOENT);
    CHECK_OK(acc(d, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
    int f = CHECK_OK(open(in("f"), O_PATH | O_CLOEXEC));
    CHECK_OK(acc(f, "", R_OK, AT_EMPTY_PATH));
    CHECK_ERRNO(acc(f, "", W_OK, AT_EMPTY_PATH), EACCES);
    CHECK_ERRNO(acc(f, "", R_OK, 0), ENOENT);
    CHECK_ERRNO(acc(d, "f", R_OK, 0x4000), EINVAL);
    CHECK_ERRNO(acc(d, "f", 8, 0), EINVAL);
    CHECK_ERRNO(acc(d, "f", -1, 0), EINVAL);
    CHECK_ERRNO(access(in("f"), 8), EINVAL);
    CHECK_ERRNO(access(in("missing/x"), 8), EINVAL);
    CHECK_ERRNO(acc(-1, "f", R_OK, 0), EBADF);
    CHECK_ERRNO(acc(f, "f", R_OK, 0), ENOTDIR);
    CHECK_ERRNO(acc(d, NULL, R_OK, 0), EFAULT);
    CHECK_OK(access(in("f"), R_OK));
    CHECK_ERRNO(access(in("f"), W_OK), EACCES);
    CHECK_OK(chmod(in("f"), 0111));
    CHECK_OK(access(in("f"), X_OK));
    CHECK_ERRNO(access(in("f"), R_OK), EACCES);
    CHECK_ERRNO(open(in("f"), O_RDONLY), EACCES);
    // Owner bits decide for the owner, even where others may do more.
    CHECK_OK(chmod(in("f"), 0077));
    CHECK_ERRNO(access(in("f"), R_OK), EACCES);
    CHECK_ERRNO(open(in("f"), O_RDONLY), EACCES);
    CHECK_OK(access(in("f"), F_OK));
    // A file of somebody else.
    CHECK_OK(access("/etc/passwd", R_OK));
    CHECK_ERRNO2(access("/etc/passwd", W_OK), EACCES, EROFS);
}
