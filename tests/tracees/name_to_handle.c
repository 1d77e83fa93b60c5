// what: name_to_handle_at answers right or EOPNOTSUPP; open_by_handle_at stays refused
// worlds: rw
// variants: dynamic static
// pitfalls: 21
#include "check.h"

static void test(void)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } a, b;
    int mnt;
    write_file(in("f"), "x");
    memset(&a, 0, sizeof a);
    a.h.handle_bytes = MAX_HANDLE_SZ;
    int r = name_to_handle_at(AT_FDCWD, in("f"), &a.h, &mnt, 0);
    if (r == -1) {
        CHECK(errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM);
        return;
    }
    CHECK(a.h.handle_bytes > 0 && a.h.handle_bytes <= MAX_HANDLE_SZ);
    b = a;
    memset(b.h.f_handle, 0, a.h.handle_bytes);
    b.h.handle_bytes = MAX_HANDLE_SZ;
    int fd = CHECK_OK(open(in("f"), O_PATH | O_CLOEXEC));
    CHECK_OK(name_to_handle_at(fd, "", &b.h, &mnt, AT_EMPTY_PATH));
    CHECK_EQ(a.h.handle_bytes, b.h.handle_bytes);
    CHECK(!memcmp(a.h.f_handle, b.h.f_handle, a.h.handle_bytes));
    b.h.handle_bytes = 0;
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, in("f"), &b.h, &mnt, 0), EOVERFLOW);
    CHECK_EQ(b.h.handle_bytes, a.h.handle_bytes);
    b.h.handle_bytes = MAX_HANDLE_SZ + 1;
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, in("f"), &b.h, &mnt, 0), EINVAL);
    b.h.handle_bytes = MAX_HANDLE_SZ;
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, in("missing"), &b.h, &mnt, 0), ENOENT);
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, in("f"), &b.h, &mnt, 1 << 30), EINVAL);
    int d = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_ERRNO2(open_by_handle_at(d, &a.h, O_RDONLY), EPERM, ENOSYS);
}
