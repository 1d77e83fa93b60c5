// what: where a path lies in memory: page boundaries, EFAULT at the start and in the middle
// worlds: rw
// variants: dynamic static threads
// pitfalls: 26, 67
#include "check.h"

static void test(void)
{
    struct stat st;
    const size_t page = 4096;
    char *m = CHECK_OK(mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_OK(mprotect(m + 2 * page, page, PROT_NONE));
    char *hole = m + 2 * page;
    write_file(in("file"), "x");
    const char *path = in("file");
    size_t n = strlen(path) + 1;

    // At every position across a boundary between two readable pages.
    for (size_t i = 0; i <= n; i++) {
        char *p = m + page - i;
        memcpy(p, path, n);
        CHECK_OK(stat(p, &st));
    }
    // The NUL is the last byte before a hole.
    memcpy(hole - n, path, n);
    CHECK_OK(stat(hole - n, &st));
    CHECK_OK(close(CHECK_OK(open(hole - n, O_RDONLY))));
    // The NUL would be in the hole.
    memcpy(hole - n + 1, path, n - 1);
    CHECK_ERRNO(stat(hole - n + 1, &st), EFAULT);
    CHECK_ERRNO(open(hole - n + 1, O_RDONLY), EFAULT);
    CHECK_ERRNO(open(hole - n + 1, O_CREAT | O_WRONLY, 0644), EFAULT);
    CHECK_ERRNO(mkdir(hole - n + 1, 0755), EFAULT);
    CHECK_ERRNO(unlink(hole - n + 1), EFAULT);
    CHECK_ERRNO(rename(hole - n + 1, in("x")), EFAULT);
    CHECK_ERRNO(rename(in("file"), hole - n + 1), EFAULT);
    CHECK_ERRNO(chdir(hole - n + 1), EFAULT);
    CHECK_ERRNO(symlink(hole - n + 1, in("s")), EFAULT);
    CHECK_ERRNO(execve(hole - n + 1, (char *[]){"x", NULL}, NULL), EFAULT);
    CHECK_ERRNO(stat(hole, &st), EFAULT);
    CHECK_ERRNO(syscall(SYS_stat, NULL, &st), EFAULT);
    CHECK_ERRNO(syscall(SYS_stat, -1L, &st), EFAULT);
    CHECK_ERRNO(syscall(SYS_stat, 0x8000000000000000UL, &st), EFAULT);
    CHECK_ERRNO(syscall(SYS_open, NULL, O_RDONLY), EFAULT);

    // Results across a boundary, and into a hole.
    for (size_t i = 1; i < sizeof st; i += 31) {
        struct stat copy;
        CHECK_OK(stat(path, (struct stat *)(m + page - i)));
        memcpy(&copy, m + page - i, sizeof copy);
        CHECK_EQ(copy.st_size, 1);
    }
    CHECK_ERRNO(syscall(SYS_stat, path, hole - 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_stat, path, hole), EFAULT);
    CHECK_OK(symlink("0123456789abcdef", in("l")));
    CHECK_EQ(readlink(in("l"), hole - 16, 100), 16);
    CHECK_ERRNO(syscall(SYS_readlink, in("l"), hole - 8, 100), EFAULT);
    CHECK_EQ(syscall(SYS_readlink, in("l"), hole - 8, 8), 8);
    CHECK(!memcmp(hole - 8, "01234567", 8));
    // Read-only memory is good for paths, not for results.
    memcpy(m, path, n);
    CHECK_OK(mprotect(m, page, PROT_READ));
    CHECK_OK(stat(m, &st));
    CHECK_ERRNO(syscall(SYS_stat, path, m + 1024), EFAULT);
    CHECK(!exists(in("x")) && !exists(in("s")));
}
