// what: modes of what is made: umask, setgid directories, sticky; link counts of directories
// worlds: rw
// variants: dynamic static threads
// pitfalls: 27, 67
#include "check.h"

static mode_t mode(const char *path)
{
    return stat_of(path).st_mode & 07777;
}

static void test(void)
{
    struct stat st;
    static const mode_t masks[] = {0, 022, 077, 0777};
    char name[32];
    for (int i = 0; i < 4; i++) {
        umask(masks[i]);
        snprintf(name, sizeof name, "f%d", i);
        CHECK_OK(close(CHECK_OK(open(in(name), O_CREAT | O_WRONLY, 0666))));
        CHECK_EQ(mode(in(name)), 0666 & ~masks[i]);
        snprintf(name, sizeof name, "d%d", i);
        CHECK_OK(mkdir(in(name), 0777));
        CHECK_EQ(mode(in(name)), 0777 & ~masks[i]);
        snprintf(name, sizeof name, "p%d", i);
        CHECK_OK(mkfifo(in(name), 0666));
        CHECK_EQ(mode(in(name)), 0666 & ~masks[i]);
        snprintf(name, sizeof name, "s%d", i);
        CHECK_OK(symlink("x", in(name)));
        CHECK_EQ(mode(in(name)), 0777);
    }
    CHECK_EQ(umask(022), 0777);
    // Special bits of the mode argument: files keep them, mkdir keeps only the sticky one.
    CHECK_OK(close(CHECK_OK(open(in("su"), O_CREAT | O_WRONLY, 04755))));
    CHECK_EQ(mode(in("su")), 04755);
    CHECK_OK(mkdir(in("dsticky"), 01777));
    CHECK_EQ(mode(in("dsticky")), 01755);
    CHECK_OK(mkdir(in("dset"), 06755));
    CHECK_EQ(mode(in("dset")) & 04000, 0);
    // A setgid directory gives its group, and the bit to new directories.
    CHECK_OK(mkdir(in("sg"), 0755));
    CHECK_OK(chmod(in("sg"), 02775));
    CHECK_EQ(mode(in("sg")), 02775);
    CHECK_OK(mkdir(in("sg/sub"), 0755));
    CHECK_EQ(mode(in("sg/sub")), 02755);
    CHECK_OK(mkdir(in("sg/sub/sub"), 0700));
    CHECK_EQ(mode(in("sg/sub/sub")), 02700);
    CHECK_OK(close(CHECK_OK(open(in("sg/f"), O_CREAT | O_WRONLY, 0644))));
    CHECK_EQ(mode(in("sg/f")), 0644);
    CHECK_EQ(stat_of(in("sg/f")).st_gid, stat_of(in("sg")).st_gid);
    CHECK_OK(chmod(in("dsticky"), 01777));
    write_file(in("dsticky/mine"), "x");
    CHECK_OK(rename(in("dsticky/mine"), in("dsticky/mine2")));
    CHECK_OK(unlink(in("dsticky/mine2")));
    // Owner of new things; link counts.
    st = stat_of(in("sg"));
    CHECK_EQ(st.st_uid, geteuid());
    CHECK_EQ(st.st_nlink, 3);
    CHECK_ERRNO(rmdir(in("sg/sub")), ENOTEMPTY);
    CHECK_OK(rmdir(in("sg/sub/sub")));
    CHECK_EQ(stat_of(in("sg/sub")).st_nlink, 2);
    CHECK_OK(rmdir(in("sg/sub")));
    CHECK_EQ(stat_of(in("sg")).st_nlink, 2);
    CHECK_ERRNO(rmdir(in("sg")), ENOTEMPTY);
    CHECK_ERRNO(mkdir(in("sg"), 0755), EEXIST);
    // The umask is the process's: a forked child has its own copy.
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        umask(077);
        CHECK_OK(mkdir(in("child"), 0777));
        _exit(0);
    }
    wait_ok(pid);
    CHECK_EQ(mode(in("child")), 0700);
    CHECK_OK(mkdir(in("parent"), 0777));
    CHECK_EQ(mode(in("parent")), 0755);
}
