// what: AF_UNIX sockets by path: 108 bytes, relative after chdir, unlink and rebind, names as given, SO_PEERCRED
// worlds: rw
// variants: dynamic static threads
// pitfalls: 57
#include "check.h"

static socklen_t address(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    size_t n = strlen(path);
    CHECK(n <= sizeof a->sun_path);
    memcpy(a->sun_path, path, n);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (n < sizeof a->sun_path));
}

static int try_bind(int s, const char *path)
{
    struct sockaddr_un a;
    socklen_t n = address(&a, path);
    return bind(s, (struct sockaddr *)&a, n);
}

static int try_connect(int s, const char *path)
{
    struct sockaddr_un a;
    socklen_t n = address(&a, path);
    return connect(s, (struct sockaddr *)&a, n);
}

static int sock(void)
{
    return CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// What getsockname or getpeername says, as a string.
static char *name(int s, int (*f)(int, struct sockaddr *, socklen_t *))
{
    static char buf[sizeof(struct sockaddr_un) + 1];
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    CHECK_OK(f(s, (struct sockaddr *)&a, &n));
    CHECK_EQ(a.sun_family, AF_UNIX);
    size_t len = n - offsetof(struct sockaddr_un, sun_path);
    memcpy(buf, a.sun_path, len < sizeof a.sun_path ? len : sizeof a.sun_path);
    buf[len < sizeof a.sun_path ? len : sizeof a.sun_path] = 0;
    return buf;
}

// A connection from a new socket to `path`, accepted on `l`; both ends are used.
static void talk(int l, const char *path)
{
    char buf[8];
    int c = sock();
    CHECK_OK(try_connect(c, path));
    int s = CHECK_OK(accept4(l, NULL, NULL, SOCK_CLOEXEC));
    CHECK_EQ(write(c, "ping", 4), 4);
    CHECK_EQ(read(s, buf, 8), 4);
    CHECK_EQ(write(s, "pong!", 5), 5);
    CHECK_EQ(read(c, buf, 8), 5);
    struct ucred u;
    socklen_t n = sizeof u;
    CHECK_OK(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &n));
    CHECK_EQ(u.pid, getpid());
    CHECK_EQ(u.uid, geteuid());
    CHECK_EQ(u.gid, getegid());
    n = sizeof u;
    CHECK_OK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &n));
    CHECK_EQ(u.pid, getpid());
    CHECK_OK(close(c));
    CHECK_EQ(read(s, buf, 8), 0);
    CHECK_OK(close(s));
}

static void test(void)
{
    char path[200];
    struct stat st;
    int l = sock();
    strcpy(path, in("sock"));
    CHECK_OK(try_bind(l, path));
    CHECK_OK(lstat(path, &st));
    CHECK_EQ(st.st_mode, S_IFSOCK | 0755);
    CHECK_EQ(st.st_uid, geteuid());
    CHECK_STR(name(l, getsockname), path);
    int c = sock();
    CHECK_ERRNO(try_connect(c, path), ECONNREFUSED); // bound, not listening
    CHECK_OK(listen(l, 5));
    CHECK_OK(try_connect(c, path));
    CHECK_STR(name(c, getpeername), path);
    CHECK_STR(name(c, getsockname), "");
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    int s = CHECK_OK(accept4(l, (struct sockaddr *)&a, &n, SOCK_CLOEXEC));
    CHECK_EQ(n, sizeof a.sun_family); // the client has no name
    CHECK_STR(name(s, getsockname), path);
    talk(l, path);

    // Errors.
    int x = sock();
    CHECK_ERRNO(try_bind(x, path), EADDRINUSE);
    CHECK_ERRNO(try_bind(l, in("again")), EINVAL);
    CHECK_ERRNO(try_connect(x, in("nope")), ENOENT);
    write_file(in("f"), "x");
    CHECK_ERRNO(try_connect(x, in("f")), ECONNREFUSED);
    CHECK_ERRNO(try_connect(x, dir), ECONNREFUSED);
    CHECK_ERRNO(try_bind(x, in("f")), EADDRINUSE);
    CHECK_ERRNO(try_bind(x, in("nope/s")), ENOENT);
    CHECK_ERRNO(try_bind(x, in("f/s")), ENOTDIR);
    CHECK_ERRNO(connect(x, (struct sockaddr *)&a, 1), EINVAL);
    CHECK_ERRNO(try_connect(c, path), EISCONN);
    CHECK_OK(chmod(path, 0));
    CHECK_ERRNO(try_connect(x, path), EACCES);
    CHECK_OK(chmod(path, 0700));
    int dg = CHECK_OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    CHECK_ERRNO(try_connect(dg, path), EPROTOTYPE);

    // Moved, linked, by a symlink: still that socket.
    CHECK_OK(rename(path, in("moved")));
    talk(l, in("moved"));
    CHECK_STR(name(l, getsockname), path);
    CHECK_OK(symlink("moved", in("link")));
    talk(l, in("link"));
    CHECK_OK(link(in("moved"), in("hard")));
    talk(l, in("hard"));
    // Removed and bound anew by another socket.
    CHECK_OK(unlink(in("moved")));
    CHECK_OK(unlink(in("hard")));
    CHECK_ERRNO(try_connect(x, path), ENOENT);
    int l2 = sock();
    CHECK_OK(try_bind(l2, path));
    CHECK_OK(listen(l2, 5));
    talk(l2, path);

    // Relative paths are relative to the current directory of that moment.
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(chdir(in("d")));
    int l3 = sock();
    CHECK_OK(try_bind(l3, "rel"));
    CHECK_OK(listen(l3, 5));
    CHECK_STR(name(l3, getsockname), "rel");
    talk(l3, "rel");
    talk(l3, "../d/./rel");
    talk(l2, "../sock");
    CHECK_OK(chdir("/"));
    CHECK_ERRNO(try_connect(x, "rel"), ENOENT);
    talk(l3, in("d/rel"));

    // 107 bytes and a NUL; 108 bytes without one; a longer one doesn't fit.
    snprintf(path, sizeof path, "%s/", dir);
    for (size_t want = 107; want <= 108; want++) {
        size_t have = strlen(path);
        CHECK(have < 100);
        memset(path + have, want == 107 ? 'a' : 'b', want - have);
        path[want] = 0;
        int big = sock();
        CHECK_OK(try_bind(big, path));
        CHECK_OK(listen(big, 5));
        CHECK_OK(lstat(path, &st));
        CHECK(S_ISSOCK(st.st_mode));
        CHECK_STR(name(big, getsockname), path);
        talk(big, path);
        CHECK_OK(close(big));
        CHECK_ERRNO(try_connect(x, path), ECONNREFUSED);
        path[have] = 0;
    }
    CHECK_ERRNO(bind(x, (struct sockaddr *)&a, sizeof a + 1), EINVAL);
    CHECK_ERRNO(connect(x, (struct sockaddr *)&a, sizeof a + 1), EINVAL);
}
