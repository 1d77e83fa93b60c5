// what: files that are removed or renamed over while open; link counts; no leftovers
// worlds: rw
// variants: dynamic static threads
// pitfalls: 30
#include "check.h"

static void test(void)
{
    struct stat st;
    char buf[16] = "", path[PATH_MAX];
    write_file(in("f"), "one");
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    ino_t ino = stat_of(in("f")).st_ino;
    CHECK_OK(link(in("f"), in("g")));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 2);
    CHECK_OK(unlink(in("f")));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 1);
    CHECK_OK(unlink(in("g")));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(st.st_ino, ino);
    CHECK_EQ(st.st_size, 3);
    CHECK_EQ(count_entries(dir), 0);
    CHECK_EQ(pread(fd, buf, 3, 0), 3);
    CHECK_STR(buf, "one");
    CHECK_EQ(pwrite(fd, "-more", 5, 3), 5);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 8);
    CHECK_OK(fchmod(fd, 0600));
    CHECK_OK(ftruncate(fd, 4));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 0777, 0600);
    CHECK_EQ(st.st_size, 4);
    // A new file of that name is another file.
    write_file(in("f"), "new");
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK(!memcmp(buf, "one-", 4));
    CHECK_CONTENT(in("f"), "new");
    CHECK(stat_of(in("f")).st_ino != ino);
    // It can be opened again through its descriptor, but not get a name again.
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int re = CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
    CHECK_EQ(read(re, buf, 16), 4);
    CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, in("back"), AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_OK(close(fd));
    CHECK_OK(close(re));

    // Renamed over while open.
    int old = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    write_file(in("tmp"), "replaced");
    int fresh = CHECK_OK(open(in("tmp"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(rename(in("tmp"), in("f")));
    CHECK_EQ(read(old, buf, 16), 3);
    CHECK(!memcmp(buf, "new", 3));
    CHECK_OK(fstat(old, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_OK(fstat(fresh, &st));
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(st.st_ino, stat_of(in("f")).st_ino);
    CHECK_CONTENT(in("f"), "replaced");
    CHECK_EQ(count_entries(dir), 1);

    // An open directory that is removed.
    CHECK_OK(mkdir(in("d"), 0755));
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_OK(rmdir(in("d")));
    CHECK_EQ(syscall(SYS_getdents64, d, path, sizeof path) == -1 ? errno : 0, ENOENT);
    CHECK_OK(fstat(d, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK(stat_of(in("d")).st_ino != 0);
    CHECK_ERRNO(openat(d, "x", O_CREAT | O_WRONLY, 0600), ENOENT);
    CHECK_EQ(count_entries(in("d")), 0);
}
