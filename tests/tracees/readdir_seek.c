// what: telldir, seekdir, rewinddir; descriptors that share a position
// worlds: rw
// variants: dynamic static threads
// pitfalls: 25
#include "check.h"

enum { N = 500 };

static void test(void)
{
    static char order[N + 2][32];
    static long pos[N + 2];
    char name[32];
    CHECK_OK(mkdir(in("d"), 0755));
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "d/entry%d", i);
        write_file(in(name), "");
    }
    DIR *d = opendir(in("d"));
    CHECK(d != NULL);
    int n = 0;
    struct dirent *e;
    for (;;) {
        long p = telldir(d);
        errno = 0;
        e = readdir(d);
        CHECK_EQ(errno, 0);
        if (!e)
            break;
        CHECK(n < N + 2);
        pos[n] = p;
        strcpy(order[n++], e->d_name);
    }
    CHECK_EQ(n, N + 2);
    CHECK(readdir(d) == NULL);
    // Back to any position, in any order: the same entry comes.
    for (int k = 0; k < 200; k++) {
        int i = (k * 211 + 7) % n;
        seekdir(d, pos[i]);
        CHECK((e = readdir(d)) != NULL);
        CHECK_STR(e->d_name, order[i]);
        if (i + 1 < n) {
            CHECK((e = readdir(d)) != NULL);
            CHECK_STR(e->d_name, order[i + 1]);
        }
    }
    // rewinddir sees what is new.
    write_file(in("d/late"), "");
    rewinddir(d);
    int seen = 0, late = 0;
    while ((e = readdir(d)) != NULL) {
        seen++;
        late += !strcmp(e->d_name, "late");
    }
    CHECK_EQ(seen, N + 3);
    CHECK_EQ(late, 1);
    // dup shares the position; lseek(0) rewinds; a second open has its own.
    int fd = dirfd(d), du = CHECK_OK(dup(fd)), own = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    char buf[32768];
    CHECK_EQ(syscall(SYS_getdents64, du, buf, sizeof buf), 0);
    CHECK(syscall(SYS_getdents64, own, buf, sizeof buf) > 0);
    CHECK_EQ(lseek(du, 0, SEEK_SET), 0);
    CHECK(syscall(SYS_getdents64, fd, buf, sizeof buf) > 0);
    CHECK(lseek(fd, 0, SEEK_CUR) != 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), lseek(du, 0, SEEK_CUR));
    closedir(d);
    // The position goes over fork.
    CHECK_EQ(lseek(own, 0, SEEK_SET), 0);
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        while (syscall(SYS_getdents64, own, buf, sizeof buf) > 0) {
        }
        _exit(0);
    }
    wait_ok(pid);
    CHECK_EQ(syscall(SYS_getdents64, own, buf, sizeof buf), 0);
}
