// what: mappings and a file's size: SIGBUS beyond the end, zeros in the last page, growing, mremap
// worlds: rw
// variants: dynamic static
// pitfalls: 42
#include "check.h"
#include <setjmp.h>

static sigjmp_buf back;
static volatile sig_atomic_t got;

static void handler(int sig)
{
    got = sig;
    siglongjmp(back, 1);
}

static int faults(volatile char *p)
{
    got = 0;
    if (sigsetjmp(back, 1) == 0)
        (void)*p;
    return got;
}

static void test(void)
{
    on_signal(SIGBUS, handler, 0);
    on_signal(SIGSEGV, handler, 0);
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_OK(ftruncate(fd, 2 * 4096 + 100));
    char *m = CHECK_OK(mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK_EQ(faults(m + 2 * 4096), 0);
    CHECK_EQ(m[2 * 4096 + 4095], 0);
    CHECK_EQ(faults(m + 3 * 4096), SIGBUS);
    CHECK_EQ(faults(m + 7 * 4096), SIGBUS);
    CHECK_OK(ftruncate(fd, 5 * 4096)); // grows under the mapping
    CHECK_EQ(faults(m + 3 * 4096), 0);
    m[4 * 4096] = 'g';
    char c;
    CHECK_EQ(pread(fd, &c, 1, 4 * 4096), 1);
    CHECK_EQ(c, 'g');
    CHECK_OK(truncate(in("f"), 4096)); // by name
    CHECK_EQ(faults(m + 4096), SIGBUS);
    CHECK_EQ(faults(m), 0);
    CHECK_OK(close(CHECK_OK(open(in("f"), O_WRONLY | O_TRUNC)))); // by O_TRUNC
    CHECK_EQ(faults(m), SIGBUS);
    // What lay beyond the end doesn't come back.
    CHECK_EQ(pwrite(fd, "0123456789", 10, 0), 10);
    strcpy(m + 10, "ghost");
    CHECK_EQ(stat_of(in("f")).st_size, 10);
    CHECK_OK(ftruncate(fd, 5));
    CHECK_OK(ftruncate(fd, 4096));
    CHECK_EQ(pread(fd, &c, 1, 7), 1);
    CHECK_EQ(c, 0);
    // mremap.
    char *big = CHECK_OK(mremap(m, 8 * 4096, 16 * 4096, MREMAP_MAYMOVE));
    CHECK_EQ(big[0], '0');
    CHECK_OK(ftruncate(fd, 16 * 4096));
    big[15 * 4096] = 'e';
    CHECK_EQ(pread(fd, &c, 1, 15 * 4096), 1);
    CHECK_EQ(c, 'e');
    CHECK_OK(madvise(big, 16 * 4096, MADV_DONTNEED));
    CHECK_EQ(big[15 * 4096], 'e');
    CHECK_OK(munmap(big, 4096)); // a part
    CHECK_EQ(faults(big), SIGSEGV);
    CHECK_EQ(big[15 * 4096], 'e');
}
