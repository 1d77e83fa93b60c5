// what: /proc/self/maps names mapped files as the program knows them; fdinfo; mountinfo
// worlds: rw
// variants: dynamic static
// pitfalls: 36
#include "check.h"

// The line of /proc/self/maps that contains the address.
static char *line_of(const char *file, uintptr_t at)
{
    static char line[PATH_MAX + 128];
    FILE *f = fopen(file, "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) {
        unsigned long lo, hi;
        if (sscanf(line, "%lx-%lx", &lo, &hi) == 2 && at >= lo && at < hi) {
            fclose(f);
            line[strcspn(line, "\n")] = 0;
            return line;
        }
    }
    check_fail(__FILE__, __LINE__, file, "no line for %lx", at);
}

static void test(void)
{
    char real[PATH_MAX], path[PATH_MAX], *line;
    unsigned long lo, hi, off, ino;
    unsigned maj, min;
    char perm[8];
    CHECK(realpath(dir, real) != NULL);
    int fd = CHECK_OK(open(in("mapped file"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_OK(ftruncate(fd, 16384));
    char *m = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096));
    line = line_of("/proc/self/maps", (uintptr_t)m);
    CHECK_EQ(sscanf(line, "%lx-%lx %7s %lx %x:%x %lu", &lo, &hi, perm, &off, &maj, &min, &ino), 7);
    CHECK_EQ(lo, (uintptr_t)m);
    CHECK_EQ(hi, (uintptr_t)m + 8192);
    CHECK_STR(perm, "rw-s");
    CHECK_EQ(off, 4096);
    CHECK_EQ(ino, stat_of(in("mapped file")).st_ino);
    CHECK_EQ(makedev(maj, min), stat_of(in("mapped file")).st_dev);
    CHECK(strchr(line, '/') != NULL);
    CHECK_STR(strchr(line, '/'), join(real, "mapped file"));
    char *p = CHECK_OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
    line = line_of("/proc/self/maps", (uintptr_t)p);
    CHECK(strstr(line, " r--p ") != NULL);
    CHECK_STR(strchr(line, '/'), join(real, "mapped file"));
    line = line_of("/proc/self/smaps", (uintptr_t)m);
    CHECK_STR(strchr(line, '/'), join(real, "mapped file"));
    snprintf(path, sizeof path, "/proc/%d/maps", getpid());
    line = line_of(path, (uintptr_t)m);
    CHECK_STR(strchr(line, '/'), join(real, "mapped file"));
    CHECK_OK(unlink(in("mapped file")));
    line = line_of("/proc/self/maps", (uintptr_t)m);
    CHECK_STR(strchr(line, '/'), join(real, "mapped file (deleted)"));
    // Our own program is named, and is what exe says.
    ssize_t n = CHECK_OK(readlink("/proc/self/exe", path, sizeof path - 1));
    path[n] = 0;
    line = line_of("/proc/self/maps", (uintptr_t)&test);
    CHECK_STR(strchr(line, '/'), path);
}
