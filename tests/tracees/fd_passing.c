// what: SCM_RIGHTS of files, directories and O_PATH descriptors; truncated control data
// worlds: rw
// variants: dynamic static threads
// pitfalls: 23, 40
#include "check.h"

static void send_fds(int s, const int *fds, int n)
{
    char ctl[CMSG_SPACE(8 * sizeof(int))], byte = 'x';
    memset(ctl, 0, sizeof ctl);
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
    CHECK_EQ(sendmsg(s, &m, 0), 1);
}

static int recv_fds(int s, int *fds, int room, int *flags)
{
    char ctl[CMSG_SPACE(8 * sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = CMSG_LEN((size_t)room * sizeof(int))};
    CHECK_EQ(recvmsg(s, &m, MSG_CMSG_CLOEXEC), 1);
    *flags = m.msg_flags;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c)
        return 0;
    int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
    return n;
}

static void receiver(void *a)
{
    int s = *(int *)a, fds[8], flags;
    struct stat st;
    char buf[8] = "";
    CHECK_EQ(recv_fds(s, fds, 4, &flags), 4);
    CHECK(!(flags & MSG_CTRUNC));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(pread(fds[0], buf, 7, 0), 4);
    CHECK_STR(buf, "file");
    CHECK_EQ(pwrite(fds[0], "FILE", 4, 0), 4);
    CHECK_OK(fstatat(fds[1], "g", &st, 0));
    CHECK_OK(mkdirat(fds[1], "by-receiver", 0755));
    CHECK_EQ(unlinkat(fds[2], "g", 0), 0);
    CHECK_OK(fchdir(fds[1]));
    CHECK_OK(stat("by-receiver", &st));
    CHECK_OK(fstat(fds[3], &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_ERRNO(read(fds[2], buf, 1), EBADF);
    CHECK_EQ(write(s, "k", 1), 1);
    // Room for one of three: the kernel drops the rest and says so.
    int before = dup(0);
    CHECK_EQ(recv_fds(s, fds, 1, &flags), 1);
    CHECK(flags & MSG_CTRUNC);
    CHECK_OK(fstat(fds[0], &st));
    close(before);
}

static void test(void)
{
    int sv[2];
    char byte;
    CHECK_OK(mkdir(in("d"), 0755));
    write_file(in("d/g"), "g");
    write_file(in("f"), "file");
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
    pid_t pid = spawn(receiver, &sv[1]);
    int fds[4] = {CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC)), CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                  CHECK_OK(open(in("d"), O_PATH | O_CLOEXEC)), CHECK_OK(open(in("l"), O_PATH | O_NOFOLLOW | O_CLOEXEC))};
    send_fds(sv[0], fds, 4);
    CHECK_EQ(read(sv[0], &byte, 1), 1);
    send_fds(sv[0], fds, 3);
    wait_ok(pid);
    CHECK_CONTENT(in("f"), "FILE");
    CHECK(exists(in("d/by-receiver")) && !exists(in("d/g")));
}
