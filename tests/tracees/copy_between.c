// what: sendfile, copy_file_range, splice, tee, vmsplice and reflink between the directory and outside, in all combinations
// worlds: rw
// variants: dynamic static threads
// pitfalls: 44
#include "check.h"
#include <linux/fs.h>
#include <sys/sendfile.h>

enum { SIZE = 200000 };
static char data[SIZE], buf[SIZE];

static void same(int fd)
{
    struct stat st;
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, SIZE);
    CHECK_EQ(pread(fd, buf, SIZE, 0), SIZE);
    CHECK(!memcmp(buf, data, SIZE));
    CHECK_OK(ftruncate(fd, 0));
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
}

static void pair(const char *from, const char *to)
{
    int a = CHECK_OK(open(from, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)), b = CHECK_OK(open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    CHECK_EQ(write(a, data, SIZE), SIZE);

    off_t off = 0;
    while (off < SIZE)
        CHECK_OK(sendfile(b, a, &off, (size_t)(SIZE - off)) > 0 ? 0 : -1);
    same(b);
    CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
    CHECK_EQ(sendfile(b, a, NULL, 100), 100);
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 100);
    CHECK_OK(ftruncate(b, 0));
    CHECK_EQ(lseek(b, 0, SEEK_SET), 0);

    loff_t oa = 0, ob = 0;
    while (oa < SIZE) {
        ssize_t n = copy_file_range(a, &oa, b, &ob, (size_t)(SIZE - oa), 0);
        if (n == -1 && (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS)) { // programs fall back
            CHECK_EQ(pwrite(b, data, SIZE, 0), SIZE);
            oa = SIZE;
            break;
        }
        CHECK(n > 0);
    }
    same(b);
    CHECK_ERRNO(copy_file_range(a, &oa, b, &ob, 10, 1), EINVAL);

    int p[2];
    CHECK_OK(pipe2(p, O_CLOEXEC));
    CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
    for (size_t done = 0; done < SIZE;) {
        ssize_t n = CHECK_OK(splice(a, NULL, p[1], NULL, 60000, 0));
        CHECK(n > 0);
        for (ssize_t m, left = n; left > 0; left -= m)
            CHECK((m = splice(p[0], NULL, b, NULL, (size_t)left, 0)) > 0);
        done += (size_t)n;
    }
    same(b);
    int q[2];
    CHECK_OK(pipe2(q, O_CLOEXEC));
    loff_t at = 500;
    CHECK_EQ(splice(a, &at, p[1], NULL, 100, 0), 100);
    CHECK_EQ(tee(p[0], q[1], 100, 0), 100);
    CHECK_EQ(read(q[0], buf, 100), 100);
    CHECK(!memcmp(buf, data + 500, 100));
    CHECK_EQ(read(p[0], buf, 100), 100);
    CHECK(!memcmp(buf, data + 500, 100));
    struct iovec v = {data, 1000};
    CHECK_EQ(vmsplice(p[1], &v, 1, 0), 1000);
    CHECK_EQ(splice(p[0], NULL, b, NULL, 1000, 0), 1000);
    CHECK_EQ(pread(b, buf, 1000, 0), 1000);
    CHECK(!memcmp(buf, data, 1000));
    CHECK_ERRNO(splice(a, NULL, b, NULL, 10, 0), EINVAL);

    // Reflink: works, or says honestly that it can't.
    if (ioctl(b, FICLONE, a) == 0)
        same(b);
    else
        CHECK(errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL || errno == ENOTTY);
    // To a socket.
    int s[2];
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    off = 1000;
    CHECK_EQ(sendfile(s[0], a, &off, 500), 500);
    CHECK_EQ(off, 1500);
    CHECK_EQ(recv(s[1], buf, 500, MSG_WAITALL), 500);
    CHECK(!memcmp(buf, data + 1000, 500));
    int fds[] = {a, b, p[0], p[1], q[0], q[1], s[0], s[1]};
    for (int i = 0; i < 8; i++)
        CHECK_OK(close(fds[i]));
}

static void test(void)
{
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 + i / 977);
    char a[PATH_MAX], b[PATH_MAX], c[PATH_MAX];
    strcpy(a, in("a"));
    strcpy(b, in("b"));
    strcpy(c, outside("c"));
    pair(a, b);
    pair(a, c);
    pair(c, a);
    pair(c, outside("d"));
    int r = CHECK_OK(open(a, O_RDONLY | O_CLOEXEC)), w = CHECK_OK(open(c, O_WRONLY | O_CLOEXEC));
    CHECK_ERRNO(sendfile(r, r, NULL, 1), EBADF);
    CHECK_ERRNO(copy_file_range(w, NULL, r, NULL, 1, 0), EBADF);
}
