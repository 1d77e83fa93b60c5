// what: system calls that don't exist: ENOSYS; foreign ABIs reach nothing
// worlds: any
// variants: dynamic static threads
// pitfalls: 22, 48
#include "check.h"

static void test(void)
{
    static const long numbers[] = {9999, 1023, 600, 100000, 0x3fffffff, -1, -100, 0x7fffffff};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        CHECK_ERRNO(syscall(numbers[i], dir, dir, dir, dir, dir, dir), ENOSYS);
        CHECK_ERRNO(syscall(numbers[i], 0, 0, 0, 0, 0, 0), ENOSYS);
    }
    // Numbers that were never used on x86-64.
    for (long n = 343; n < 424; n += 7)
        CHECK_ERRNO(syscall(n, dir, 0, 0, 0, 0, 0), ENOSYS);
    // x32: most kernels lack it. If it is there, it must not lead around the view.
    struct stat st;
    long r = syscall(0x40000000 | SYS_open, dir, O_RDONLY);
    CHECK(r == -1 ? errno == ENOSYS : getenv("VIEW") == NULL);
    // 32-bit calls by int $0x80 (in a child: the kernel may lack them and send a signal).
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        CHECK(low != MAP_FAILED);
        strcpy(low, "/etc/passwd");
        long ret;
        __asm__ volatile("int $0x80" : "=a"(ret) : "a"(5L), "b"(low), "c"(0L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
        CHECK(ret == -ENOSYS || getenv("VIEW") == NULL);
        _exit(0);
    }
    int status = wait_status(pid);
    CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL));
    CHECK_OK(stat(dir, &st));
}
