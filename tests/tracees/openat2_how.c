// what: openat2 checks its struct: size, unknown flags, mode bits, bad pointers
// worlds: rw
// variants: dynamic static threads
// pitfalls: 20, 67
#include "check.h"
#include <linux/openat2.h>

struct big {
    struct open_how how;
    uint64_t extra;
};

static long call(const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {flags, mode, resolve};
    return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static void test(void)
{
    char *f = in("f");
    write_file(f, "x");
    struct big b = {.how = {.flags = O_RDONLY}};
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, &b, (size_t)0), EINVAL);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, &b, sizeof b.how - 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, &b, (size_t)8), EINVAL);
    CHECK_OK(close((int)CHECK_OK(syscall(SYS_openat2, AT_FDCWD, f, &b, sizeof b))));
    b.extra = 1;
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, &b, sizeof b), E2BIG);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, &b, (size_t)1 << 20), E2BIG);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, NULL, sizeof b.how), EFAULT);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, f, (void *)8, sizeof b.how), EFAULT);
    CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, NULL, &b, sizeof b.how), EFAULT);

    CHECK_ERRNO(call(f, 1ULL << 40, 0, 0), EINVAL);
    CHECK_ERRNO(call(f, 1ULL << 31, 0, 0), EINVAL);
    CHECK_ERRNO(call(f, O_RDONLY, 0, 1 << 20), EINVAL);
    CHECK_ERRNO(call(f, O_RDONLY, 0, 1ULL << 40), EINVAL);
    CHECK_ERRNO(call(f, O_RDONLY, 0600, 0), EINVAL);
    CHECK_ERRNO(call(in("n"), O_CREAT | O_WRONLY, 010000, 0), EINVAL);
    CHECK_ERRNO(call(in("n"), O_CREAT | O_WRONLY, 0600 | 1ULL << 40, 0), EINVAL);
    CHECK_ERRNO(call(f, O_PATH | O_RDWR, 0, 0), EINVAL);
    CHECK_ERRNO(call(f, O_PATH | O_CREAT, 0600, 0), EINVAL);
    CHECK_ERRNO(call(in("n"), O_CREAT | O_DIRECTORY | O_RDONLY, 0600, 0), EINVAL);
    CHECK(!exists(in("n")));
    // Argument errors come before the lookup.
    CHECK_ERRNO(call(in("missing/x"), 1ULL << 40, 0, 0), EINVAL);
    CHECK_ERRNO(call(in("missing/x"), O_RDONLY, 0600, 0), EINVAL);
    // open(2), by contrast, ignores what it does not know.
    CHECK_OK(close((int)CHECK_OK(syscall(SYS_openat, AT_FDCWD, f, O_RDONLY | 1 << 30, 0600))));
    CHECK_OK(close((int)CHECK_OK(call(f, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, 0))));
    int fd = (int)CHECK_OK(call(in("n"), O_CREAT | O_EXCL | O_RDWR, 0764, 0));
    CHECK_EQ(stat_of(in("n")).st_mode, S_IFREG | 0744);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
}
