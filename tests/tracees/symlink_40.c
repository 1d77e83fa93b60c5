// what: symlinks: exactly 40 are followed, 41 are ELOOP; in the middle of paths too
// worlds: rw
// variants: dynamic static threads
// pitfalls: 26
#include "check.h"

static void test(void)
{
    char name[32], to[32], path[256];
    struct stat st;
    write_file(in("file"), "end");
    CHECK_OK(mkdir(in("dir"), 0755));
    write_file(in("dir/file"), "end");
    CHECK_OK(symlink("file", in("f1")));
    CHECK_OK(symlink("dir", in("d1")));
    for (int i = 2; i <= 42; i++) {
        snprintf(name, sizeof name, "f%d", i);
        snprintf(to, sizeof to, "f%d", i - 1);
        CHECK_OK(symlink(to, in(name)));
        snprintf(name, sizeof name, "d%d", i);
        snprintf(to, sizeof to, "d%d", i - 1);
        CHECK_OK(symlink(to, in(name)));
    }
    CHECK_OK(stat(in("f40"), &st));
    CHECK_CONTENT(in("f40"), "end");
    CHECK_ERRNO(stat(in("f41"), &st), ELOOP);
    CHECK_ERRNO(open(in("f41"), O_RDONLY), ELOOP);
    CHECK_OK(lstat(in("f42"), &st));
    CHECK_OK(chdir(in("d40")));
    CHECK_ERRNO(chdir(in("d41")), ELOOP);
    CHECK_OK(stat(in("d40/file"), &st));
    CHECK_ERRNO(stat(in("d41/file"), &st), ELOOP);
    // The limit is for the whole walk.
    CHECK_OK(stat(in("d20/../f20"), &st));
    CHECK_ERRNO(stat(in("d20/../f21"), &st), ELOOP);
    CHECK_OK(lstat(in("d40/../f21"), &st));
    CHECK_ERRNO(lstat(in("d41/../f1"), &st), ELOOP);
    CHECK_OK(symlink("loop", in("loop")));
    CHECK_OK(symlink("pong", in("ping")));
    CHECK_OK(symlink("ping", in("pong")));
    CHECK_ERRNO(stat(in("loop"), &st), ELOOP);
    CHECK_ERRNO(stat(in("ping"), &st), ELOOP);
    CHECK_ERRNO(open(in("ping"), O_CREAT | O_WRONLY, 0644), ELOOP);
    CHECK_ERRNO(stat(in("loop/x"), &st), ELOOP);
    CHECK_ERRNO(mkdir(in("loop/x"), 0755), ELOOP);
    CHECK_ERRNO(mkdir(in("loop"), 0755), EEXIST);
    CHECK_ERRNO(open(in("loop"), O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open(in("f1"), O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open(in("d1"), O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
    // Into a real directory and back.
    CHECK_OK(symlink(out, in("away")));
    CHECK_OK(symlink(dir, outside("back")));
    snprintf(path, sizeof path, "away/back/away/back/d1/file");
    CHECK_CONTENT(in(path), "end");
    CHECK_CONTENT(outside("back/f39"), "end");
    CHECK_ERRNO(stat(outside("back/f40"), &st), ELOOP);
    CHECK_ERRNO(stat(outside("back/f39/x"), &st), ENOTDIR);
    // Through proc: "self" and the magic link count as one each.
    CHECK_OK(chdir(dir));
    CHECK_CONTENT("/proc/self/cwd/f38", "end");
    CHECK_ERRNO(stat("/proc/self/cwd/f39", &st), ELOOP);
}
