// what: descriptor and flag arguments are 32 bits wide: what is above them does not matter
// worlds: rw
// variants: dynamic static threads
// pitfalls: 68
#include "check.h"

static const uint64_t junk = 0xdeadbeef00000000;

static void test(void)
{
    struct stat st;
    write_file(in("f"), "x");
    CHECK_OK(chdir(dir));
    uint64_t cwd = (uint32_t)AT_FDCWD;
    static const uint64_t tops[] = {0, 0xffffffff00000000, 0xdeadbeef00000000};
    for (int i = 0; i < 3; i++) {
        int fd = (int)CHECK_OK(syscall(SYS_openat, cwd | tops[i], "f", tops[i] | O_RDONLY, tops[i]));
        CHECK_OK(close(fd));
        CHECK_OK(syscall(SYS_newfstatat, cwd | tops[i], "f", &st, tops[i] | AT_SYMLINK_NOFOLLOW));
        CHECK_OK(syscall(SYS_mkdirat, cwd | tops[i], "d", tops[i] | 0755));
        CHECK_OK(syscall(SYS_renameat2, cwd | tops[i], "d", cwd | tops[i], "e", tops[i] | RENAME_NOREPLACE));
        CHECK_OK(syscall(SYS_unlinkat, cwd | tops[i], "e", tops[i] | AT_REMOVEDIR));
        CHECK_OK(syscall(SYS_faccessat, cwd | tops[i], "f", tops[i] | R_OK));
        CHECK_OK(syscall(SYS_fchmodat, cwd | tops[i], "f", tops[i] | 0600));
    }
    int fd = (int)CHECK_OK(syscall(SYS_open, "g", junk | O_CREAT | O_RDWR, junk | 0640));
    CHECK_EQ(stat_of("g").st_mode, S_IFREG | 0640);
    CHECK_OK(syscall(SYS_fstat, junk | (unsigned)fd, &st));
    CHECK_OK(syscall(SYS_newfstatat, junk | (unsigned)fd, "", &st, AT_EMPTY_PATH));
    CHECK_OK(syscall(SYS_fchmod, junk | (unsigned)fd, junk | 0600));
    CHECK_EQ(stat_of("g").st_mode & 07777, 0600);
    int d = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_OK(syscall(SYS_fchdir, junk | (unsigned)d));
    CHECK_OK(close((int)CHECK_OK(syscall(SYS_openat, junk | (unsigned)d, "g", O_RDONLY))));
    CHECK_ERRNO(syscall(SYS_openat, 0xffffffffUL, "g", O_RDONLY), EBADF);
    CHECK_ERRNO(syscall(SYS_openat, -1L, "g", O_RDONLY), EBADF);
    CHECK_ERRNO(syscall(SYS_openat, 0x7fffffffUL, "g", O_RDONLY), EBADF);
    CHECK_ERRNO(syscall(SYS_openat, 0x80000000UL, "g", O_RDONLY), EBADF);
    char *p = CHECK_OK((char *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 0xffffffffUL, 0));
    CHECK_EQ(*p, 0);
    CHECK_OK(syscall(SYS_symlinkat, "f", cwd, "l"));
    char buf[4];
    // The buffer size of readlink is an int: a size whose low half is 0 is refused.
    CHECK_ERRNO(syscall(SYS_readlink, "l", buf, junk), EINVAL);
    CHECK_EQ(syscall(SYS_readlink, "l", buf, junk | 4), 1);
    CHECK_OK(syscall(SYS_fchownat, cwd, "f", 0xffffffffUL, 0xffffffffUL, 0));
    CHECK_OK(syscall(SYS_fchownat, cwd, "f", junk | 0xffffffff, junk | 0xffffffff, 0));
}
