// what: a system call keeps every register but rax, rcx and r11, the red zone and the vector registers
// worlds: rw
// variants: dynamic static threads
// pitfalls: 50
#include "check.h"

// Makes the call with marks in all other registers and in the red zone; gives a bit mask of what was changed.
static __attribute__((noinline)) unsigned long marked(long nr, long a, long b, long c, long d, long *result)
{
    register long r10 __asm__("r10") = d;
    unsigned long bad = 0;
    long ret = nr;
    __asm__ volatile("movq $0x1111, %%rbx\n movq $0x2222, %%r12\n movq $0x3333, %%r13\n movq $0x4444, %%r14\n movq $0x5555, %%r15\n"
                     "movq $0x6666, %%r8\n movq $0x7777, %%r9\n"
                     "movq $0x8888, -64(%%rsp)\n movq $0x9999, -128(%%rsp)\n"
                     "movq %%rbx, %%xmm0\n movq %%r12, %%xmm7\n movq %%r13, %%xmm15\n"
                     "syscall\n"
                     "xorq %%rcx, %%rcx\n"
                     "cmpq $0x1111, %%rbx\n je 1f\n orq $1, %%rcx\n1: cmpq $0x2222, %%r12\n je 1f\n orq $2, %%rcx\n"
                     "1: cmpq $0x3333, %%r13\n je 1f\n orq $4, %%rcx\n1: cmpq $0x4444, %%r14\n je 1f\n orq $8, %%rcx\n"
                     "1: cmpq $0x5555, %%r15\n je 1f\n orq $16, %%rcx\n1: cmpq $0x6666, %%r8\n je 1f\n orq $32, %%rcx\n"
                     "1: cmpq $0x7777, %%r9\n je 1f\n orq $64, %%rcx\n1: cmpq $0x8888, -64(%%rsp)\n je 1f\n orq $128, %%rcx\n"
                     "1: cmpq $0x9999, -128(%%rsp)\n je 1f\n orq $256, %%rcx\n1:\n"
                     "movq %%xmm0, %%rbx\n cmpq $0x1111, %%rbx\n je 1f\n orq $512, %%rcx\n1:\n"
                     "movq %%xmm7, %%rbx\n cmpq $0x2222, %%rbx\n je 1f\n orq $1024, %%rcx\n1:\n"
                     "movq %%xmm15, %%rbx\n cmpq $0x3333, %%rbx\n je 1f\n orq $2048, %%rcx\n1:\n"
                     : "+a"(ret), "=&c"(bad), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                     :
                     : "rbx", "r8", "r9", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm7", "xmm15", "memory", "cc");
    *result = ret;
    return bad | (r10 != d ? 1UL << 20 : 0);
}

#define CALL(nr, a, b, c, d)                                                                                                     \
    ({                                                                                                                           \
        long r_, a_ = (long)(a), b_ = (long)(b);                                                                                 \
        CHECK_EQ(marked(nr, a_, b_, (long)(c), (long)(d), &r_), 0);                                                              \
        r_;                                                                                                                      \
    })

static void test(void)
{
    struct stat st;
    char buf[PATH_MAX];
    CHECK_OK(mkdir(in("d"), 0755));
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(CALL(SYS_getpid, 0, 0, 0, 0), getpid());
        CHECK_EQ(CALL(SYS_stat, dir, &st, 0, 0), 0);
        CHECK_EQ(CALL(SYS_stat, in("nope"), &st, 0, 0), -ENOENT);
        long fd = CALL(SYS_openat, AT_FDCWD, in("f"), O_CREAT | O_RDWR, 0644);
        CHECK(fd >= 0);
        CHECK_EQ(CALL(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH), 0);
        CHECK_EQ(CALL(SYS_close, fd, 0, 0, 0), 0);
        CHECK_EQ(CALL(SYS_chdir, in("d"), 0, 0, 0), 0);
        CHECK(CALL(SYS_getcwd, buf, sizeof buf, 0, 0) > 0);
        fd = CALL(SYS_openat, AT_FDCWD, "..", O_PATH, 0);
        CHECK(fd >= 0);
        CHECK_EQ(CALL(SYS_fchdir, fd, 0, 0, 0), 0);
        CHECK_EQ(CALL(SYS_renameat, AT_FDCWD, "f", AT_FDCWD, "g"), 0);
        CHECK_EQ(CALL(SYS_unlink, "g", 0, 0, 0), 0);
        CHECK_EQ(CALL(SYS_close, fd, 0, 0, 0), 0);
        CHECK_EQ(CALL(SYS_execve, in("nope"), 0, 0, 0), -ENOENT);
        CHECK_EQ(CALL(9999, 1, 2, 3, 4), -ENOSYS);
    }
}
