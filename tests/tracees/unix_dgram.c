// what: AF_UNIX datagrams: addresses of sendto, sendmsg and recvfrom; abstract names, autobind; seqpacket
// worlds: rw
// variants: dynamic static threads
// pitfalls: 57
#include "check.h"

static socklen_t address(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path, path);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static int bound(const char *path)
{
    struct sockaddr_un a;
    socklen_t n = address(&a, path);
    int s = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    CHECK_OK(bind(s, (struct sockaddr *)&a, n));
    return s;
}

static void test(void)
{
    char pa[108], pb[108], buf[32];
    struct sockaddr_un to, from;
    strcpy(pa, in("a"));
    strcpy(pb, in("b"));
    int a = bound(pa), b = bound(pb), c = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t n = address(&to, pb), fn = sizeof from;
    CHECK_EQ(sendto(a, "hello", 5, 0, (struct sockaddr *)&to, n), 5);
    CHECK_EQ(recvfrom(b, buf, sizeof buf, 0, (struct sockaddr *)&from, &fn), 5);
    CHECK_STR(from.sun_path, pa);
    CHECK_EQ(fn, offsetof(struct sockaddr_un, sun_path) + strlen(pa) + 1);
    // Answer to where it came from.
    CHECK_EQ(sendto(b, "hi", 2, 0, (struct sockaddr *)&from, fn), 2);
    struct iovec iov = {buf, sizeof buf};
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(a, &m, 0), 2);
    CHECK_STR(from.sun_path, pb);
    // From one without a name; by sendmsg; by sendmmsg.
    m = (struct msghdr){.msg_name = &to, .msg_namelen = n, .msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1};
    CHECK_EQ(sendmsg(c, &m, 0), 1);
    fn = sizeof from;
    CHECK_EQ(recvfrom(b, buf, sizeof buf, 0, (struct sockaddr *)&from, &fn), 1);
    CHECK_EQ(fn, 0);
    struct mmsghdr mm[2] = {{.msg_hdr = m}, {.msg_hdr = m}};
    CHECK_EQ(sendmmsg(c, mm, 2, 0), 2);
    CHECK_EQ(recv(b, buf, sizeof buf, 0), 1);
    CHECK_EQ(recv(b, buf, sizeof buf, 0), 1);
    // Connected.
    CHECK_OK(connect(c, (struct sockaddr *)&to, n));
    CHECK_EQ(send(c, "yz", 2, 0), 2);
    CHECK_EQ(read(b, buf, sizeof buf), 2);
    fn = sizeof from;
    CHECK_OK(getpeername(c, (struct sockaddr *)&from, &fn));
    CHECK_STR(from.sun_path, pb);
    // Relative to the current directory.
    CHECK_OK(chdir(dir));
    n = address(&to, "b");
    CHECK_EQ(sendto(a, "rel", 3, 0, (struct sockaddr *)&to, n), 3);
    CHECK_EQ(read(b, buf, sizeof buf), 3);
    n = address(&to, "nope");
    CHECK_ERRNO(sendto(a, "x", 1, 0, (struct sockaddr *)&to, n), ENOENT);
    CHECK_OK(close(b));
    n = address(&to, pb);
    CHECK_ERRNO(sendto(a, "x", 1, 0, (struct sockaddr *)&to, n), ECONNREFUSED);
    CHECK_ERRNO(sendto(a, "x", 1, 0, (struct sockaddr *)&to, 1), EINVAL);

    // Abstract names, with NULs inside, are no paths.
    struct sockaddr_un abs = {.sun_family = AF_UNIX};
    int len = snprintf(abs.sun_path + 1, 90, "view%ctest%d", 0, getpid());
    n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    int d = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), e = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    CHECK_OK(bind(d, (struct sockaddr *)&abs, n));
    CHECK_ERRNO(bind(e, (struct sockaddr *)&abs, n), EADDRINUSE);
    CHECK_EQ(sendto(e, "abs", 3, 0, (struct sockaddr *)&abs, n), 3);
    CHECK_EQ(read(d, buf, sizeof buf), 3);
    fn = sizeof from;
    CHECK_OK(getsockname(d, (struct sockaddr *)&from, &fn));
    CHECK_EQ(fn, n);
    CHECK(!memcmp(from.sun_path, abs.sun_path, (size_t)len + 1));
    abs.sun_path[5] = 'X'; // the NUL inside counts
    CHECK_ERRNO(sendto(e, "x", 1, 0, (struct sockaddr *)&abs, n), ECONNREFUSED);
    // Autobind.
    CHECK_OK(bind(e, (struct sockaddr *)&abs, sizeof abs.sun_family));
    fn = sizeof from;
    CHECK_OK(getsockname(e, (struct sockaddr *)&from, &fn));
    CHECK_EQ(fn, sizeof from.sun_family + 6);
    CHECK_EQ(from.sun_path[0], 0);

    // Sequenced packets.
    int l = CHECK_OK(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)), p = CHECK_OK(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    n = address(&to, in("seq"));
    CHECK_OK(bind(l, (struct sockaddr *)&to, n));
    CHECK_OK(listen(l, 1));
    CHECK_OK(connect(p, (struct sockaddr *)&to, n));
    int s = CHECK_OK(accept(l, NULL, NULL));
    CHECK_EQ(write(p, "one", 3), 3);
    CHECK_EQ(write(p, "two!", 4), 4);
    CHECK_EQ(read(s, buf, sizeof buf), 3);
    CHECK_EQ(read(s, buf, sizeof buf), 4);
}
