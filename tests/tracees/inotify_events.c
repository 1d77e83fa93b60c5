// what: inotify events of files and directories
// worlds: host
// variants: dynamic static
// pitfalls: 21
#include "check.h"
#include <sys/inotify.h>

static int in_fd, wd;
static uint32_t cookie;

static void event(uint32_t mask, const char *name)
{
    static char buf[4096] __attribute__((aligned(8)));
    static ssize_t len, at;
    if (at >= len) {
        struct pollfd p = {in_fd, POLLIN, 0};
        if (poll(&p, 1, 5000) != 1)
            check_fail(__FILE__, __LINE__, name ? name : "self", "no event, expected mask 0x%x", mask);
        len = CHECK_OK(read(in_fd, buf, sizeof buf));
        at = 0;
    }
    struct inotify_event *e = (struct inotify_event *)(buf + at);
    at += (ssize_t)sizeof *e + e->len;
    CHECK_EQ(e->wd, wd);
    CHECK_EQ(e->mask, mask);
    CHECK_STR(e->len ? e->name : "", name ? name : "");
    cookie = e->cookie;
}

static void test(void)
{
    CHECK_OK(mkdir(in("d"), 0755));
    in_fd = CHECK_OK(inotify_init1(IN_CLOEXEC));
    wd = CHECK_OK(inotify_add_watch(in_fd, in("d"), IN_ALL_EVENTS & ~(IN_ACCESS | IN_ATTRIB)));
    int fd = CHECK_OK(open(in("d/f"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    event(IN_CREATE, "f");
    event(IN_OPEN, "f");
    CHECK_EQ(write(fd, "x", 1), 1);
    event(IN_MODIFY, "f");
    CHECK_OK(close(fd));
    event(IN_CLOSE_WRITE, "f");
    fd = CHECK_OK(open(in("d/f"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(close(fd));
    event(IN_OPEN, "f");
    event(IN_CLOSE_NOWRITE, "f");
    CHECK_OK(rename(in("d/f"), in("d/g")));
    event(IN_MOVED_FROM, "f");
    uint32_t c = cookie;
    CHECK(c != 0);
    event(IN_MOVED_TO, "g");
    CHECK_EQ(cookie, c);
    CHECK_OK(mkdir(in("d/sub"), 0755));
    event(IN_CREATE | IN_ISDIR, "sub");
    CHECK_OK(rmdir(in("d/sub")));
    event(IN_DELETE | IN_ISDIR, "sub");
    CHECK_OK(unlink(in("d/g")));
    event(IN_DELETE, "g");
    CHECK_OK(rename(in("d"), in("e")));
    event(IN_MOVE_SELF, NULL);
    CHECK_OK(rmdir(in("e")));
    event(IN_DELETE_SELF, NULL);
    event(IN_IGNORED, NULL);
    CHECK_ERRNO(inotify_add_watch(in_fd, in("nope"), IN_OPEN), ENOENT);
    CHECK_ERRNO(inotify_add_watch(in_fd, dir, 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(0, dir, IN_OPEN), EINVAL);
}
