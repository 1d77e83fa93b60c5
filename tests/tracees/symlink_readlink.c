// what: symlink targets of all sizes, readlink's buffers, link attributes
// worlds: rw
// variants: dynamic static threads
// pitfalls: 26, 67
#include "check.h"

static void test(void)
{
    static char target[PATH_MAX + 1], buf[PATH_MAX + 1];
    static const int sizes[] = {1, 59, 60, 61, 255, 1000, 4000, 4095};
    char name[32];
    struct stat st;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(target, 't', sizeof target);
        for (int k = 200; k < PATH_MAX; k += 200)
            target[k] = '/';
        target[sizes[i]] = 0;
        snprintf(name, sizeof name, "l%d", sizes[i]);
        if (symlink(target, in(name)) == -1) {
            CHECK(sizes[i] > 4000 && errno == ENAMETOOLONG); // ext4: less than a block
            continue;
        }
        CHECK_EQ(stat_of(in(name)).st_size, sizes[i]);
        CHECK_EQ(stat_of(in(name)).st_mode, S_IFLNK | 0777);
        memset(buf, '#', sizeof buf);
        CHECK_EQ(readlink(in(name), buf, sizeof buf), sizes[i]);
        CHECK(!memcmp(buf, target, (size_t)sizes[i]));
        CHECK_EQ(buf[sizes[i]], '#'); // no NUL is added
        CHECK_EQ(readlink(in(name), buf, 1), 1);
        CHECK_EQ(readlink(in(name), buf, (size_t)sizes[i]), sizes[i]);
    }
    memset(target, 't', sizeof target);
    target[PATH_MAX] = 0;
    CHECK_ERRNO(symlink(target, in("toolong")), ENAMETOOLONG);
    CHECK_ERRNO(symlink("", in("empty")), ENOENT);
    CHECK_ERRNO(symlink("x", in("l1")), EEXIST);
    CHECK_ERRNO(symlink("x", in("nope/l")), ENOENT);
    CHECK_ERRNO(symlink("x", dir), EEXIST);
    CHECK_ERRNO(symlink(NULL, in("x")), EFAULT);
    CHECK_ERRNO(symlink("x", NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_readlink, in("l1"), buf, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlink, in("l1"), buf, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlink, in("nope"), buf, 0), EINVAL);
    CHECK_ERRNO(readlink(in("nope"), buf, 10), ENOENT);
    CHECK_ERRNO(readlink(dir, buf, 10), EINVAL);
    write_file(in("f"), "x");
    CHECK_ERRNO(readlink(in("f"), buf, 10), EINVAL);
    CHECK_ERRNO(readlink(in("f/x"), buf, 10), ENOTDIR);
    CHECK_ERRNO(readlink(in("l1"), NULL, 10), EFAULT);
    int f = CHECK_OK(open(in("f"), O_PATH | O_CLOEXEC));
    CHECK_ERRNO(readlinkat(f, "", buf, 10), ENOENT);
    // Odd targets are kept to the byte.
    static const char *const odd[] = {"a//b/", "../", ".", "..", "/", "//x", "new\nline", "\xff"};
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "odd%d", i);
        CHECK_OK(symlink(odd[i], in(name)));
        ssize_t n = CHECK_OK(readlink(in(name), buf, sizeof buf - 1));
        buf[n] = 0;
        CHECK_STR(buf, odd[i]);
    }
    CHECK_EQ((CHECK_OK(stat(in("odd2"), &st)), st.st_ino), stat_of(dir).st_ino);
    CHECK_EQ((CHECK_OK(stat(in("odd4"), &st)), st.st_ino), stat_of("/").st_ino);
    // What a link points to is found when it is used.
    CHECK_OK(symlink("later", in("early")));
    CHECK_ERRNO(stat(in("early"), &st), ENOENT);
    write_file(in("later"), "L");
    CHECK_CONTENT(in("early"), "L");
    CHECK_OK(rename(in("later"), in("away")));
    CHECK_ERRNO(stat(in("early"), &st), ENOENT);
    CHECK_OK(mkdir(in("later"), 0755));
    CHECK_OK(stat(in("early/."), &st));
    CHECK_OK(lchown(in("early"), getuid(), getgid()));
}
