// what: io_uring is refused with ENOSYS inside a view (natively: what the host allows); fallbacks work
// worlds: any
// variants: dynamic static
// pitfalls: 47
#include "check.h"
#include <linux/aio_abi.h>

static void test(void)
{
    char params[256] = "";
    bool inside = getenv("VIEW") != NULL;
    long fd = syscall(SYS_io_uring_setup, 4, params);
    if (inside) {
        CHECK_EQ(fd, -1);
        CHECK_EQ(errno, ENOSYS);
        CHECK_ERRNO(syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0), ENOSYS);
        CHECK_ERRNO(syscall(SYS_io_uring_register, 0, 0, NULL, 0), ENOSYS);
    } else {
        CHECK(fd >= 0 || errno == ENOSYS || errno == EPERM);
        if (fd >= 0)
            close((int)fd);
    }
    // Kernel AIO takes no paths: it works, or is refused.
    aio_context_t ctx = 0;
    if (syscall(SYS_io_setup, 4, &ctx) == -1) {
        CHECK(errno == ENOSYS || errno == EPERM);
        return;
    }
    char buf[16] = "";
    write_file(outside("f"), "by aio");
    int f = CHECK_OK(open(outside("f"), O_RDONLY | O_CLOEXEC));
    struct iocb cb = {.aio_fildes = (uint32_t)f, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)buf, .aio_nbytes = 6}, *cbs[] = {&cb};
    struct io_event ev;
    CHECK_EQ(syscall(SYS_io_submit, ctx, 1, cbs), 1);
    CHECK_EQ(syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL), 1);
    CHECK_EQ(ev.res, 6);
    CHECK_STR(buf, "by aio");
    CHECK_OK(syscall(SYS_io_destroy, ctx));
}
