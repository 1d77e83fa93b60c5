// what: statfs and fstatfs: the same by every way, and possible numbers
// worlds: rw
// variants: dynamic static
// pitfalls: 36
#include "check.h"

static void same(const struct statfs *a, const struct statfs *b)
{
    CHECK_EQ(a->f_type, b->f_type);
    CHECK_EQ(a->f_bsize, b->f_bsize);
    CHECK_EQ(a->f_blocks, b->f_blocks);
    CHECK_EQ(a->f_namelen, b->f_namelen);
    CHECK(!memcmp(&a->f_fsid, &b->f_fsid, sizeof a->f_fsid));
}

static void test(void)
{
    struct statfs a, b;
    struct statvfs v;
    write_file(in("f"), "x");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(symlink("d", in("l")));
    CHECK_OK(statfs(dir, &a));
    CHECK_EQ(a.f_namelen, 255);
    CHECK(a.f_bsize >= 512 && a.f_bsize <= 1 << 20);
    CHECK(a.f_blocks == 0 || (a.f_bfree <= a.f_blocks && a.f_bavail <= a.f_bfree));
    CHECK(a.f_files == 0 || a.f_ffree <= a.f_files);
    CHECK_OK(statfs(in("f"), &b));
    same(&a, &b);
    CHECK_OK(statfs(in("l"), &b));
    same(&a, &b);
    int fd = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC)), d = CHECK_OK(open(in("d"), O_RDONLY | O_CLOEXEC)),
        p = CHECK_OK(open(in("f"), O_PATH | O_CLOEXEC));
    CHECK_OK(fstatfs(fd, &b));
    same(&a, &b);
    CHECK_OK(fstatfs(d, &b));
    same(&a, &b);
    CHECK_OK(fstatfs(p, &b));
    same(&a, &b);
    CHECK_OK(statvfs(dir, &v));
    CHECK_EQ(v.f_namemax, 255);
    CHECK_EQ(v.f_flag & ST_RDONLY, 0);
    CHECK_ERRNO(statfs(in("nope"), &b), ENOENT);
    CHECK_ERRNO(statfs(in("f/x"), &b), ENOTDIR);
    CHECK_ERRNO(statfs("", &b), ENOENT);
    CHECK_ERRNO(statfs(NULL, &b), EFAULT);
    CHECK_ERRNO(syscall(SYS_statfs, dir, (void *)8), EFAULT);
    CHECK_ERRNO(fstatfs(-1, &b), EBADF);
    // Another filesystem is another.
    CHECK_OK(statfs("/proc", &b));
    CHECK_EQ(b.f_type, 0x9fa0);
    // Blocks that are written are not free any more, or the filesystem doesn't count.
    static char data[1 << 20];
    memset(data, 'x', sizeof data);
    int w = CHECK_OK(open(in("big"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    CHECK_EQ(write(w, data, sizeof data), sizeof data);
    CHECK_OK(fsync(w));
    CHECK(stat_of(in("big")).st_blocks * 512 >= (1 << 20));
}
