// what: rename: what replaces what, and the errors in their order
// worlds: rw
// variants: dynamic static threads
// pitfalls: 30, 33, 67
#include "check.h"

static void test(void)
{
    write_file(in("f"), "F");
    write_file(in("g"), "G");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkdir(in("d/sub"), 0755));
    CHECK_OK(mkdir(in("full"), 0755));
    write_file(in("full/x"), "x");
    CHECK_OK(mkdir(in("e"), 0755));

    CHECK_ERRNO(rename(in("f"), in("d")), EISDIR);
    CHECK_ERRNO(rename(in("d"), in("f")), ENOTDIR);
    CHECK_ERRNO2(rename(in("e"), in("full")), ENOTEMPTY, EEXIST);
    CHECK_ERRNO(rename(in("d"), in("d/sub/x")), EINVAL);
    CHECK_ERRNO(rename(in("d"), in("d/x")), EINVAL);
    CHECK_ERRNO2(rename(in("d/sub"), in("d")), ENOTEMPTY, EEXIST);
    CHECK_ERRNO(rename(in("d/."), in("n")), EBUSY);
    CHECK_ERRNO(rename(in("d/.."), in("n")), EBUSY);
    CHECK_ERRNO(rename(in("f"), in("d/.")), EBUSY);
    CHECK_ERRNO(rename(in("f"), in("d/..")), EBUSY);
    CHECK_ERRNO(rename(in("nope"), in("n")), ENOENT);
    CHECK_ERRNO(rename(in("f"), in("nope/n")), ENOENT);
    CHECK_ERRNO(rename(in("f/x"), in("n")), ENOTDIR);
    CHECK_ERRNO(rename(in("f"), in("g/n")), ENOTDIR);
    CHECK_ERRNO2(rename("/", in("n")), EBUSY, EXDEV);
    CHECK_ERRNO2(rename(in("f"), "/"), EBUSY, EXDEV);

    // Trailing slashes: only directories.
    CHECK_ERRNO(rename(in("f/"), in("n")), ENOTDIR);
    CHECK_ERRNO(rename(in("f"), in("n/")), ENOTDIR);
    CHECK_ERRNO(rename(in("f"), in("g/")), ENOTDIR);
    CHECK_OK(rename(in("e/"), in("e2/")));
    CHECK(exists(in("e2")) && !exists(in("e")));
    CHECK_OK(symlink("e2", in("le2")));
    CHECK_ERRNO(rename(in("le2/"), in("n")), ENOTDIR);
    CHECK_OK(rename(in("le2"), in("le3")));
    CHECK(S_ISLNK(stat_of(in("le3")).st_mode));

    // Onto an empty directory; of a symlink onto a file; a directory keeps its inode and its children.
    ino_t full = stat_of(in("full")).st_ino;
    CHECK_OK(rename(in("full"), in("e2")));
    CHECK_EQ(stat_of(in("e2")).st_ino, full);
    CHECK_CONTENT(in("e2/x"), "x");
    CHECK_OK(symlink("f", in("lf")));
    CHECK_OK(rename(in("lf"), in("g")));
    CHECK(S_ISLNK(stat_of(in("g")).st_mode));
    CHECK_CONTENT(in("g"), "F");

    // Two names of one file: nothing happens, both stay.
    CHECK_OK(link(in("f"), in("f2")));
    CHECK_OK(rename(in("f"), in("f2")));
    CHECK(exists(in("f")) && exists(in("f2")));
    CHECK_EQ(stat_of(in("f")).st_nlink, 2);
    CHECK_OK(rename(in("f"), in("f")));
    CHECK(exists(in("f")));

    // Link counts of parents and ".." follow a directory's move.
    CHECK_EQ(stat_of(in("d")).st_nlink, 3);
    CHECK_OK(rename(in("d/sub"), in("e2/sub")));
    CHECK_EQ(stat_of(in("d")).st_nlink, 2);
    CHECK_EQ(stat_of(in("e2")).st_nlink, 3);
    CHECK_EQ(stat_of(in("e2/sub/..")).st_ino, full);

    // To another mount: EXDEV; within one: done. What is one mount, statx says.
    struct statx a, b;
    CHECK_OK(statx(AT_FDCWD, dir, 0, STATX_MNT_ID, &a));
    CHECK_OK(statx(AT_FDCWD, out, 0, STATX_MNT_ID, &b));
    bool one = a.stx_mnt_id == b.stx_mnt_id && a.stx_dev_minor == b.stx_dev_minor && a.stx_dev_major == b.stx_dev_major;
    if (one) {
        CHECK_OK(rename(in("f"), outside("f")));
        CHECK_CONTENT(outside("f"), "F");
        CHECK(!exists(in("f")));
    } else {
        CHECK_ERRNO(rename(in("f"), outside("f")), EXDEV);
        CHECK_ERRNO(link(in("f"), outside("f")), EXDEV);
        CHECK_ERRNO(rename(in("d"), outside("d")), EXDEV);
        write_file(outside("o"), "O");
        CHECK_ERRNO(rename(outside("o"), in("o")), EXDEV);
        CHECK_CONTENT(in("f"), "F");
        CHECK(!exists(outside("f")));
    }
}
