// what: /proc/self/fd/N, /dev/fd/N, /dev/stdin: readlink and re-open with other flags
// worlds: rw
// variants: dynamic static threads
// pitfalls: 36, 37
#include "check.h"

static char *target(const char *link)
{
    static char buf[PATH_MAX];
    ssize_t n = CHECK_OK(readlink(link, buf, sizeof buf - 1));
    buf[n] = 0;
    return buf;
}

static char *fdlink(const char *form, int fd)
{
    static char b[4][64];
    static int i;
    char *p = b[i++ % 4];
    snprintf(p, sizeof b[0], form, fd);
    return p;
}

static void test(void)
{
    char real[PATH_MAX], buf[16] = "", want[PATH_MAX + 32];
    struct stat st, st2;
    CHECK(realpath(dir, real) != NULL);
    write_file(in("f"), "content");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(symlink("f", in("l")));
    int r = CHECK_OK(open(in("l"), O_RDONLY | O_CLOEXEC));
    CHECK_STR(target(fdlink("/proc/self/fd/%d", r)), join(real, "f"));
    CHECK_STR(target(fdlink("/dev/fd/%d", r)), join(real, "f"));
    CHECK_STR(target(fdlink("/proc/thread-self/fd/%d", r)), join(real, "f"));
    char pid[64];
    snprintf(pid, sizeof pid, "/proc/%d/fd/%d", getpid(), r);
    CHECK_STR(target(pid), join(real, "f"));
    CHECK_OK(lstat(fdlink("/proc/self/fd/%d", r), &st));
    CHECK(S_ISLNK(st.st_mode));
    CHECK_OK(stat(fdlink("/proc/self/fd/%d", r), &st));
    st2 = stat_of(in("f"));
    CHECK_EQ(st.st_ino, st2.st_ino);
    CHECK_EQ(st.st_dev, st2.st_dev);

    // Re-open for writing, appending, truncating: the same file, an offset of its own.
    CHECK_EQ(read(r, buf, 3), 3);
    int w = CHECK_OK(open(fdlink("/proc/self/fd/%d", r), O_RDWR | O_APPEND | O_CLOEXEC));
    CHECK_EQ(write(w, "+", 1), 1);
    CHECK_EQ(lseek(r, 0, SEEK_CUR), 3);
    CHECK_CONTENT(in("f"), "content+");
    int w2 = CHECK_OK(open(fdlink("/dev/fd/%d", r), O_WRONLY | O_TRUNC | O_CLOEXEC));
    CHECK_EQ(stat_of(in("f")).st_size, 0);
    CHECK_EQ(write(w2, "fresh", 5), 5);
    CHECK_ERRNO(read(w2, buf, 1), EBADF);
    CHECK_ERRNO(open(fdlink("/proc/self/fd/%d", r), O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERRNO(open(fdlink("/proc/self/fd/%d", r), O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK_ERRNO(open(fdlink("/proc/self/fd/%d", r), O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(fdlink("/proc/self/fd/%d", 9999), O_RDONLY), ENOENT);
    CHECK_ERRNO(stat(fdlink("/proc/self/fd/%d/x", r), &st), ENOTDIR);
    // The permission is checked anew.
    CHECK_OK(chmod(in("f"), 0400));
    CHECK_ERRNO(open(fdlink("/proc/self/fd/%d", w), O_WRONLY), EACCES);
    CHECK_OK(chmod(fdlink("/proc/self/fd/%d", w), 0644));
    CHECK_EQ(stat_of(in("f")).st_mode & 0777, 0644);

    // Directories, as a prefix of paths.
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_STR(target(fdlink("/proc/self/fd/%d", d)), join(real, "d"));
    write_file(fdlink("/proc/self/fd/%d/inside", d), "via");
    CHECK_CONTENT(in("d/inside"), "via");
    CHECK_CONTENT(fdlink("/proc/self/fd/%d/../f", d), "fresh");
    CHECK_OK(chdir(fdlink("/proc/self/fd/%d", d)));
    CHECK_CONTENT("inside", "via");
    CHECK_STR(target("/proc/self/cwd"), join(real, "d"));
    CHECK_CONTENT("/proc/self/cwd/inside", "via");
    snprintf(pid, sizeof pid, "/proc/%d/cwd/../f", getpid());
    CHECK_CONTENT(pid, "fresh");
    CHECK_STR(target("/proc/self/root"), "/");
    snprintf(want, sizeof want, "/proc/self/root%s/f", real);
    CHECK_CONTENT(want, "fresh");

    // Renamed and removed files show where they are, or were.
    CHECK_OK(rename(in("f"), in("d/g")));
    CHECK_STR(target(fdlink("/proc/self/fd/%d", r)), join(real, "d/g"));
    CHECK_OK(rename(in("d"), in("e")));
    CHECK_STR(target(fdlink("/proc/self/fd/%d", r)), join(real, "e/g"));
    CHECK_STR(target("/proc/self/cwd"), join(real, "e"));
    CHECK_OK(unlink(in("e/g")));
    CHECK_STR(target(fdlink("/proc/self/fd/%d", r)), join(real, "e/g (deleted)"));
    w = CHECK_OK(open(fdlink("/proc/self/fd/%d", r), O_RDWR | O_CLOEXEC));
    CHECK_EQ(read(w, buf, 16), 5);

    // Standard input.
    write_file(in("stdin"), "as stdin");
    int s = CHECK_OK(open(in("stdin"), O_RDONLY));
    CHECK_OK(dup2(s, 0));
    CHECK_EQ(read(0, buf, 3), 3);
    CHECK_CONTENT("/dev/stdin", "as stdin");
    CHECK_CONTENT("/proc/self/fd/0", "as stdin");
    CHECK_EQ(lseek(0, 0, SEEK_CUR), 3);
    // The listing names exactly what is open.
    bool found = false;
    DIR *l = opendir("/proc/self/fd");
    CHECK(l != NULL);
    for (struct dirent *e; (e = readdir(l)) != NULL;)
        if (e->d_name[0] != '.') {
            int fd = atoi(e->d_name);
            CHECK(fcntl(fd, F_GETFD) != -1 || fd > 2);
            found |= fd == s;
        }
    CHECK(found);
    closedir(l);
}
