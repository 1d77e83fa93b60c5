// what: attributes of everything in the fixture, by path, descriptor and listing
// worlds: ro
// variants: dynamic static threads
// pitfalls: 21, 31
#include "fixture.h"
#include <sys/xattr.h>

static void test(void)
{
    struct stat st, st2;
    struct statx x;
    char buf[256];
    st = stat_of(in("file"));
    CHECK_EQ(st.st_size, 15);
    CHECK_EQ(st.st_mtim.tv_sec, 1000000000);
    CHECK_EQ(st.st_mode, S_IFREG | 0644);
    CHECK_EQ(st.st_uid, geteuid());
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_dev, stat_of(dir).st_dev);
    CHECK_OK(statx(AT_FDCWD, in("file"), 0, STATX_ALL, &x));
    CHECK_EQ(x.stx_ino, st.st_ino);
    CHECK_EQ(x.stx_mtime.tv_sec, 1000000000);
    CHECK_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
    st = stat_of(in("hard1"));
    st2 = stat_of(in("hard2"));
    CHECK_EQ(st.st_ino, st2.st_ino);
    CHECK_EQ(st.st_nlink, 2);
    CHECK_EQ(stat_of(in("dir")).st_nlink, 3);
    CHECK_EQ(stat_of(in("dir")).st_mode & S_IFMT, S_IFDIR);
    static const int modes[] = {0444, 0755, 0600, 0640};
    for (int i = 0; i < 4; i++) {
        snprintf(buf, sizeof buf, "modes/m%o", modes[i]);
        CHECK_EQ(stat_of(in(buf)).st_mode, S_IFREG | modes[i]);
        CHECK_OK(access(in(buf), R_OK));
    }
    CHECK_OK(access(in("modes/m755"), X_OK));
    CHECK_ERRNO(access(in("modes/m444"), X_OK), EACCES);
    CHECK_ERRNO(access(in("modes/m600"), X_OK), EACCES);
    st = stat_of(in("link"));
    CHECK_EQ(st.st_mode, S_IFLNK | 0777);
    CHECK_EQ(st.st_size, 4);
    CHECK_EQ(stat_of(in("slow")).st_size, 124);
    CHECK(S_ISFIFO(stat_of(in("fifo")).st_mode) && S_ISSOCK(stat_of(in("sock")).st_mode));
    CHECK_EQ(stat_of(in("empty")).st_size, 0);
    CHECK_ERRNO(stat(in("nope"), &st), ENOENT);
    CHECK_ERRNO(stat(in("file/x"), &st), ENOTDIR);
    CHECK_ERRNO(stat(in("file/"), &st), ENOTDIR);
    CHECK_ERRNO(stat(in("dangling"), &st), ENOENT);
    // By descriptors, real ones and O_PATH.
    static const char *const names[] = {"file", "dir", "big", "hard2", "many", "modes/m444", "sparse"};
    for (int i = 0; i < 7; i++) {
        st = stat_of(in(names[i]));
        int fd = CHECK_OK(open(in(names[i]), O_RDONLY | O_CLOEXEC)), p = CHECK_OK(open(in(names[i]), O_PATH | O_CLOEXEC));
        CHECK_OK(fstat(fd, &st2));
        CHECK(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev && st.st_mode == st2.st_mode && st.st_size == st2.st_size);
        CHECK(st.st_mtim.tv_sec == st2.st_mtim.tv_sec && st.st_nlink == st2.st_nlink && st.st_uid == st2.st_uid);
        CHECK_EQ(st.st_blocks, st2.st_blocks);
        CHECK_OK(fstat(p, &st2));
        CHECK(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev && st.st_size == st2.st_size);
        CHECK_OK(fstatat(fd, "", &st2, AT_EMPTY_PATH));
        CHECK_EQ(st.st_ino, st2.st_ino);
        CHECK_OK(close(fd));
        CHECK_OK(close(p));
    }
    // Extended attributes, where the fixture could get them.
    ssize_t n = getxattr(in("file"), "user.test", buf, sizeof buf);
    if (n == -1 && errno == EOPNOTSUPP)
        return;
    CHECK_EQ(n, 5);
    CHECK(!memcmp(buf, "value", 5));
    CHECK_EQ(getxattr(in("file"), "user.test", NULL, 0), 5);
    CHECK_ERRNO(getxattr(in("file"), "user.test", buf, 2), ERANGE);
    CHECK_ERRNO(getxattr(in("file"), "user.none", buf, sizeof buf), ENODATA);
    CHECK_ERRNO(getxattr(in("big"), "user.test", buf, sizeof buf), ENODATA);
    n = CHECK_OK(listxattr(in("link"), buf, sizeof buf));
    CHECK(n >= 10 && memmem(buf, (size_t)n, "user.test", 10) != NULL);
    int fd = CHECK_OK(open(in("file"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(fgetxattr(fd, "user.test", buf, sizeof buf), 5);
    CHECK_OK(flistxattr(fd, buf, sizeof buf));
}
