// what: AF_UNIX calls that wait: accept, a full backlog, non-blocking connect; interrupted by signals
// worlds: rw
// variants: dynamic static
// pitfalls: 3, 12, 57
#include "check.h"

static struct sockaddr_un addr;
static volatile sig_atomic_t hits;

static void handler(int sig)
{
    (void)sig;
    hits++;
}

static void client(void *a)
{
    sleep_ms((int)(long)a);
    int c = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_OK(connect(c, (struct sockaddr *)&addr, sizeof addr));
    CHECK_EQ(write(c, "c", 1), 1);
    char x;
    CHECK_EQ(read(c, &x, 1), 1);
}

static void test(void)
{
    char x;
    addr.sun_family = AF_UNIX;
    strcpy(addr.sun_path, in("s"));
    int l = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_OK(bind(l, (struct sockaddr *)&addr, sizeof addr));
    CHECK_OK(listen(l, 1));
    // accept waits for a client.
    pid_t pid = spawn(client, (void *)50L);
    int s = CHECK_OK(accept(l, NULL, NULL));
    CHECK_EQ(read(s, &x, 1), 1);
    CHECK_EQ(write(s, "s", 1), 1);
    wait_ok(pid);
    // More clients than the backlog holds: they wait in connect.
    pid_t pids[8];
    for (int i = 0; i < 8; i++)
        pids[i] = spawn(client, NULL);
    sleep_ms(50);
    struct stat st;
    CHECK_OK(stat(in("s"), &st));
    for (int i = 0; i < 8; i++) {
        s = CHECK_OK(accept(l, NULL, NULL));
        CHECK_EQ(read(s, &x, 1), 1);
        CHECK_EQ(write(s, "s", 1), 1);
        CHECK_OK(close(s));
    }
    for (int i = 0; i < 8; i++)
        wait_ok(pids[i]);
    // Non-blocking.
    CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
    int full = 0, c = -1;
    for (int i = 0; i < 10; i++) {
        c = CHECK_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (connect(c, (struct sockaddr *)&addr, sizeof addr) == -1) {
            CHECK_EQ(errno, EAGAIN);
            full++;
            break;
        }
    }
    CHECK_EQ(full, 1);
    // A waiting connect and a waiting accept end with EINTR, or go on with SA_RESTART.
    on_signal(SIGALRM, handler, 0);
    every_us(20000);
    CHECK_OK(fcntl(c, F_SETFL, 0));
    CHECK_ERRNO(connect(c, (struct sockaddr *)&addr, sizeof addr), EINTR);
    CHECK(hits > 0);
    CHECK_OK(fcntl(l, F_SETFL, 0));
    while (recv(l, &x, 1, MSG_DONTWAIT) == -1 && errno == EINTR) {
    }
    struct pollfd p = {l, POLLIN, 0};
    while (poll(&p, 1, 0) == 1 && (s = accept(l, NULL, NULL)) >= 0)
        close(s);
    hits = 0;
    CHECK_ERRNO(accept(l, NULL, NULL), EINTR);
    on_signal(SIGALRM, handler, SA_RESTART);
    hits = 0;
    pid = spawn(client, (void *)200L);
    s = CHECK_OK(accept(l, NULL, NULL));
    CHECK(hits > 0);
    CHECK_EQ(write(s, "s", 1), 1);
    every_us(0);
    wait_ok(pid);
}
