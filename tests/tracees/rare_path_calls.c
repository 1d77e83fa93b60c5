// what: rarely used calls that carry paths: right, or refused by name; they never see another tree
// worlds: rw
// variants: dynamic static
// pitfalls: 21, 22
#include "check.h"
#include <linux/mount.h>

enum { OPEN_TREE_ = 428, MOVE_MOUNT_ = 429, FSOPEN_ = 430, FSPICK_ = 433, MOUNT_SETATTR_ = 442, OPEN_TREE_ATTR_ = 467, FILE_GETATTR_ = 468, FILE_SETATTR_ = 469 };

// The call on a path that is there; the errnos that mean "can't do it here" are fine, ENOENT is not.
#define MAY(e)                                                                                                                   \
    ({                                                                                                                           \
        errno = 0;                                                                                                               \
        long r_ = (e);                                                                                                           \
        int e_ = errno;                                                                                                          \
        if (r_ == -1 && e_ != ENOSYS && e_ != EPERM && e_ != EOPNOTSUPP && e_ != ENOTTY && e_ != EINVAL && e_ != ENODEV)         \
            check_fail(__FILE__, __LINE__, #e, "got -1, errno %d (%s)", e_, strerror(e_));                                       \
        r_;                                                                                                                      \
    })

// The call on a path that is not there.
#define MUST_NOT(e)                                                                                                              \
    do {                                                                                                                         \
        errno = 0;                                                                                                               \
        long r_ = (e);                                                                                                           \
        int e_ = errno;                                                                                                          \
        if (r_ != -1 || (e_ != ENOENT && e_ != ENOSYS && e_ != EPERM && e_ != EOPNOTSUPP && e_ != EINVAL))                       \
            check_fail(__FILE__, __LINE__, #e, "got %ld, errno %d (%s), expected ENOENT or a refusal", r_, e_, strerror(e_));    \
    } while (0)

static void test(void)
{
    struct stat st;
    char attr[64] = "";
    write_file(in("f"), "x");
    CHECK_OK(mkdir(in("d"), 0755));
    // open_tree without OPEN_TREE_CLONE is an open with O_PATH.
    long fd = MAY(syscall(OPEN_TREE_, AT_FDCWD, in("f"), O_CLOEXEC));
    if (fd >= 0) {
        CHECK_OK(fstat((int)fd, &st));
        CHECK_EQ(st.st_ino, stat_of(in("f")).st_ino);
        CHECK_EQ(fcntl((int)fd, F_GETFL) & O_PATH, O_PATH);
        CHECK_OK(close((int)fd));
    }
    MUST_NOT(syscall(OPEN_TREE_, AT_FDCWD, in("nope"), O_CLOEXEC));
    MUST_NOT(syscall(FSPICK_, AT_FDCWD, in("nope"), 0));
    MUST_NOT(syscall(MOVE_MOUNT_, AT_FDCWD, in("nope"), AT_FDCWD, in("d"), 0));
    MUST_NOT(syscall(OPEN_TREE_ATTR_, AT_FDCWD, in("nope"), O_CLOEXEC, attr, 32));
    MUST_NOT(syscall(MOUNT_SETATTR_, AT_FDCWD, in("nope"), 0, attr, 32));
    MAY(syscall(FILE_GETATTR_, AT_FDCWD, in("f"), attr, 24, 0));
    MUST_NOT(syscall(FILE_GETATTR_, AT_FDCWD, in("nope"), attr, 24, 0));
    MUST_NOT(syscall(FILE_SETATTR_, AT_FDCWD, in("nope"), attr, 24, 0));
    // Only for root.
    CHECK_ERRNO2(syscall(SYS_uselib, in("f")), ENOSYS, EACCES);
    CHECK_ERRNO2(syscall(SYS_mount, in("f"), in("d"), "no-such-type", 0, NULL), EPERM, ENODEV);
    CHECK_ERRNO2(syscall(SYS_umount2, in("d"), 0), EPERM, EINVAL);
    CHECK_CONTENT(in("f"), "x");
    CHECK_EQ(count_entries(dir), 2);
}
