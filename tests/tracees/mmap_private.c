// what: MAP_PRIVATE, mappings at far offsets, executable mappings, populate
// worlds: rw
// variants: dynamic static threads
// pitfalls: 42, 49
#include "check.h"

static void test(void)
{
    char buf[16] = "";
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_EQ(write(fd, "original", 8), 8);
    CHECK_OK(ftruncate(fd, 8192));
    char *p = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    CHECK_STR(p, "original");
    p[0] = 'X';
    CHECK_EQ(pread(fd, buf, 8, 0), 8);
    CHECK_STR(buf, "original");
    CHECK_EQ(pwrite(fd, "later", 5, 4096), 5);
    CHECK(!memcmp(p + 4096, "later", 5)); // not yet copied: shows the file, as Linux does
    p[4096] = 'P';
    CHECK_EQ(pwrite(fd, "again", 5, 4096), 5);
    CHECK(!memcmp(p + 4096, "Pater", 5));
    // Read-only descriptors may be mapped private and writable.
    int r = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    char *q = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, r, 0));
    q[0] = 'Q';
    CHECK_EQ(p[0], 'X');
    CHECK_OK(close(r));
    CHECK_STR(q, "Qriginal");
    // The file goes, the mapping stays.
    CHECK_OK(unlink(in("f")));
    CHECK_OK(close(fd));
    CHECK(!memcmp(p + 1, "riginal", 7));

    // At offsets of a multi-gigabyte sparse file.
    fd = CHECK_OK(open(in("big"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    static const off_t far[] = {1L << 31, (1L << 32) + 4096, 6L << 30};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pwrite(fd, "far", 4, far[i] + 8), 4);
        char *m = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, far[i]));
        CHECK_STR(m + 8, "far");
        m[8] = 'F';
        CHECK_EQ(pread(fd, buf, 4, far[i] + 8), 4);
        CHECK_STR(buf, "Far");
        CHECK_OK(munmap(m, 4096));
    }
    // Code: mov eax, 42; ret. Read in from a file, executed.
    int c = CHECK_OK(open(in("code"), O_CREAT | O_RDWR | O_CLOEXEC, 0755));
    CHECK_EQ(write(c, "\xb8\x2a\0\0\0\xc3", 6), 6);
    int (*f)(void) = (int (*)(void))CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, c, 0));
    CHECK_EQ(f(), 42);
    CHECK_EQ(pwrite(c, "\x2b", 1, 1), 1);
    CHECK_EQ(f(), 43);
    f = (int (*)(void))CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, c, 0));
    ((char *)f)[1] = 44;
    CHECK_EQ(f(), 44);
}
