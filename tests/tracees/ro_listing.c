// what: listings: 10,000 entries, long and odd names, seeking, small buffers, types and inode numbers
// worlds: ro
// variants: dynamic static threads
// pitfalls: 25
#include "fixture.h"

static char seen[FIXTURE_MANY];

static void test(void)
{
    static long pos[FIXTURE_MANY + 2];
    static char first[FIXTURE_MANY + 2][8];
    char name[300];
    struct stat st;
    DIR *d = opendir(in("many"));
    CHECK(d != NULL);
    int n = 0, dots = 0, k = 0;
    for (;;) {
        pos[k] = telldir(d);
        struct dirent *e = readdir(d);
        if (!e)
            break;
        snprintf(first[k], sizeof first[k], "%.7s", e->d_name);
        k++;
        if (e->d_name[0] == '.') {
            dots++;
            continue;
        }
        int i = atoi(e->d_name + 1);
        CHECK(e->d_name[0] == 'n' && i >= 0 && i < FIXTURE_MANY && !seen[i]);
        seen[i] = 1;
        CHECK(e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
        if (i % 500 == 0)
            CHECK_EQ(stat_of(in(strcat(strcpy(name, "many/"), e->d_name))).st_ino, e->d_ino);
        n++;
    }
    CHECK_EQ(n, FIXTURE_MANY);
    CHECK_EQ(dots, 2);
    for (int i = 0; i < 50; i++) {
        int at = (i * 7919) % k;
        seekdir(d, pos[at]);
        struct dirent *e = readdir(d);
        CHECK(e != NULL);
        CHECK_STR(e->d_name, first[at]);
    }
    rewinddir(d);
    n = 0;
    while (readdir(d))
        n++;
    CHECK_EQ(n, FIXTURE_MANY + 2);
    closedir(d);
    for (int i = 0; i < FIXTURE_MANY; i += 313) {
        snprintf(name, sizeof name, "many/n%05d", i);
        CHECK_OK(stat(in(name), &st));
        snprintf(name, sizeof name, "many/m%05d", i);
        CHECK_ERRNO(stat(in(name), &st), ENOENT);
    }
    // Long and odd names.
    memset(name, 'x', 255);
    name[255] = 0;
    char longpath[300];
    snprintf(longpath, sizeof longpath, "long/%s", name);
    CHECK_CONTENT(in(longpath), "long\n");
    longpath[strlen(longpath) - 1] = 0;
    CHECK_ERRNO(stat(in(longpath), &st), ENOENT);
    CHECK_EQ(count_entries(in("long")), 1);
    static const char *const odd[] = {"new\nline", "\xff\xfe", " space ", "-dash", "back\\slash", "star*?"};
    CHECK_EQ(count_entries(in("odd")), 6);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "odd/%s", odd[i]);
        CHECK_CONTENT(in(name), "odd\n");
    }
    // One entry at a time.
    int fd = CHECK_OK(open(in("dir"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    char buf[24];
    n = 0;
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, 8), EINVAL);
    for (long r; (r = CHECK_OK(syscall(SYS_getdents64, fd, buf, sizeof buf))) > 0; n++)
        CHECK_EQ(r, 24);
    CHECK_EQ(n, 6); // . .. a b up sub
    // A real type for each.
    d = opendir(dir);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_type != DT_UNKNOWN && strcmp(e->d_name, ".."))
            CHECK_EQ(DTTOIF(e->d_type), stat_of(in(e->d_name)).st_mode & S_IFMT);
    closedir(d);
    // Two readers don't disturb each other.
    DIR *a = opendir(in("many")), *b = opendir(in("many"));
    CHECK(a && b);
    for (int i = 0; i < 3000; i++) {
        struct dirent *x = readdir(a);
        CHECK(x != NULL);
        strcpy(name, x->d_name);
        struct dirent *y = readdir(b);
        CHECK(y != NULL);
        CHECK_STR(y->d_name, name);
    }
    closedir(a);
    closedir(b);
}
