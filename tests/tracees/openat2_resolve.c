// what: openat2 with every RESOLVE_* flag
// worlds: rw
// variants: dynamic static threads
// pitfalls: 20, 26
#include "check.h"
#include <linux/openat2.h>

static int open2(int dfd, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    return (int)syscall(SYS_openat2, dfd, path, &how, sizeof how);
}

static void opens(int dfd, const char *path, uint64_t resolve, const char *content)
{
    char buf[64] = "";
    int fd = CHECK_OK(open2(dfd, path, O_RDONLY, resolve));
    CHECK(read(fd, buf, sizeof buf - 1) >= 0);
    CHECK_STR(buf, content);
    CHECK_OK(close(fd));
}

static void test(void)
{
    CHECK_OK(mkdir(in("root"), 0755));
    CHECK_OK(mkdir(in("root/sub"), 0755));
    write_file(in("root/f"), "inside");
    write_file(in("f"), "above");
    CHECK_OK(symlink("f", in("root/link")));
    CHECK_OK(symlink("sub", in("root/sublink")));
    CHECK_OK(symlink("../f", in("root/up")));
    CHECK_OK(symlink("/f", in("root/abs")));
    CHECK_OK(symlink("/sub/../f", in("root/sub/absdots")));
    CHECK_OK(symlink("/../../../f", in("root/manydots")));
    CHECK_OK(symlink(in("root/f"), in("root/absfull")));
    int d = CHECK_OK(open(in("root"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int p = CHECK_OK(open(in("root"), O_PATH | O_CLOEXEC));

    for (int i = 0; i < 2; i++) {
        int fd = i ? p : d;
        opens(fd, "link", 0, "inside");
        CHECK_ERRNO(open2(fd, "link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
        CHECK_ERRNO(open2(fd, "sublink/../f", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
        opens(fd, "sub/../f", RESOLVE_NO_SYMLINKS, "inside");
        // A trailing symlink itself may be opened when it isn't followed.
        int l = CHECK_OK(open2(fd, "link", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS));
        CHECK_OK(close(l));

        opens(fd, "f", RESOLVE_BENEATH, "inside");
        opens(fd, "link", RESOLVE_BENEATH, "inside");
        opens(fd, "sub/../f", RESOLVE_BENEATH, "inside");
        CHECK_ERRNO(open2(fd, "../f", O_RDONLY, RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "up", O_RDONLY, RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "abs", O_RDONLY, RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "/f", O_RDONLY, RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "absfull", O_RDONLY, RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, in("root/f"), O_RDONLY, RESOLVE_BENEATH), EXDEV);
        CHECK_ERRNO(open2(fd, "..", O_RDONLY, RESOLVE_BENEATH), EXDEV);

        opens(fd, "/f", RESOLVE_IN_ROOT, "inside");
        opens(fd, "../../f", RESOLVE_IN_ROOT, "inside");
        opens(fd, "abs", RESOLVE_IN_ROOT, "inside");
        opens(fd, "up", RESOLVE_IN_ROOT, "inside");
        opens(fd, "sub/absdots", RESOLVE_IN_ROOT, "inside");
        opens(fd, "manydots", RESOLVE_IN_ROOT, "inside");
        CHECK_ERRNO(open2(fd, "absfull", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
        CHECK_ERRNO(open2(fd, "/etc/passwd", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
        CHECK_ERRNO(open2(fd, "missing", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);

        CHECK_ERRNO(open2(fd, "f", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
        opens(fd, "f", RESOLVE_NO_XDEV, "inside");
        opens(fd, "link", RESOLVE_NO_MAGICLINKS, "inside");
    }

    // Crossing a mount point.
    CHECK_ERRNO(open2(AT_FDCWD, "/proc/self/status", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
    int pr = CHECK_OK(open("/proc", O_PATH | O_CLOEXEC));
    CHECK_ERRNO(open2(pr, "../etc", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);

    // Magic links.
    char link[64];
    int f = CHECK_OK(open(in("root/f"), O_RDONLY | O_CLOEXEC));
    snprintf(link, sizeof link, "/proc/self/fd/%d", f);
    opens(AT_FDCWD, link, 0, "inside");
    CHECK_ERRNO(open2(AT_FDCWD, link, O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
    CHECK_ERRNO(open2(AT_FDCWD, link, O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    snprintf(link, sizeof link, "/proc/self/fd/%d/f", d);
    opens(AT_FDCWD, link, 0, "inside");
    CHECK_ERRNO(open2(AT_FDCWD, link, O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);

    // Only answers from the cache: either that, or EAGAIN.
    CHECK_OK(access(in("root/f"), F_OK));
    int c = open2(d, "f", O_RDONLY, RESOLVE_CACHED);
    CHECK(c >= 0 || errno == EAGAIN);
    CHECK_ERRNO(open2(d, "f", O_RDWR | O_TRUNC, RESOLVE_CACHED), EAGAIN);
    CHECK_ERRNO(open2(d, "new", O_RDWR | O_CREAT, RESOLVE_CACHED), EAGAIN);
    CHECK_CONTENT(in("root/f"), "inside");

    // Creating inside the root only.
    struct open_how how = {.flags = O_CREAT | O_WRONLY | O_CLOEXEC, .mode = 0640, .resolve = RESOLVE_IN_ROOT};
    int n = CHECK_OK((int)syscall(SYS_openat2, d, "/../made", &how, sizeof how));
    CHECK_OK(close(n));
    CHECK_EQ(stat_of(in("root/made")).st_mode & 07777, 0640);
    CHECK(!exists(in("made")));
    how.resolve = RESOLVE_BENEATH;
    CHECK_ERRNO(syscall(SYS_openat2, d, "../made", &how, sizeof how), EXDEV);
    CHECK(!exists(in("made")));
}
