// what: another process's cwd, fd and root links lead where it is, and nowhere else
// worlds: rw
// variants: dynamic static
// pitfalls: 36, 37, 38, 41
#include "check.h"

static int ready[2], done[2];

static void child(void *a)
{
    (void)a;
    CHECK_OK(chdir(in("d")));
    int fd = CHECK_OK(open("f", O_RDWR | O_CLOEXEC));
    CHECK_OK(dup2(fd, 100));
    char c;
    CHECK_EQ(write(ready[1], "r", 1), 1);
    CHECK_EQ(read(done[0], &c, 1), 1);
}

static void test(void)
{
    char path[PATH_MAX], buf[PATH_MAX], real[PATH_MAX], c;
    struct stat st;
    CHECK(realpath(dir, real) != NULL);
    CHECK_OK(mkdir(in("d"), 0755));
    write_file(in("d/f"), "theirs");
    write_file(in("top"), "top");
    CHECK_OK(pipe2(ready, O_CLOEXEC));
    CHECK_OK(pipe2(done, O_CLOEXEC));
    pid_t pid = spawn(child, NULL);
    CHECK_EQ(read(ready[0], &c, 1), 1);
    snprintf(path, sizeof path, "/proc/%d/cwd", pid);
    ssize_t n = CHECK_OK(readlink(path, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, join(real, "d"));
    snprintf(path, sizeof path, "/proc/%d/cwd/f", pid);
    CHECK_CONTENT(path, "theirs");
    snprintf(path, sizeof path, "/proc/%d/cwd/../top", pid);
    CHECK_CONTENT(path, "top");
    snprintf(path, sizeof path, "/proc/%d/root%s/top", pid, real);
    CHECK_CONTENT(path, "top");
    snprintf(path, sizeof path, "/proc/%d/fd/100", pid);
    n = CHECK_OK(readlink(path, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, join(real, "d/f"));
    int fd = CHECK_OK(open(path, O_RDWR | O_CLOEXEC));
    CHECK_EQ(write(fd, "T", 1), 1);
    CHECK_CONTENT(in("d/f"), "Theirs");
    CHECK_OK(stat(path, &st));
    CHECK_EQ(st.st_ino, stat_of(in("d/f")).st_ino);
    // A copy of its descriptor, where the kernel and the sandbox around allow it.
    int pidfd = (int)CHECK_OK(syscall(SYS_pidfd_open, pid, 0)), got = (int)syscall(SYS_pidfd_getfd, pidfd, 100, 0);
    if (got >= 0) {
        CHECK_EQ(pread(got, buf, 6, 0), 6);
        CHECK(!memcmp(buf, "Theirs", 6));
        CHECK_OK(fstat(got, &st));
        CHECK_EQ(st.st_ino, stat_of(in("d/f")).st_ino);
    } else {
        CHECK(errno == EPERM || errno == ENOSYS);
    }
    CHECK_ERRNO(syscall(SYS_pidfd_getfd, pidfd, 999, 0), got >= 0 ? EBADF : errno);
    // /proc/self is always the reader.
    n = CHECK_OK(readlink("/proc/self", buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_EQ(atoi(buf), getpid());
    snprintf(path, sizeof path, "/proc/self/status");
    char *line = strstr(read_file(path), "\nPid:");
    CHECK(line != NULL);
    CHECK_EQ(atoi(line + 5), getpid());
    CHECK_EQ(write(done[1], "d", 1), 1);
    wait_ok(pid);
    snprintf(path, sizeof path, "/proc/%d/cwd/f", pid);
    CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
}
