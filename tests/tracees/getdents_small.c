// what: getdents with buffers of one entry, record layout, d_off as a position
// worlds: rw
// variants: dynamic static threads
// pitfalls: 25, 67
#include "check.h"

struct dirent64_ {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};
struct old_dirent {
    unsigned long ino, off;
    uint16_t reclen;
    char name[];
};

static void test(void)
{
    char buf[1024], name[256];
    int seen = 0, dots = 0;
    CHECK_OK(mkdir(in("d"), 0755));
    for (int i = 0; i < 60; i++) {
        memset(name, 'a' + i % 26, 256);
        snprintf(name, sizeof name, "d/%d", i);
        size_t n = strlen(name);
        if (i % 7 == 0) { // long names among the short ones
            memset(name + n, 'x', 200);
            name[n + 200] = 0;
        }
        write_file(in(name), "");
    }
    int fd = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Too small for any entry.
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 20), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, (void *)8, 1024), EFAULT);
    CHECK_ERRNO(syscall(SYS_getdents64, -1, buf, 1024), EBADF);
    // The smallest that fits; it grows only where a long name asks for it.
    size_t room = 24;
    for (;;) {
        long n = syscall(SYS_getdents64, fd, buf, room);
        if (n == -1) {
            CHECK_EQ(errno, EINVAL);
            CHECK((room += 8) < 300);
            continue;
        }
        if (n == 0)
            break;
        for (long o = 0; o < n;) {
            struct dirent64_ *e = (struct dirent64_ *)(buf + o);
            CHECK_EQ(e->reclen % 8, 0);
            CHECK(e->reclen >= offsetof(struct dirent64_, name) + strlen(e->name) + 1);
            CHECK(o + e->reclen <= n);
            if (e->name[0] == '.')
                dots++;
            else
                seen++;
            // From d_off on, the next entry comes.
            CHECK_EQ(lseek(fd, e->off, SEEK_SET), e->off);
            o += e->reclen;
        }
        room = 24;
    }
    CHECK_EQ(seen, 60);
    CHECK_EQ(dots, 2);
    // The older call: d_type is the last byte of a record.
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    seen = 0;
    for (long n; (n = CHECK_OK(syscall(SYS_getdents, fd, buf, sizeof buf))) > 0;)
        for (long o = 0; o < n;) {
            struct old_dirent *e = (struct old_dirent *)(buf + o);
            int type = buf[o + e->reclen - 1];
            CHECK(type == DT_UNKNOWN || type == (e->name[0] == '.' ? DT_DIR : DT_REG));
            seen++;
            o += e->reclen;
        }
    CHECK_EQ(seen, 62);
    write_file(in("f"), "");
    int f = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(syscall(SYS_getdents64, f, buf, sizeof buf), ENOTDIR);
}
