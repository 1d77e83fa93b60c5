// what: which calls move which of atime, mtime and ctime
// worlds: rw
// variants: dynamic static
// pitfalls: 31
#include "check.h"

static struct stat before;
static const char *watched;

static void mark(const char *path)
{
    watched = path;
    before = stat_of(path);
    sleep_ms(20);
}

static int later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

#define MOVED(m, c)                                                                                                              \
    do {                                                                                                                         \
        struct stat s = stat_of(watched);                                                                                        \
        CHECK_EQ(later(s.st_mtim, before.st_mtim), m);                                                                           \
        CHECK_EQ(later(s.st_ctim, before.st_ctim), c);                                                                           \
    } while (0)

static void test(void)
{
    static char f[PATH_MAX], d[PATH_MAX];
    strcpy(f, in("d/f"));
    strcpy(d, in("d"));
    CHECK_OK(mkdir(d, 0755));
    time_t now = time(NULL);
    mark(d);
    write_file(f, "x");
    MOVED(1, 1);
    struct stat st = stat_of(f);
    CHECK(labs(st.st_mtim.tv_sec - now) <= 2 && labs(st.st_atim.tv_sec - now) <= 2);
    mark(d);
    write_file(f, "yy"); // an existing file: the directory doesn't change
    CHECK_OK(stat(f, &st));
    MOVED(0, 0);
    mark(f);
    int fd = CHECK_OK(open(f, O_RDWR | O_CLOEXEC));
    MOVED(0, 0);
    CHECK_EQ(write(fd, "z", 1), 1);
    MOVED(1, 1);
    mark(f);
    CHECK_EQ(write(fd, "", 0), 0);
    MOVED(0, 0);
    CHECK_OK(ftruncate(fd, 1));
    MOVED(1, 1);
    mark(f);
    CHECK_OK(truncate(f, 0));
    MOVED(1, 1);
    mark(f);
    CHECK_OK(close(CHECK_OK(open(f, O_WRONLY | O_TRUNC))));
    MOVED(1, 1);
    mark(f);
    CHECK_OK(chmod(f, 0600));
    MOVED(0, 1);
    mark(f);
    CHECK_OK(link(f, in("d/g")));
    MOVED(0, 1);
    mark(f);
    CHECK_OK(unlink(in("d/g")));
    MOVED(0, 1);
    mark(f);
    CHECK_OK(rename(f, in("d/h")));
    CHECK_OK(rename(in("d/h"), f));
    MOVED(0, 1);
    mark(f);
    struct timespec t[2] = {{1, 0}, {2, 0}};
    CHECK_OK(utimensat(AT_FDCWD, f, t, 0));
    st = stat_of(f);
    CHECK_EQ(st.st_mtim.tv_sec, 2);
    CHECK(later(st.st_ctim, before.st_ctim));
    // Directories: every change of an entry, and only that.
    mark(d);
    CHECK_OK(rename(f, in("d/h")));
    MOVED(1, 1);
    mark(d);
    CHECK_OK(mkdir(in("d/sub"), 0755));
    MOVED(1, 1);
    mark(d);
    write_file(in("d/sub/x"), "x");
    MOVED(0, 0);
    CHECK_OK(unlink(in("d/sub/x")));
    CHECK_OK(rmdir(in("d/sub")));
    MOVED(1, 1);
    mark(d);
    CHECK_OK(symlink("x", in("d/l")));
    MOVED(1, 1);
    mark(d);
    CHECK_EQ(rmdir(in("d")) == -1 && errno == ENOTEMPTY, 1);
    CHECK_EQ(mkdir(in("d/l"), 0755) == -1 && errno == EEXIST, 1);
    MOVED(0, 0);
    // A read: no change of mtime.
    mark(in("d/h"));
    char c;
    CHECK_EQ(pread(fd, &c, 1, 0), 0);
    struct stat s = stat_of(watched);
    CHECK_EQ(s.st_mtim.tv_sec, 2);
    CHECK_EQ(s.st_size, 0);
}
