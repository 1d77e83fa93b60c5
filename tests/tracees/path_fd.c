// what: O_PATH descriptors: what they can and can't do; O_NOFOLLOW on symlinks
// worlds: rw
// variants: dynamic static threads
// pitfalls: 27, 28
#include "check.h"
#include <sys/xattr.h>

static void test(void)
{
    char buf[64], link[64];
    struct stat st;
    struct statfs sf;
    write_file(in("f"), "data");
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_ERRNO(open(in("l"), O_RDONLY | O_NOFOLLOW), ELOOP);
    int l = CHECK_OK(open(in("l"), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    CHECK_OK(fstat(l, &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(readlinkat(l, "", buf, sizeof buf), 1);
    CHECK_EQ(buf[0], 'f');

    int f = CHECK_OK(open(in("f"), O_PATH | O_RDWR | O_TRUNC | O_CLOEXEC)); // all but O_PATH is ignored
    CHECK_CONTENT(in("f"), "data");
    CHECK_EQ(fcntl(f, F_GETFL) & O_PATH, O_PATH);
    CHECK_EQ(fcntl(f, F_GETFL) & O_ACCMODE, 0);
    CHECK_EQ(fcntl(f, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(read(f, buf, 1), EBADF);
    CHECK_ERRNO(write(f, "x", 1), EBADF);
    CHECK_ERRNO(pread(f, buf, 1, 0), EBADF);
    CHECK_ERRNO(lseek(f, 0, SEEK_SET), EBADF);
    CHECK_ERRNO(ftruncate(f, 0), EBADF);
    CHECK_ERRNO(fchmod(f, 0600), EBADF);
    CHECK_ERRNO(fchown(f, -1, -1), EBADF);
    CHECK_ERRNO(fsync(f), EBADF);
    CHECK_ERRNO(ioctl(f, FIONREAD, buf), EBADF);
    CHECK_ERRNO(fgetxattr(f, "user.x", buf, sizeof buf), EBADF);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, f, 0) == MAP_FAILED && errno == EBADF);
    CHECK_ERRNO(fcntl(f, F_SETFL, O_NONBLOCK), EBADF);
    CHECK_OK(fstat(f, &st));
    CHECK_EQ(st.st_size, 4);
    CHECK_OK(fstatfs(f, &sf));
    int dup1 = CHECK_OK(dup(f)), dup2_ = CHECK_OK(fcntl(f, F_DUPFD_CLOEXEC, 0));
    CHECK_ERRNO(read(dup1, buf, 1), EBADF);
    CHECK_OK(fstat(dup2_, &st));
    CHECK_ERRNO(read(dup2_, buf, 1), EBADF);
    struct pollfd pf = {f, POLLIN, 0};
    CHECK_EQ(poll(&pf, 1, 0), 1);
    CHECK_EQ(pf.revents, POLLNVAL);

    // It can be opened for real through its magic link.
    snprintf(link, sizeof link, "/proc/self/fd/%d", f);
    int r = CHECK_OK(open(link, O_RDWR | O_CLOEXEC));
    CHECK_EQ(read(r, buf, 4), 4);
    CHECK_EQ(pwrite(r, "D", 1, 0), 1);
    CHECK_CONTENT(in("f"), "Data");
    CHECK_ERRNO(openat(f, "", O_RDONLY), ENOENT);
    CHECK_OK(chmod(link, 0640));
    CHECK_EQ(stat_of(in("f")).st_mode & 0777, 0640);

    int d = CHECK_OK(open(in("d"), O_PATH | O_DIRECTORY | O_CLOEXEC));
    CHECK_ERRNO(open(in("f"), O_PATH | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(in("l"), O_PATH | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_getdents64, d, buf, sizeof buf), EBADF);
    r = CHECK_OK(openat(d, "new", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_OK(fchdir(d));
    CHECK_OK(stat("new", &st));
    r = CHECK_OK(openat(d, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(syscall(SYS_getdents64, r, buf, sizeof buf) > 0);
    // No permission on the file is needed to name it.
    CHECK_OK(chmod(in("f"), 0));
    f = CHECK_OK(open(in("f"), O_PATH | O_CLOEXEC));
    CHECK_ERRNO(open(in("f"), O_RDONLY), EACCES);
    snprintf(link, sizeof link, "/proc/self/fd/%d", f);
    CHECK_ERRNO(open(link, O_RDONLY), EACCES);
    // It stays usable when the name is gone, for linkat too.
    CHECK_OK(unlink(in("f")));
    CHECK_OK(fstat(f, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_ERRNO(open(in("f"), O_PATH), ENOENT);
}
