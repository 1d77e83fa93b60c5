// what: generated code: writable and executable pages, code that makes system calls, data that looks like it
// worlds: any
// variants: dynamic static threads
// pitfalls: 49, 50, 52
#include "check.h"

// mov eax, NR; syscall; ret
static size_t emit(unsigned char *p, unsigned nr)
{
    memcpy(p, "\xb8\0\0\0\0\x0f\x05\xc3", 8);
    memcpy(p + 1, &nr, 4);
    return 8;
}

static void test(void)
{
    unsigned char *m = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    long (*f)(long, long, long) = (long (*)(long, long, long))m;
    struct stat st;
    for (int i = 0; i < 200; i++) { // rewritten again and again at the same place
        emit(m, SYS_getpid);
        CHECK_EQ(f(0, 0, 0), getpid());
        emit(m, SYS_stat);
        CHECK_EQ(f((long)"/etc/passwd", (long)&st, 0), 0);
        CHECK_EQ(f((long)"/nope", (long)&st, 0), -ENOENT);
        emit(m, SYS_openat);
        int fd = (int)f(AT_FDCWD, (long)dir, O_RDONLY | O_DIRECTORY);
        CHECK(fd >= 0);
        emit(m, SYS_close);
        CHECK_EQ(f(fd, 0, 0), 0);
    }
    // Write, then protect, then run: the other way to do it.
    CHECK_OK(mprotect(m, 8192, PROT_READ | PROT_WRITE));
    size_t n = emit(m + 4092, SYS_stat); // the instruction crosses a page
    CHECK_OK(mprotect(m, 8192, PROT_READ | PROT_EXEC));
    f = (long (*)(long, long, long))(m + 4092);
    CHECK_EQ(f((long)dir, (long)&st, 0), 0);
    CHECK(S_ISDIR(st.st_mode));
    // A string that looks like code is only a string.
    static const unsigned char data[] = "\xb8\x05\0\0\0\x0f\x05\xb8\x01\0\0\0\x0f\x05";
    unsigned sum = 0;
    for (size_t i = 0; i + 1 < sizeof data; i++)
        sum = sum * 31 + data[i];
    CHECK_OK(stat("/etc/passwd", &st));
    unsigned again = 0;
    for (size_t i = 0; i + 1 < sizeof data; i++)
        again = again * 31 + data[i];
    CHECK_EQ(sum, again);
    CHECK_EQ(n, 8);
}
