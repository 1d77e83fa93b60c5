// what: a storm of signals without SA_RESTART: calls that never return EINTR natively don't do so
// worlds: rw
// variants: dynamic static threads
// pitfalls: 2, 5
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
    (void)sig;
    hits++;
}

static void test(void)
{
    struct stat st;
    char name[32], buf[PATH_MAX];
    int mapped = CHECK_OK(open(in("m"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_OK(ftruncate(mapped, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
    CHECK(map != MAP_FAILED);
    CHECK_OK(mkdir(in("d"), 0755));
    on_signal(SIGALRM, handler, 0);
    every_us(200);
    for (int i = 0; i < loops(300); i++) {
        snprintf(name, sizeof name, "d/f%d", i % 7);
        int fd = CHECK_OK(open(in(name), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
        CHECK_EQ(write(fd, "data", 4), 4);
        CHECK_OK(fstat(fd, &st));
        CHECK_OK(close(fd));
        CHECK_OK(stat(in(name), &st));
        CHECK_EQ(st.st_size, 4);
        CHECK_OK(rename(in(name), in("d/x")));
        CHECK_OK(link(in("d/x"), in("d/y")));
        CHECK_OK(unlink(in("d/y")));
        CHECK_OK(chmod(in("d/x"), 0600));
        CHECK_OK(truncate(in("d/x"), 2));
        CHECK_OK(symlink("x", in("d/l")));
        CHECK_EQ(readlink(in("d/l"), buf, sizeof buf), 1);
        CHECK_OK(unlink(in("d/l")));
        CHECK_OK(unlink(in("d/x")));
        CHECK_OK(mkdir(in("d/sub"), 0755));
        CHECK_OK(chdir(in("d/sub")));
        CHECK(getcwd(buf, sizeof buf) != NULL);
        CHECK_OK(rmdir(in("d/sub")));
        CHECK_OK(chdir("/"));
        fd = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        CHECK_OK(getdents64(fd, buf, sizeof buf));
        CHECK_OK(close(fd));
        map[i % 4096]++;
        CHECK_OK(msync(map, 4096, MS_SYNC));
        // Real paths too.
        fd = CHECK_OK(open("/dev/full", O_WRONLY | O_CLOEXEC));
        CHECK_OK(close(fd));
        fd = CHECK_OK(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
        CHECK(read(fd, buf, 64) > 0);
        CHECK_OK(close(fd));
        CHECK_OK(access("/proc/self/status", R_OK));
        CHECK_ERRNO(stat("/nope", &st), ENOENT);
        if (i % 20 == 0) {
            pid_t pid = CHECK_OK(fork());
            if (pid == 0)
                _exit(access(in("d"), X_OK));
            wait_ok(pid);
        }
    }
    every_us(0);
    CHECK(hits > 0);
    CHECK_EQ(count_entries(in("d")), 0);
    CHECK_OK(munmap(map, 4096));
    CHECK_OK(close(mapped));
}
