// what: "." and "..", repeated and trailing slashes, empty strings
// worlds: rw
// variants: dynamic static threads
// pitfalls: 26, 67
#include "check.h"

static void test(void)
{
    struct stat st, root;
    char buf[64];
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkdir(in("d/e"), 0755));
    write_file(in("f"), "f");
    CHECK_OK(symlink("f", in("lf")));
    CHECK_OK(symlink("d", in("ld")));
    CHECK_OK(symlink("nowhere", in("dang")));

    CHECK_CONTENT(in("d/../f"), "f");
    CHECK_CONTENT(in("d/e/../../f"), "f");
    CHECK_CONTENT(in(".//././f"), "f");
    CHECK_CONTENT(in("d//..///f"), "f");
    CHECK_ERRNO(stat(in("f/.."), &st), ENOTDIR);
    CHECK_ERRNO(stat(in("f/."), &st), ENOTDIR);
    CHECK_ERRNO(stat(in("nope/../f"), &st), ENOENT);
    // ".." after a symlink is the parent of its target.
    CHECK_OK(symlink("d/e", in("le")));
    CHECK_EQ(stat_of(in("le/..")).st_ino, stat_of(in("d")).st_ino);
    CHECK_OK(stat("/", &root));
    CHECK_OK(stat("/../../..", &st));
    CHECK_EQ(st.st_ino, root.st_ino);
    CHECK_OK(chdir(dir));
    CHECK_OK(stat("../../../../../../../../../..", &st));
    CHECK_EQ(st.st_ino, root.st_ino);

    // Trailing slashes ask for a directory.
    CHECK_OK(stat(in("d/"), &st));
    CHECK_OK(stat(in("d///"), &st));
    CHECK_ERRNO(stat(in("f/"), &st), ENOTDIR);
    CHECK_ERRNO(stat(in("lf/"), &st), ENOTDIR);
    CHECK_ERRNO(lstat(in("lf/"), &st), ENOTDIR);
    CHECK_OK(lstat(in("ld/"), &st));
    CHECK(S_ISDIR(st.st_mode));
    CHECK_OK(lstat(in("ld"), &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_ERRNO(lstat(in("dang/"), &st), ENOENT);
    CHECK_ERRNO(open(in("f/"), O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open(in("f/"), O_WRONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open(in("new/"), O_WRONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open(in("new/"), O_RDONLY), ENOENT);
    CHECK_ERRNO(readlink(in("ld/"), buf, sizeof buf), EINVAL);
    CHECK_ERRNO(readlink(in("lf/"), buf, sizeof buf), ENOTDIR);
    CHECK_ERRNO(truncate(in("f/"), 0), ENOTDIR);
    CHECK_ERRNO(unlink(in("f/")), ENOTDIR);
    CHECK_ERRNO(unlink(in("lf/")), ENOTDIR);
    CHECK_ERRNO(unlink(in("nope/")), ENOENT);
    CHECK_ERRNO(unlink(in("d/")), EISDIR);
    CHECK_ERRNO(unlink(in("d")), EISDIR);
    CHECK_ERRNO(unlink(in("d/.")), EISDIR);
    CHECK_ERRNO(unlink(in("ld/")), ENOTDIR);
    CHECK_ERRNO(rmdir(in("ld/")), ENOTDIR);
    CHECK_ERRNO(rmdir(in("ld")), ENOTDIR);
    CHECK_ERRNO(rmdir(in("f")), ENOTDIR);
    CHECK_ERRNO(rmdir(in("d/e/.")), EINVAL);
    CHECK_ERRNO(rmdir(in("d/e/..")), ENOTEMPTY);
    CHECK_ERRNO(rmdir(in("d")), ENOTEMPTY);
    CHECK_ERRNO(rmdir("/"), EBUSY);
    CHECK_OK(mkdir(in("n1/"), 0755));
    CHECK_OK(mkdir(in("n2//"), 0755));
    CHECK_OK(rmdir(in("n2/")));
    CHECK_ERRNO(mkdir(in("n1/."), 0755), EEXIST);
    CHECK_ERRNO(mkdir(in("n1/.."), 0755), EEXIST);
    CHECK_ERRNO(mkdir(in("dang"), 0755), EEXIST);
    CHECK_ERRNO(mkdir(in("dang/"), 0755), EEXIST);
    CHECK_ERRNO(mkdir(in("f"), 0755), EEXIST);
    CHECK_ERRNO(mkdir(in("nope/x"), 0755), ENOENT);
    CHECK_ERRNO(mkdir(in("f/x"), 0755), ENOTDIR);
    CHECK_ERRNO(mkdir("/", 0755), EEXIST);
    CHECK_ERRNO(symlink("x", in("s/")), ENOENT);
    CHECK_ERRNO(symlink("x", in("d/")), EEXIST);
    CHECK_ERRNO(link(in("f"), in("h/")), ENOENT);
    CHECK_ERRNO(link(in("f/"), in("h")), ENOTDIR);
    CHECK_ERRNO(mknod(in("k/"), S_IFREG | 0644, 0), ENOENT);

    // Empty strings.
    CHECK_ERRNO(stat("", &st), ENOENT);
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERRNO(mkdir("", 0755), ENOENT);
    CHECK_ERRNO(unlink(""), ENOENT);
    CHECK_ERRNO(rmdir(""), ENOENT);
    CHECK_ERRNO(symlink("", in("s")), ENOENT);
    CHECK_ERRNO(symlink("x", ""), ENOENT);
    CHECK_ERRNO(link("", in("s")), ENOENT);
    CHECK_ERRNO(chmod("", 0644), ENOENT);
    CHECK_ERRNO(truncate("", 0), ENOENT);
    CHECK_ERRNO(readlink("", buf, sizeof buf), ENOENT);
    CHECK_EQ(count_entries(dir), 7); // d f lf ld dang le n1: nothing was made on the way
}
