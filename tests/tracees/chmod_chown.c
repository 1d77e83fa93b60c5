// what: chmod, chown and what they clear; who may do what
// worlds: rw
// variants: dynamic static threads
// pitfalls: 21, 67
#include "check.h"

static mode_t mode(const char *path)
{
    return stat_of(path).st_mode & 07777;
}

static void test(void)
{
    write_file(in("f"), "x");
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(mkdir(in("d"), 0755));
    static const mode_t modes[] = {0, 0777, 0400, 04755, 01777, 07000, 0644};
    for (int i = 0; i < 7; i++) {
        CHECK_OK(chmod(in("f"), modes[i]));
        CHECK_EQ(mode(in("f")), modes[i]);
    }
    CHECK_OK(chmod(in("l"), 0600));
    CHECK_EQ(mode(in("f")), 0600);
    CHECK_EQ(mode(in("l")), 0777);
    CHECK_OK(chmod(in("f"), 0100644)); // type bits are ignored
    CHECK_EQ(mode(in("f")), 0644);
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    CHECK_OK(fchmod(fd, 0711));
    CHECK_EQ(mode(in("f")), 0711);
    CHECK_OK(chmod(in("d"), 0));
    struct stat st;
    CHECK_ERRNO(stat(in("d/x"), &st), EACCES);
    CHECK_ERRNO(open(in("d"), O_RDONLY), EACCES);
    CHECK_ERRNO(chdir(in("d")), EACCES);
    CHECK_OK(stat(in("d"), &st));
    CHECK_OK(chmod(in("d"), 0311));
    CHECK_ERRNO(open(in("d"), O_RDONLY | O_DIRECTORY), EACCES);
    write_file(in("d/x"), "y"); // search and write, without read
    CHECK_CONTENT(in("d/x"), "y");
    CHECK_OK(chmod(in("d"), 0444));
    CHECK_EQ(count_entries(in("d")), 1);
    CHECK_ERRNO(stat(in("d/x"), &st), EACCES);
    CHECK_ERRNO(open(in("d/nope"), O_RDONLY), EACCES);
    CHECK_OK(chmod(in("d"), 0755));

    // To oneself: fine. To others: EPERM. -1: unchanged.
    uid_t u = geteuid();
    gid_t g = getegid();
    CHECK_OK(chown(in("f"), u, g));
    CHECK_OK(chown(in("f"), -1, g));
    CHECK_OK(chown(in("f"), -1, -1));
    CHECK_OK(lchown(in("l"), u, -1));
    CHECK_OK(fchown(fd, u, g));
    CHECK_ERRNO(chown(in("f"), u + 1, -1), EPERM);
    CHECK_ERRNO(chown(in("f"), 0, 0), EPERM);
    CHECK_ERRNO(chown(in("f"), -1, g + 1), EPERM);
    CHECK_ERRNO(lchown(in("l"), 0, -1), EPERM);
    CHECK_ERRNO2(chown("/etc/passwd", u, -1), EPERM, EROFS);
    CHECK_ERRNO2(chmod("/etc/passwd", 0777), EPERM, EROFS);
    CHECK_ERRNO(chown(in("nope"), u, g), ENOENT);
    CHECK_ERRNO(chmod(in("nope"), 0644), ENOENT);
    CHECK_ERRNO(chmod(in("f/x"), 0644), ENOTDIR);
    CHECK_ERRNO(chmod(NULL, 0644), EFAULT);
    CHECK_ERRNO(fchmod(-1, 0644), EBADF);
    CHECK_ERRNO(fchownat(AT_FDCWD, in("f"), u, g, 0x4000), EINVAL);
    int p = CHECK_OK(open(in("l"), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    CHECK_OK(fchownat(p, "", u, g, AT_EMPTY_PATH));
    CHECK_EQ(stat_of(in("f")).st_uid, u);

    // setuid and setgid go away by chown and by a write of someone without CAP_FSETID.
    CHECK_OK(chmod(in("f"), 06755));
    CHECK_OK(chown(in("f"), u, g));
    CHECK_EQ(mode(in("f")), 0755);
    CHECK_OK(chmod(in("f"), 06755));
    CHECK_EQ(pwrite(fd, "w", 1, 0), 1);
    CHECK_EQ(mode(in("f")), 0755);
    CHECK_OK(chmod(in("f"), 04755));
    CHECK_OK(truncate(in("f"), 0));
    CHECK_EQ(mode(in("f")), 0755);
    CHECK_OK(chmod(in("f"), 02644)); // setgid without group execute is mandatory locking: it stays
    CHECK_OK(chown(in("f"), u, g));
    CHECK_EQ(mode(in("f")) & 02000, 02000);
    // ctime moves with the mode.
    struct stat before = stat_of(in("d"));
    sleep_ms(20);
    CHECK_OK(chmod(in("d"), 0750));
    struct stat after = stat_of(in("d"));
    CHECK(after.st_ctim.tv_sec > before.st_ctim.tv_sec || after.st_ctim.tv_nsec > before.st_ctim.tv_nsec);
    CHECK_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}
