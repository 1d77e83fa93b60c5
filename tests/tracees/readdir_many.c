// what: a directory of 10,000 entries (VIEW_TEST_ENTRIES for more): listed once each, found, removed
// worlds: rw
// variants: dynamic
// pitfalls: 25
#include "check.h"

static void test(void)
{
    const char *env = getenv("VIEW_TEST_ENTRIES");
    int count = env ? atoi(env) : 10000;
    char *seen = calloc((size_t)count, 1), name[32];
    CHECK_OK(mkdir(in("d"), 0755));
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%d", i);
        CHECK_OK(close(CHECK_OK(openat(d, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644))));
    }
    DIR *l = opendir(in("d"));
    CHECK(l != NULL);
    int n = 0;
    for (struct dirent *e; (e = readdir(l)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        int i = atoi(e->d_name + 1);
        CHECK(i >= 0 && i < count && !seen[i]);
        seen[i] = 1;
        n++;
    }
    CHECK_EQ(n, count);
    struct stat st;
    for (int i = 0; i < count; i += 97) {
        snprintf(name, sizeof name, "f%d", i);
        CHECK_OK(fstatat(d, name, &st, 0));
        snprintf(name, sizeof name, "g%d", i);
        CHECK_ERRNO(fstatat(d, name, &st, 0), ENOENT);
    }
    // Removing while reading, as rm does.
    rewinddir(l);
    n = 0;
    for (struct dirent *e; (e = readdir(l)) != NULL;)
        if (e->d_name[0] != '.') {
            CHECK_OK(unlinkat(d, e->d_name, 0));
            n++;
        }
    CHECK_EQ(n, count);
    closedir(l);
    CHECK_OK(rmdir(in("d")));
}
