// what: select below 1024, poll and epoll on what the directory gives, with real descriptors beside them
// worlds: rw
// variants: dynamic static
// pitfalls: 39, 46
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>

static void test(void)
{
    write_file(in("f"), "x");
    CHECK_OK(mkfifo(in("p"), 0600));
    int f = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC)), p = CHECK_OK(open(in("p"), O_RDWR | O_CLOEXEC));
    CHECK(f < 1024 && p < 1024);
    // A regular file is always ready; a FIFO when there is something.
    fd_set r, w;
    struct timeval zero = {0, 0};
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(f, &r);
    FD_SET(p, &r);
    FD_SET(f, &w);
    CHECK_EQ(select(1024, &r, &w, NULL, &zero), 2);
    CHECK(FD_ISSET(f, &r) && FD_ISSET(f, &w) && !FD_ISSET(p, &r));
    CHECK_EQ(write(p, "y", 1), 1);
    struct pollfd pf[2] = {{f, POLLIN | POLLOUT, 0}, {p, POLLIN, 0}};
    CHECK_EQ(poll(pf, 2, 0), 2);
    CHECK_EQ(pf[0].revents, POLLIN | POLLOUT);
    CHECK_EQ(pf[1].revents, POLLIN);
    int closed = CHECK_OK(dup(f));
    CHECK_OK(fcntl(f, F_DUPFD, closed + 1));
    CHECK_OK(close(closed));
    FD_ZERO(&r);
    FD_SET(closed, &r);
    CHECK_ERRNO(select(closed + 1, &r, NULL, NULL, &zero), EBADF);

    int e = CHECK_OK(epoll_create1(EPOLL_CLOEXEC)), ev = CHECK_OK(eventfd(0, EFD_CLOEXEC)), t = CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    struct epoll_event x = {.events = EPOLLIN, .data.fd = f}, got[8];
    CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, f, &x), EPERM); // regular files can't be waited for
    int d = CHECK_OK(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, d, &x), EPERM);
    x = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = p};
    CHECK_OK(epoll_ctl(e, EPOLL_CTL_ADD, p, &x));
    CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, p, &x), EEXIST);
    x = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.fd = ev};
    CHECK_OK(epoll_ctl(e, EPOLL_CTL_ADD, ev, &x));
    x = (struct epoll_event){.events = EPOLLIN, .data.fd = t};
    CHECK_OK(epoll_ctl(e, EPOLL_CTL_ADD, t, &x));
    CHECK_EQ(epoll_wait(e, got, 8, 0), 1);
    CHECK_EQ(got[0].data.fd, p);
    CHECK_EQ(epoll_wait(e, got, 8, 0), 0); // edge-triggered: only once
    CHECK_EQ(write(p, "z", 1), 1);
    CHECK_EQ(epoll_wait(e, got, 8, 0), 1);
    CHECK_OK(eventfd_write(ev, 1));
    struct itimerspec its = {{0, 0}, {0, 2000000}};
    CHECK_OK(timerfd_settime(t, 0, &its, NULL));
    CHECK_EQ(epoll_wait(e, got, 8, 1000), 1);
    CHECK_EQ(got[0].data.fd, ev);
    CHECK_EQ(epoll_wait(e, got, 8, 1000), 1); // one-shot: the eventfd is silent now
    CHECK_EQ(got[0].data.fd, t);
    // An epoll in an epoll.
    int outer = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));
    x = (struct epoll_event){.events = EPOLLIN, .data.fd = e};
    CHECK_OK(epoll_ctl(outer, EPOLL_CTL_ADD, e, &x));
    CHECK_EQ(epoll_wait(outer, got, 8, 0), 1);
    // Hang-up.
    int rd = CHECK_OK(open(in("p"), O_RDONLY | O_NONBLOCK | O_CLOEXEC)), wr = CHECK_OK(open(in("p"), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_OK(close(p));
    char buf[8];
    CHECK_EQ(read(rd, buf, 8), 2);
    pf[0] = (struct pollfd){rd, POLLIN, 0};
    CHECK_EQ(poll(pf, 1, 0), 0);
    CHECK_OK(close(wr));
    CHECK_EQ(poll(pf, 1, 0), 1);
    CHECK_EQ(pf[0].revents, POLLHUP);
    wr = CHECK_OK(open(in("p"), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    CHECK_OK(close(rd));
    pf[0] = (struct pollfd){wr, POLLOUT, 0};
    CHECK_EQ(poll(pf, 1, 0), 1);
    CHECK(pf[0].revents & POLLERR);
}
