// what: a program without any libc: raw system calls with its own entry point
// worlds: rw
// variants: nolibc
// pitfalls: 48
#include <asm/unistd.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

static long call(long n, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return ret;
}

static size_t length(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

static void say(const char *s)
{
    call(__NR_write, 2, (long)s, (long)length(s), 0);
}

static void fail(const char *what, long got, long want)
{
    char digits[24];
    long v[2] = {got, want};
    say(what);
    for (int i = 0; i < 2; i++) {
        char *p = digits + sizeof digits - 1;
        long x = v[i] < 0 ? -v[i] : v[i];
        *p = 0;
        do
            *--p = (char)('0' + x % 10);
        while ((x /= 10) != 0);
        if (v[i] < 0)
            *--p = '-';
        say(i ? ", expected " : ": got ");
        say(p);
    }
    say("\n");
    call(__NR_exit_group, 1, 0, 0, 0);
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define IS(e, want)                                                                                                              \
    do {                                                                                                                         \
        long g_ = (long)(e), w_ = (long)(want);                                                                                  \
        if (g_ != w_)                                                                                                            \
            fail("nolibc_raw.c:" TEXT(__LINE__) ": " #e, g_, w_);                                                                \
    } while (0)

static char path_a[4096], path_b[4096], buf[4096];

static char *in_dir(char *to, const char *dir, const char *name)
{
    char *p = to;
    while ((*p = *dir++))
        p++;
    *p++ = '/';
    while ((*p++ = *name++)) {
    }
    return to;
}

__attribute__((used)) static void start(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1);
    struct stat st;
    IS(argc, 3);
    long a = (long)in_dir(path_a, argv[1], "a"), b = (long)in_dir(path_b, argv[1], "b");
    long fd = call(__NR_open, a, O_CREAT | O_EXCL | O_RDWR, 0640, 0);
    IS(fd, 3);
    IS(call(__NR_write, fd, (long)"raw", 3, 0), 3);
    IS(call(__NR_fstat, fd, (long)&st, 0, 0), 0);
    IS(st.st_size, 3);
    IS(call(__NR_close, fd, 0, 0, 0), 0);
    IS(call(__NR_open, a, O_CREAT | O_EXCL | O_RDWR, 0640, 0), -17);
    IS(call(__NR_rename, a, b, 0, 0), 0);
    IS(call(__NR_stat, a, (long)&st, 0, 0), -2);
    IS(call(__NR_lstat, b, (long)&st, 0, 0), 0);
    IS(st.st_mode, S_IFREG | 0640);
    IS(call(__NR_access, b, 4, 0, 0), 0);
    IS(call(__NR_link, b, a, 0, 0), 0);
    IS(call(__NR_unlink, a, 0, 0, 0), 0);
    IS(call(__NR_symlink, (long)"b", a, 0, 0), 0);
    IS(call(__NR_readlink, a, (long)buf, sizeof buf, 0), 1);
    IS(call(__NR_chmod, a, 0600, 0, 0), 0);
    IS(call(__NR_truncate, a, 1, 0, 0), 0);
    IS(call(__NR_unlink, a, 0, 0, 0), 0);
    IS(call(__NR_mkdir, a, 0755, 0, 0), 0);
    IS(call(__NR_chdir, a, 0, 0, 0), 0);
    IS(call(__NR_open, (long)"../b", O_RDONLY, 0, 0), 3);
    IS(call(__NR_read, 3, (long)buf, 8, 0), 1);
    IS(buf[0], 'r');
    IS(call(__NR_creat, (long)"c", 0600, 0, 0), 4);
    IS(call(__NR_getcwd, (long)buf, sizeof buf, 0, 0), (long)length(path_a) + 1);
    for (size_t i = 0; i <= length(path_a); i++)
        IS(buf[i], path_a[i]);
    IS(call(__NR_open, (long)".", O_RDONLY | O_DIRECTORY, 0, 0), 5);
    if (call(__NR_getdents64, 5, (long)buf, sizeof buf, 0) <= 0)
        fail("nolibc_raw.c: getdents64", 0, 1);
    IS(call(__NR_unlinkat, 5, (long)"c", 0, 0), 0);
    IS(call(__NR_rmdir, a, 0, 0, 0), 0);
    IS(call(__NR_openat, 5, (long)"x", O_CREAT | O_WRONLY, 0600), -2);
    IS(call(__NR_open, (long)"/etc/passwd", O_RDONLY, 0, 0), 6);
    IS(call(__NR_stat, (long)"/nope", (long)&st, 0, 0), -2);
    IS(call(__NR_stat, 8, (long)&st, 0, 0), -14);
    IS(call(9999, b, 0, 0, 0), -38);
    // A child by the bare fork, an exec by the bare execve.
    long pid = call(__NR_fork, 0, 0, 0, 0);
    if (pid == 0) {
        char *const args[] = {"sh", "-c", "exit 9", NULL};
        IS(call(__NR_execve, (long)"/bin/sh", (long)args, 0, 0), 0);
    }
    int status = 0;
    IS(call(__NR_wait4, pid, (long)&status, 0, 0), pid);
    IS(status, 9 << 8);
    call(__NR_exit_group, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n hlt\n");
