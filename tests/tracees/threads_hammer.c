// what: 64 threads that make the same calls from the same instruction at the same time
// worlds: rw
// variants: dynamic static
// pitfalls: 12, 52
#include "check.h"

enum { N = 64 };
static int each;

static void *hammer(void *a)
{
    char mine[32], moved[32];
    struct stat st;
    snprintf(mine, sizeof mine, "f%ld", (long)a);
    snprintf(moved, sizeof moved, "g%ld", (long)a);
    for (int i = 0; i < each; i++) {
        int fd = CHECK_OK(open(in(mine), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
        CHECK_EQ(write(fd, mine, strlen(mine)), strlen(mine));
        CHECK_OK(close(fd));
        CHECK_OK(rename(in(mine), in(moved)));
        CHECK_CONTENT(in(moved), mine);
        CHECK_OK(stat(in("shared"), &st));
        CHECK_EQ(st.st_size, 6);
        CHECK_ERRNO(stat(in(mine), &st), ENOENT);
        CHECK_OK(unlink(in(moved)));
        // One of all wins a name that all want.
        fd = open(in("contended"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        CHECK(fd >= 0 || errno == EEXIST);
        if (fd >= 0) {
            CHECK_OK(close(fd));
            CHECK_OK(unlink(in("contended"))); // nobody else removes it
        }
    }
    return NULL;
}

static void test(void)
{
    pthread_t t[N];
    write_file(in("shared"), "shared");
    each = loops(20);
    for (long i = 0; i < N; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, hammer, (void *)i), 0);
    for (int i = 0; i < N; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    CHECK_EQ(count_entries(dir), 1);
}
