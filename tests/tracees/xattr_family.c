// what: the xattr calls on paths, links and descriptors
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21
#include "check.h"
#include <sys/xattr.h>

static bool listed(const char *names, ssize_t n, const char *name)
{
    for (const char *p = names; p < names + n; p += strlen(p) + 1)
        if (!strcmp(p, name))
            return true;
    return false;
}

static void test(void)
{
    char buf[256];
    char *f = in("f");
    write_file(f, "x");
    if (setxattr(f, "user.a", "one", 3, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("no user xattrs here");
    CHECK_EQ(getxattr(f, "user.a", buf, sizeof buf), 3);
    CHECK(!memcmp(buf, "one", 3));
    CHECK_EQ(getxattr(f, "user.a", NULL, 0), 3);
    CHECK_ERRNO(getxattr(f, "user.a", buf, 2), ERANGE);
    CHECK_ERRNO(getxattr(f, "user.none", buf, sizeof buf), ENODATA);
    CHECK_ERRNO(setxattr(f, "user.a", "two", 3, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(setxattr(f, "user.b", "two", 3, XATTR_REPLACE), ENODATA);
    CHECK_OK(setxattr(f, "user.a", "longer value", 12, XATTR_REPLACE));
    CHECK_OK(setxattr(f, "user.b", "", 0, XATTR_CREATE));
    CHECK_EQ(getxattr(f, "user.b", buf, sizeof buf), 0);
    CHECK_OK(setxattr(f, "user.bin", "\0\1\377", 3, 0));
    CHECK_EQ(getxattr(f, "user.bin", buf, sizeof buf), 3);
    CHECK(!memcmp(buf, "\0\1\377", 3));
    CHECK_ERRNO(setxattr(f, "user.a", "x", 1, 4), EINVAL);
    CHECK_ERRNO(setxattr(f, "", "x", 1, 0), ERANGE);
    CHECK_ERRNO2(setxattr(f, "user.", "x", 1, 0), EINVAL, EINVAL);
    CHECK_ERRNO(setxattr(f, "nons", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(setxattr(f, "user.a", "x", 65537, 0), E2BIG);
    char name[300] = "user.";
    memset(name + 5, 'n', 251);
    CHECK_ERRNO(setxattr(f, name, "x", 1, 0), ERANGE);
    name[255] = 0;
    CHECK_OK(setxattr(f, name, "x", 1, 0));
    CHECK_OK(removexattr(f, name));
    CHECK_ERRNO(setxattr(in("missing"), "user.a", "x", 1, 0), ENOENT);
    CHECK_ERRNO(setxattr(f, NULL, "x", 1, 0), EFAULT);
    CHECK_ERRNO(setxattr(f, "user.a", (void *)8, 1, 0), EFAULT);
    CHECK_ERRNO(getxattr(f, "user.a", (void *)8, 100), EFAULT);
    CHECK_ERRNO(setxattr(f, "trusted.a", "x", 1, 0), EPERM);
    CHECK_ERRNO(getxattr(f, "trusted.a", buf, sizeof buf), ENODATA);

    ssize_t n = CHECK_OK(listxattr(f, buf, sizeof buf));
    CHECK(listed(buf, n, "user.a") && listed(buf, n, "user.b") && listed(buf, n, "user.bin"));
    CHECK_EQ(listxattr(f, NULL, 0), n);
    CHECK_ERRNO(listxattr(f, buf, 5), ERANGE);

    // Links: followed, or not (where user.* is not allowed).
    CHECK_OK(symlink("f", in("l")));
    CHECK_EQ(getxattr(in("l"), "user.a", buf, sizeof buf), 12);
    CHECK_ERRNO2(lgetxattr(in("l"), "user.a", buf, sizeof buf), ENODATA, EPERM);
    CHECK_ERRNO(lsetxattr(in("l"), "user.a", "x", 1, 0), EPERM);
    CHECK_OK(lsetxattr(f, "user.l", "x", 1, 0));
    n = CHECK_OK(llistxattr(in("l"), buf, sizeof buf));
    CHECK(!listed(buf, n, "user.a"));

    // Descriptors; not those of O_PATH.
    int fd = CHECK_OK(open(f, O_RDONLY | O_CLOEXEC)), p = CHECK_OK(open(f, O_PATH | O_CLOEXEC));
    CHECK_OK(fsetxattr(fd, "user.fd", "v", 1, 0));
    CHECK_EQ(fgetxattr(fd, "user.fd", buf, sizeof buf), 1);
    n = CHECK_OK(flistxattr(fd, buf, sizeof buf));
    CHECK(listed(buf, n, "user.fd"));
    CHECK_OK(fremovexattr(fd, "user.fd"));
    CHECK_ERRNO(fremovexattr(fd, "user.fd"), ENODATA);
    CHECK_ERRNO(fgetxattr(p, "user.a", buf, sizeof buf), EBADF);
    CHECK_ERRNO(fsetxattr(p, "user.a", "x", 1, 0), EBADF);
    CHECK_ERRNO(fgetxattr(-1, "user.a", buf, sizeof buf), EBADF);
    CHECK_OK(lremovexattr(f, "user.l"));

    // Directories have them, FIFOs don't; a hard link shares them; a file without write permission keeps them.
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(setxattr(in("d"), "user.dir", "v", 1, 0));
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(fgetxattr(d, "user.dir", buf, sizeof buf), 1);
    CHECK_OK(mkfifo(in("p"), 0600));
    CHECK_ERRNO(setxattr(in("p"), "user.a", "x", 1, 0), EPERM);
    CHECK_OK(link(f, in("h")));
    CHECK_EQ(getxattr(in("h"), "user.a", buf, sizeof buf), 12);
    CHECK_OK(chmod(f, 0400));
    CHECK_ERRNO(setxattr(f, "user.a", "x", 1, 0), EACCES);
    CHECK_EQ(getxattr(f, "user.a", buf, sizeof buf), 12);
}
