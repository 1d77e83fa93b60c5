// what: link and linkat: what can be linked, flags, counts, errors
// worlds: rw
// variants: dynamic static threads
// pitfalls: 31, 34, 67
#include "check.h"

static void test(void)
{
    struct stat st;
    char name[32];
    write_file(in("f"), "data");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(symlink("nowhere", in("dang")));
    CHECK_OK(link(in("f"), in("g")));
    CHECK_EQ(stat_of(in("f")).st_nlink, 2);
    CHECK_ERRNO(link(in("f"), in("g")), EEXIST);
    CHECK_ERRNO(link(in("f"), in("d")), EEXIST);
    CHECK_ERRNO(link(in("f"), in("dang")), EEXIST);
    CHECK_ERRNO(link(in("d"), in("x")), EPERM);
    CHECK_ERRNO(link(in("nope"), in("x")), ENOENT);
    CHECK_ERRNO(link(in("f"), in("nope/x")), ENOENT);
    CHECK_ERRNO(link(in("f"), in("g/x")), ENOTDIR);
    CHECK_ERRNO(link(in("f/x"), in("x")), ENOTDIR);
    CHECK_ERRNO(link(NULL, in("x")), EFAULT);
    CHECK_ERRNO(link(in("f"), NULL), EFAULT);
    // link(2) takes the symlink itself; linkat follows when asked.
    CHECK_OK(link(in("dang"), in("dang2")));
    CHECK(S_ISLNK(stat_of(in("dang2")).st_mode));
    CHECK_EQ(stat_of(in("dang")).st_nlink, 2);
    CHECK_EQ(stat_of(in("dang")).st_ino, stat_of(in("dang2")).st_ino);
    CHECK_OK(linkat(AT_FDCWD, in("l"), AT_FDCWD, in("followed"), AT_SYMLINK_FOLLOW));
    CHECK(S_ISREG(stat_of(in("followed")).st_mode));
    CHECK_EQ(stat_of(in("f")).st_nlink, 3);
    CHECK_ERRNO(linkat(AT_FDCWD, in("dang"), AT_FDCWD, in("x"), AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_ERRNO(linkat(AT_FDCWD, in("f"), AT_FDCWD, in("x"), 0x4000), EINVAL);
    CHECK_ERRNO(linkat(-1, "f", AT_FDCWD, in("x"), 0), EBADF);
    // FIFOs too. ctime of the file changes, its data is one.
    CHECK_OK(mkfifo(in("p"), 0600));
    CHECK_OK(link(in("p"), in("p2")));
    CHECK_EQ(stat_of(in("p2")).st_nlink, 2);
    write_file(in("g"), "through g");
    CHECK_CONTENT(in("f"), "through g");
    CHECK_OK(chmod(in("followed"), 0600));
    CHECK_EQ(stat_of(in("f")).st_mode & 0777, 0600);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "d/link%d", i);
        CHECK_OK(link(in("f"), in(name)));
    }
    CHECK_EQ(stat_of(in("f")).st_nlink, 503);
    CHECK_EQ(stat_of(in("d")).st_nlink, 2);
    for (int i = 0; i < 500; i += 2) {
        snprintf(name, sizeof name, "d/link%d", i);
        CHECK_OK(unlink(in(name)));
    }
    CHECK_EQ(stat_of(in("d/link1")).st_nlink, 253);
    CHECK_OK(stat(in("d/link499"), &st));
    CHECK_EQ(st.st_ino, stat_of(in("f")).st_ino);
    // A name that is in the way of rename.
    CHECK_OK(rename(in("d/link499"), in("g")));
    CHECK_EQ(stat_of(in("f")).st_nlink, 253); // same file: nothing done
    write_file(in("new"), "new");
    CHECK_OK(rename(in("new"), in("g")));
    CHECK_EQ(stat_of(in("f")).st_nlink, 252);
}
