// what: setxattrat and its family: right, or ENOSYS; never something else
// worlds: rw
// variants: dynamic static
// pitfalls: 21, 22
#include "check.h"

struct args {
    uint64_t value;
    uint32_t size, flags;
};

static void test(void)
{
    char buf[64];
    write_file(in("f"), "x");
    struct args set = {(uintptr_t) "val", 3, 0}, get = {(uintptr_t)buf, sizeof buf, 0};
    int d = CHECK_OK(open(dir, O_PATH | O_CLOEXEC));
    long r = syscall(463, d, "f", 0, "user.a", &set, sizeof set);
    if (r == -1 && errno == ENOSYS) {
        CHECK_ERRNO(syscall(464, d, "f", 0, "user.a", &get, sizeof get), ENOSYS);
        CHECK_ERRNO(syscall(465, d, "f", 0, buf, sizeof buf), ENOSYS);
        CHECK_ERRNO(syscall(466, d, "f", 0, "user.a"), ENOSYS);
        return;
    }
    if (r == -1 && errno == EOPNOTSUPP)
        SKIP("no user xattrs here");
    CHECK_EQ(r, 0);
    CHECK_EQ(syscall(464, d, "f", 0, "user.a", &get, sizeof get), 3);
    CHECK(!memcmp(buf, "val", 3));
    CHECK(syscall(465, d, "f", 0, buf, sizeof buf) >= 7);
    CHECK_OK(syscall(466, d, "f", 0, "user.a"));
    CHECK_ERRNO(syscall(464, d, "f", 0, "user.a", &get, sizeof get), ENODATA);
}
