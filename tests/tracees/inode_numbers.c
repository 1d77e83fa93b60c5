// what: inode numbers: stable, unique, the same by every way; one device
// worlds: rw
// variants: dynamic static threads
// pitfalls: 31
#include "check.h"

static int by_number(const void *a, const void *b)
{
    ino_t x = *(const ino_t *)a, y = *(const ino_t *)b;
    return x < y ? -1 : x > y;
}

static void test(void)
{
    enum { N = 300 };
    static ino_t ino[N], sorted[N];
    char name[32];
    struct stat st;
    dev_t dev = stat_of(dir).st_dev;
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "n%d", i);
        if (i % 3 == 0)
            CHECK_OK(mkdir(in(name), 0755));
        else if (i % 3 == 1)
            write_file(in(name), name);
        else
            CHECK_OK(symlink(name, in(name)));
        st = stat_of(in(name));
        CHECK_EQ(st.st_dev, dev);
        CHECK(st.st_ino != 0);
        ino[i] = sorted[i] = st.st_ino;
    }
    qsort(sorted, N, sizeof *sorted, by_number);
    for (int i = 1; i < N; i++)
        CHECK(sorted[i] != sorted[i - 1]);

    // The listing gives the same numbers, and types.
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    int seen = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        st = stat_of(in(e->d_name));
        if (!strcmp(e->d_name, "..")) // where a mount begins, the listing may know another number
            continue;
        CHECK_EQ(e->d_ino, st.st_ino);
        if (e->d_type != DT_UNKNOWN)
            CHECK_EQ(DTTOIF(e->d_type), st.st_mode & S_IFMT);
        if (e->d_name[0] == 'n') {
            CHECK_EQ(e->d_ino, ino[atoi(e->d_name + 1)]);
            seen++;
        }
    }
    CHECK_EQ(seen, N);
    closedir(d);

    // By descriptor, after a rename, a write, a chmod; a hard link is the same file.
    int fd = CHECK_OK(open(in("n1"), O_RDWR | O_CLOEXEC));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_ino, ino[1]);
    CHECK_EQ(st.st_dev, dev);
    CHECK_OK(rename(in("n1"), in("n0/moved")));
    CHECK_OK(chmod(in("n0/moved"), 0600));
    CHECK_EQ(write(fd, "longer than before", 18), 18);
    CHECK_EQ(stat_of(in("n0/moved")).st_ino, ino[1]);
    CHECK_OK(link(in("n0/moved"), in("hard")));
    CHECK_EQ(stat_of(in("hard")).st_ino, ino[1]);
    CHECK_EQ(stat_of(in("hard")).st_nlink, 2);
    CHECK_EQ(stat_of(in("hard")).st_size, 18);
    int other = CHECK_OK(open(in("hard"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(fstat(other, &st));
    CHECK_EQ(st.st_ino, ino[1]);
    CHECK_EQ(st.st_nlink, 2);
    // "." and ".." of directories.
    CHECK_EQ(stat_of(in("n3/.")).st_ino, ino[3]);
    CHECK_EQ(stat_of(in("n3/..")).st_ino, stat_of(dir).st_ino);
}
