// what: fdinfo's position and flags; mountinfo has the mount of a directory
// worlds: rw
// variants: dynamic static
// pitfalls: 36
#include "check.h"

static void test(void)
{
    char path[64];
    long pos = -1, flags = -1, mnt = -1;
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0644));
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    char *text = read_file(path);
    char *p = strstr(text, "pos:"), *f = strstr(text, "flags:"), *m = strstr(text, "mnt_id:");
    CHECK(p && f && m);
    CHECK(sscanf(p, "pos: %ld", &pos) == 1 && sscanf(f, "flags: %lo", &flags) == 1 && sscanf(m, "mnt_id: %ld", &mnt) == 1);
    CHECK_EQ(pos, 4);
    CHECK_EQ(flags & (O_ACCMODE | O_APPEND | O_CLOEXEC), O_RDWR | O_APPEND | O_CLOEXEC);
    // statx tells the same mount id, and mountinfo has it with the longest mount point that is a prefix of the path.
    struct statx x;
    CHECK_OK(statx(AT_FDCWD, in("f"), 0, STATX_MNT_ID, &x));
    CHECK(x.stx_mask & STATX_MNT_ID);
    CHECK_EQ(x.stx_mnt_id, mnt);
    char real[PATH_MAX], line[8192], best[PATH_MAX] = "";
    long best_id = -1;
    unsigned maj = 0, min = 0;
    CHECK(realpath(dir, real) != NULL);
    FILE *mi = fopen("/proc/self/mountinfo", "re");
    CHECK(mi != NULL);
    while (fgets(line, sizeof line, mi)) {
        long id, parent;
        unsigned a, b;
        char root[PATH_MAX], point[PATH_MAX];
        CHECK_EQ(sscanf(line, "%ld %ld %u:%u %4095s %4095s", &id, &parent, &a, &b, root, point), 6);
        size_t n = strlen(point);
        if (!strcmp(point, "/") || (!strncmp(real, point, n) && (real[n] == '/' || real[n] == 0)))
            if (n >= strlen(best)) {
                strcpy(best, point);
                best_id = id;
                maj = a;
                min = b;
            }
    }
    fclose(mi);
    CHECK_EQ(best_id, mnt);
    CHECK_EQ(makedev(maj, min), stat_of(in("f")).st_dev);
    // The older tables have that mount point too.
    static const char *const tables[] = {"/proc/mounts", "/proc/self/mounts"};
    for (int i = 0; i < 2; i++) {
        bool found = false;
        mi = fopen(tables[i], "re");
        CHECK(mi != NULL);
        while (fgets(line, sizeof line, mi)) {
            char src[PATH_MAX], point[PATH_MAX];
            CHECK_EQ(sscanf(line, "%4095s %4095s", src, point), 2);
            found |= !strcmp(point, best);
        }
        fclose(mi);
        CHECK(found);
    }
}
