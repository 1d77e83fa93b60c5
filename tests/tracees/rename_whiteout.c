// what: renameat2 with RENAME_WHITEOUT: what is left behind, and what can be done with it
// worlds: rw
// variants: dynamic static
// pitfalls: 21
#include "check.h"

#define REN(a, b, flags) syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags)

// A character device 0:0, as overlayfs knows it: nobody's permission, the caller's own.
static void is_whiteout(const char *path)
{
    struct stat s = stat_of(path);
    CHECK_EQ(s.st_mode, S_IFCHR);
    CHECK_EQ(s.st_rdev, 0);
    CHECK_EQ(s.st_nlink, 1);
    CHECK_EQ(s.st_size, 0);
    CHECK_EQ(s.st_uid, geteuid());
}

static void test(void)
{
    write_file(in("a"), "A");
    write_file(in("b"), "B");
    struct stat a = stat_of(in("a"));
    if (REN(in("a"), in("new"), RENAME_WHITEOUT) == -1 && errno == EPERM)
        SKIP("this kernel asks for CAP_MKNOD");
    CHECK_CONTENT(in("new"), "A");
    CHECK_EQ(stat_of(in("new")).st_ino, a.st_ino);
    is_whiteout(in("a"));
    CHECK(stat_of(in("a")).st_ino != a.st_ino);

    // Over an existing name, and not over one.
    CHECK_ERRNO(REN(in("new"), in("b"), RENAME_WHITEOUT | RENAME_NOREPLACE), EEXIST);
    CHECK_CONTENT(in("new"), "A");
    CHECK_OK(REN(in("new"), in("b"), RENAME_WHITEOUT));
    CHECK_CONTENT(in("b"), "A");
    is_whiteout(in("new"));
    CHECK_OK(REN(in("b"), in("c"), RENAME_WHITEOUT | RENAME_NOREPLACE));
    is_whiteout(in("b"));
    CHECK_CONTENT(in("c"), "A");
    CHECK_ERRNO(REN(in("c"), in("b"), RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(REN(in("missing"), in("d"), RENAME_WHITEOUT), ENOENT);

    // A directory, into another one: the counts of links follow.
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkdir(in("e"), 0755));
    CHECK_OK(mkdir(in("d/sub"), 0755));
    write_file(in("d/sub/f"), "F");
    CHECK_OK(REN(in("d/sub"), in("e/sub"), RENAME_WHITEOUT));
    CHECK_CONTENT(in("e/sub/f"), "F");
    is_whiteout(in("d/sub"));
    CHECK_ERRNO(rmdir(in("d")), ENOTEMPTY);
    CHECK_ERRNO(rmdir(in("d/sub")), ENOTDIR);

    // It is a name like others: listed, linked, replaced, removed.
    DIR *listing = opendir(in("d"));
    CHECK(listing != NULL);
    int seen = 0;
    for (struct dirent *e; (e = readdir(listing)) != NULL;)
        if (!strcmp(e->d_name, "sub")) {
            CHECK(e->d_type == DT_CHR || e->d_type == DT_UNKNOWN);
            seen++;
        }
    closedir(listing);
    CHECK_EQ(seen, 1);
    CHECK_ERRNO(open(in("d/sub"), O_RDONLY | O_CLOEXEC), EACCES);
    CHECK_ERRNO(mkdir(in("d/sub"), 0755), EEXIST);
    CHECK_OK(link(in("d/sub"), in("linked")));
    CHECK_EQ(stat_of(in("d/sub")).st_nlink, 2);
    CHECK_OK(unlink(in("linked")));
    CHECK_OK(rename(in("c"), in("a")));
    CHECK_CONTENT(in("a"), "A");
    CHECK_OK(unlink(in("d/sub")));
    CHECK_OK(unlink(in("b")));
    CHECK_OK(rmdir(in("d")));
    CHECK(!exists(in("b")));
}
