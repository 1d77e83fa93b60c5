// what: which error comes first when several apply; calls an ordinary user may not make
// worlds: rw
// variants: dynamic static threads
// pitfalls: 64, 67, 70
#include "check.h"
#include <sys/mount.h>

static void test(void)
{
    struct stat st;
    write_file(in("f"), "x");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(mkdir(in("closed"), 0));
    // Lookup errors, in the order of the path.
    CHECK_ERRNO(stat(in("f/x/../.."), &st), ENOTDIR);
    CHECK_ERRNO(stat(in("closed/x/y"), &st), EACCES);
    CHECK_ERRNO(open(in("closed/x"), O_CREAT | O_EXCL | O_WRONLY, 0600), EACCES);
    CHECK_ERRNO(mkdir(in("closed/x"), 0700), EACCES);
    CHECK_ERRNO(rename(in("f"), in("closed/x")), EACCES);
    CHECK_ERRNO(rename(in("closed/x"), in("f")), EACCES);
    CHECK_ERRNO(link(in("f"), in("closed/x")), EACCES);
    CHECK_ERRNO(unlink(in("closed/x")), EACCES);
    CHECK_ERRNO(rmdir(in("closed/x")), EACCES);
    CHECK_ERRNO(execve(in("closed/x"), (char *[]){"x", NULL}, NULL), EACCES);
    CHECK_ERRNO(execve(in("f"), (char *[]){"x", NULL}, NULL), EACCES);
    CHECK_ERRNO(execve(in("d"), (char *[]){"x", NULL}, NULL), EACCES);
    CHECK_ERRNO(execve(in("nope"), NULL, NULL), ENOENT);
    CHECK_OK(chmod(in("closed"), 0700));

    // Existence comes before permission of the parent for mkdir and O_EXCL.
    CHECK_OK(chmod(in("d"), 0555));
    CHECK_ERRNO(mkdir(in("d/."), 0700), EEXIST);
    CHECK_ERRNO(open(in("d/new"), O_CREAT | O_EXCL | O_WRONLY, 0600), EACCES);
    CHECK_ERRNO(symlink("x", in("d/new")), EACCES);
    CHECK_ERRNO(rename(in("f"), in("d/new")), EACCES);
    CHECK_ERRNO(mknod(in("d/new"), S_IFCHR | 0600, 0), EACCES);
    CHECK_OK(chmod(in("d"), 0755));
    // Not an own file's directory.
    CHECK_ERRNO2(mkdir("/etc/view-test-dir", 0700), EACCES, EROFS);
    CHECK_ERRNO(mkdir("/etc", 0700), EEXIST);
    CHECK_ERRNO(open("/etc", O_CREAT | O_WRONLY, 0600), EISDIR);
    CHECK_ERRNO2(unlink("/etc/passwd"), EACCES, EROFS);
    CHECK_ERRNO2(rename("/etc/passwd", "/etc/view-test-x"), EACCES, EROFS);
    CHECK_ERRNO2(rmdir("/proc"), EACCES, EROFS);

    // Descriptors: EBADF before anything about the path; ENOTSOCK before addresses; flags before descriptors where Linux does so.
    CHECK_ERRNO(openat(-1, "x", O_RDONLY), EBADF);
    CHECK_ERRNO(unlinkat(-1, "x", 0x4000), EINVAL);
    CHECK_ERRNO(linkat(-1, "x", -1, "y", 0x4000), EINVAL);
    CHECK_ERRNO(fchownat(-1, "x", 0, 0, 0x4000), EINVAL);
    CHECK_ERRNO(syscall(SYS_openat, -1, NULL, O_RDONLY), EFAULT);
    int f = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "x"};
    CHECK_ERRNO(bind(f, (struct sockaddr *)&a, sizeof a), ENOTSOCK);
    CHECK_ERRNO(connect(f, (struct sockaddr *)&a, sizeof a), ENOTSOCK);
    CHECK_ERRNO2(connect(f, (void *)8, sizeof a), ENOTSOCK, EFAULT); // newer kernels copy the address first
    CHECK_ERRNO(connect(-1, (struct sockaddr *)&a, sizeof a), EBADF);
    CHECK_ERRNO(getsockname(f, (void *)8, (void *)8), ENOTSOCK);

    // What only root may do: the path first, then EPERM.
    CHECK_ERRNO(chroot(in("nope")), ENOENT);
    CHECK_ERRNO(chroot(in("f")), ENOTDIR);
    CHECK_ERRNO(chroot(in("d")), EPERM);
    CHECK_ERRNO(syscall(SYS_acct, in("f")), EPERM);
    CHECK_ERRNO(syscall(SYS_swapon, in("f"), 0), EPERM);
    CHECK_ERRNO(syscall(SYS_swapoff, in("f")), EPERM);
    CHECK_ERRNO(syscall(SYS_pivot_root, in("d"), in("d")), EPERM);
    CHECK_ERRNO(syscall(SYS_sethostname, "x", 1), EPERM);
    CHECK_EQ(count_entries(dir), 3);
}
