// what: symlinks: fast and slow ones, 40 and 41 in a row, to directories, out of the tree and back
// worlds: ro
// variants: dynamic static threads
// pitfalls: 26
#include "fixture.h"

static void test(void)
{
    char buf[256], path[PATH_MAX];
    struct stat st;
    CHECK_CONTENT(in("link"), FIXTURE_TEXT);
    CHECK_CONTENT(in("slow"), FIXTURE_TEXT);
    CHECK_CONTENT(in("linkdir/a"), "a\n");
    CHECK_CONTENT(in("linkdir/up"), FIXTURE_TEXT);
    CHECK_CONTENT(in("linkdir/sub/../../file"), FIXTURE_TEXT);
    CHECK_EQ(readlink(in("link"), buf, sizeof buf), 4);
    CHECK(!memcmp(buf, "file", 4));
    CHECK_EQ(readlink(in("slow"), buf, sizeof buf), 124);
    CHECK(!memcmp(buf + 116, "././file", 8));
    CHECK_EQ(readlink(in("slow"), buf, 10), 10);
    CHECK_ERRNO(readlink(in("file"), buf, sizeof buf), EINVAL);
    CHECK_ERRNO(readlink(in("nope"), buf, sizeof buf), ENOENT);
    CHECK_OK(stat(in("l40"), &st));
    CHECK_CONTENT(in("l40"), FIXTURE_TEXT);
    CHECK_ERRNO(stat(in("l41"), &st), ELOOP);
    CHECK_OK(lstat(in("l41"), &st));
    CHECK_ERRNO(open(in("loop"), O_RDONLY), ELOOP);
    CHECK_ERRNO(open(in("dangling"), O_RDONLY), ENOENT);
    CHECK_ERRNO(open(in("link"), O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open(in("linkdir"), O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
    // Out of the tree and back in.
    CHECK_CONTENT(in("toroot/proc/self/comm"), read_file("/proc/self/comm") ? strdup(read_file("/proc/self/comm")) : "");
    char real[PATH_MAX];
    CHECK(realpath(dir, real) != NULL);
    snprintf(path, sizeof path, "%s/toroot%s/dir/b", dir, real);
    CHECK_CONTENT(path, "b\n");
    CHECK_OK(symlink(in("dir"), outside("into")));
    CHECK_CONTENT(outside("into/a"), "a\n");
    CHECK_CONTENT(outside("into/../file"), FIXTURE_TEXT);
    CHECK(realpath(outside("into/up"), path) != NULL);
    CHECK_STR(path, join(real, "file"));
    CHECK_OK(symlink(in("linkdir/../l39"), outside("l")));
    CHECK_ERRNO(stat(outside("l"), &st), ELOOP); // 1 + linkdir + 39
    // From a directory of the tree out, by "..".
    CHECK_OK(chdir(in("dir/sub")));
    CHECK_CONTENT("../../file", FIXTURE_TEXT);
    CHECK_OK(stat("../../..", &st));
    CHECK_OK(stat(join(real, ".."), &st));
    ino_t above = st.st_ino;
    CHECK_OK(chdir("../../.."));
    CHECK_EQ(stat_of(".").st_ino, above);
    CHECK_EQ(readlinkat(AT_FDCWD, in("toroot"), buf, sizeof buf), 1);
}
