// what: renameat2: NOREPLACE, EXCHANGE, refused combinations
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21
#include "check.h"

#define REN(a, b, flags) syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags)

static void test(void)
{
    write_file(in("a"), "A");
    write_file(in("b"), "B");
    CHECK_OK(mkdir(in("d"), 0755));
    write_file(in("d/inner"), "I");

    CHECK_ERRNO(REN(in("a"), in("b"), RENAME_NOREPLACE), EEXIST);
    CHECK_CONTENT(in("a"), "A");
    CHECK_CONTENT(in("b"), "B");
    CHECK_ERRNO(REN(in("a"), in("d"), RENAME_NOREPLACE), EEXIST);
    CHECK_OK(symlink("nowhere", in("dangling")));
    CHECK_ERRNO(REN(in("a"), in("dangling"), RENAME_NOREPLACE), EEXIST);
    CHECK_OK(REN(in("a"), in("c"), RENAME_NOREPLACE));
    CHECK_CONTENT(in("c"), "A");
    CHECK(!exists(in("a")));
    CHECK_ERRNO(REN(in("c"), in("c"), RENAME_NOREPLACE), EEXIST);

    struct stat c = stat_of(in("c")), b = stat_of(in("b")), d = stat_of(in("d"));
    CHECK_OK(REN(in("c"), in("b"), RENAME_EXCHANGE));
    CHECK_CONTENT(in("c"), "B");
    CHECK_CONTENT(in("b"), "A");
    CHECK_EQ(stat_of(in("b")).st_ino, c.st_ino);
    CHECK_EQ(stat_of(in("c")).st_ino, b.st_ino);
    // A file and a directory, one inside another directory.
    CHECK_OK(mkdir(in("e"), 0755));
    write_file(in("e/x"), "X");
    CHECK_EQ(stat_of(in("e")).st_nlink, stat_of(in("d")).st_nlink);
    CHECK_OK(REN(in("d"), in("e/x"), RENAME_EXCHANGE));
    CHECK_CONTENT(in("d"), "X");
    CHECK_CONTENT(in("e/x/inner"), "I");
    CHECK_EQ(stat_of(in("e/x")).st_ino, d.st_ino);
    CHECK_EQ(stat_of(in("e")).st_nlink, 3);
    CHECK_ERRNO(REN(in("c"), in("missing"), RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(REN(in("missing"), in("c"), RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(REN(in("e"), in("e/x"), RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(REN(in("e/x"), in("e"), RENAME_EXCHANGE), EINVAL);

    CHECK_ERRNO(REN(in("b"), in("c"), RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(REN(in("b"), in("c"), RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(REN(in("b"), in("c"), 8), EINVAL);
    CHECK_ERRNO(REN(in("b"), in("c"), 1U << 31), EINVAL);
    CHECK_ERRNO(REN(in("missing"), in("c"), 8), EINVAL);
    CHECK_ERRNO(REN(in("missing"), in("c"), 0), ENOENT);
    CHECK_ERRNO(REN(NULL, in("c"), 0), EFAULT);
    CHECK_ERRNO(REN(in("c"), NULL, 0), EFAULT);
    CHECK_ERRNO(REN("", in("c"), 0), ENOENT);
    CHECK_ERRNO(REN(in("c"), "", 0), ENOENT);
    CHECK_CONTENT(in("c"), "B");
    // What mv -n of coreutils does.
    int dfd = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_OK(renameat2(dfd, "c", dfd, "moved", RENAME_NOREPLACE));
    CHECK_CONTENT(in("moved"), "B");
}
