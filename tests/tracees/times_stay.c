// what: the times of a file stay as they are while nobody changes it, however late what was written goes to the disk
// worlds: rw
// variants: dynamic threads
// pitfalls: none
#include "check.h"

static char text[40000];

static void same(const char *path, const struct stat *before)
{
    struct stat now = stat_of(path);
    CHECK_EQ(now.st_size, before->st_size);
    CHECK_EQ(now.st_mtim.tv_sec, before->st_mtim.tv_sec);
    CHECK_EQ(now.st_mtim.tv_nsec, before->st_mtim.tv_nsec);
    CHECK_EQ(now.st_ctim.tv_sec, before->st_ctim.tv_sec);
    CHECK_EQ(now.st_ctim.tv_nsec, before->st_ctim.tv_nsec);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

// Looks again and again while the file is written back.
static void stays(const char *path, int milliseconds)
{
    struct stat before = stat_of(path);
    for (int i = 0; i < milliseconds * 4; i++) {
        same(path, &before);
        usleep(200);
    }
}

static void test(void)
{
    char path[PATH_MAX];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < loops(20); i++) {
        snprintf(path, sizeof path, "%s/f%d", dir, i);
        // Written and closed.
        int fd = CHECK_OK(open(path, O_CREAT | O_RDWR | O_EXCL, 0644));
        CHECK_EQ(write(fd, text, sizeof text), (long)sizeof text);
        if (i % 4 == 1) {
            // Still open: only part of it is on its way.
            CHECK_OK(sync_file_range(fd, 0, 8192, SYNC_FILE_RANGE_WRITE));
            stays(path, 5);
        }
        if (i % 4 == 2) {
            stays(path, 70);
            CHECK_OK(fsync(fd));
        }
        if (i % 8 == 4) {
            // As cp -p and tar leave it.
            struct timespec times[2] = {{1000000000, 5}, {1000000000, 7}};
            CHECK_OK(futimens(fd, times));
            sleep_ms(2);
            CHECK_OK(fchmod(fd, 0640));
        }
        CHECK_OK(close(fd));
        struct stat written = stat_of(path);
        if (i % 4 == 3) {
            // A change of the inode after the last write is the last one for good.
            sleep_ms(5);
            CHECK_OK(chmod(path, 0600));
            struct stat changed = stat_of(path);
            CHECK(is_later(&changed.st_ctim, &written.st_ctim));
            CHECK_EQ(changed.st_mtim.tv_nsec, written.st_mtim.tv_nsec);
            stays(path, 40);
            same(path, &changed);
        } else {
            stays(path, 40);
            same(path, &written);
        }
        CHECK_OK(unlink(path));
    }
}
