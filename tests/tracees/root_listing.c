// what: the root directory, to which a mount may add a name, is a directory like any other
// worlds: any
// variants: dynamic static threads
// pitfalls: 23, 64
#include "check.h"
#include <dirent.h>

static void test(void)
{
    struct stat st, again;
    int d = CHECK_OK(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), seen = 0;
    CHECK_OK(fstat(d, &st));
    CHECK_OK(stat("/", &again));
    CHECK_EQ(st.st_ino, again.st_ino);
    CHECK_EQ(st.st_dev, again.st_dev);
    DIR *list = fdopendir(CHECK_OK(fcntl(d, F_DUPFD_CLOEXEC, 0)));
    CHECK(list != NULL);
    for (struct dirent *e; (e = readdir(list)) != NULL; seen++)
        CHECK_OK(fstatat(d, e->d_name, &again, AT_SYMLINK_NOFOLLOW));
    CHECK(seen > 5);
    CHECK_OK(closedir(list));
    CHECK_OK(close(CHECK_OK(openat(d, "etc/passwd", O_RDONLY | O_CLOEXEC))));
    CHECK_OK(fchdir(d));
    CHECK_OK(stat("etc/passwd", &again));
    CHECK_OK(stat("./proc/self/../../etc", &again));
}
