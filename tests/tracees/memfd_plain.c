// what: a program's own memfds, pipes and sockets stay its own, whatever backs files of the view
// worlds: rw
// variants: dynamic static
// pitfalls: 37, 38
#include "check.h"

static void test(void)
{
    char link[64], buf[PATH_MAX];
    struct stat st, f;
    write_file(in("f"), "file");
    int m = CHECK_OK(memfd_create("mine", MFD_CLOEXEC | MFD_ALLOW_SEALING)), fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    CHECK_EQ(write(m, "mem", 3), 3);
    snprintf(link, sizeof link, "/proc/self/fd/%d", m);
    ssize_t n = CHECK_OK(readlink(link, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK_STR(buf, "/memfd:mine (deleted)");
    CHECK_OK(fstat(m, &st));
    CHECK_OK(fstat(fd, &f));
    CHECK(st.st_ino != f.st_ino || st.st_dev != f.st_dev);
    CHECK_EQ(st.st_size, 3);
    CHECK_EQ(st.st_nlink, 0);
    int re = CHECK_OK(open(link, O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(re, buf, 8), 3);
    CHECK_OK(fcntl(m, F_ADD_SEALS, F_SEAL_SHRINK));
    CHECK_ERRNO(ftruncate(m, 0), EPERM);
    // A file of the directory has no seals to add.
    CHECK_ERRNO2(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM, EINVAL);
    CHECK_EQ(pwrite(fd, "F", 1, 0), 1);
    int p[2], s[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    snprintf(link, sizeof link, "/proc/self/fd/%d", p[0]);
    n = CHECK_OK(readlink(link, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK(!strncmp(buf, "pipe:[", 6));
    int again = CHECK_OK(open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(read(again, buf, 8), 1);
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    snprintf(link, sizeof link, "/proc/self/fd/%d", s[0]);
    n = CHECK_OK(readlink(link, buf, sizeof buf - 1));
    buf[n] = 0;
    CHECK(!strncmp(buf, "socket:[", 8));
    CHECK_ERRNO(open(link, O_RDONLY), ENXIO);
    // Shared memory by name is a file of /dev/shm.
    char name[64];
    snprintf(name, sizeof name, "/view-test-%d", getpid());
    int sh = CHECK_OK(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
    CHECK_OK(ftruncate(sh, 4096));
    snprintf(buf, sizeof buf, "/dev/shm%s", name);
    CHECK_EQ(stat_of(buf).st_size, 4096);
    CHECK_OK(shm_unlink(name));
    // An unnamed file elsewhere.
    FILE *t = tmpfile();
    CHECK(t != NULL && fputs("temporary", t) >= 0 && fclose(t) == 0);
}
