// what: open's flags: O_DIRECTORY, O_CREAT, O_EXCL, O_TRUNC and what they refuse
// worlds: rw
// variants: dynamic static threads
// pitfalls: 27
#include "check.h"

static void closed(int fd)
{
    CHECK_OK(close(fd));
}

static void test(void)
{
    struct stat st;
    write_file(in("f"), "data");
    CHECK_OK(mkdir(in("d"), 0755));
    CHECK_OK(symlink("f", in("l")));
    CHECK_OK(symlink("made", in("dang")));
    CHECK_OK(symlink("d", in("ld")));

    CHECK_ERRNO(open(in("f"), O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(in("l"), O_RDONLY | O_DIRECTORY), ENOTDIR);
    closed(CHECK_OK(open(in("ld"), O_RDONLY | O_DIRECTORY)));
    CHECK_ERRNO(open(in("d"), O_WRONLY), EISDIR);
    CHECK_ERRNO(open(in("d"), O_RDWR), EISDIR);
    CHECK_ERRNO(open(in("d"), O_RDONLY | O_TRUNC), EISDIR);
    CHECK_ERRNO(open(in("d"), O_RDONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open(in("d"), O_RDONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_ERRNO(open(in("n"), O_RDONLY | O_CREAT | O_DIRECTORY, 0644), EINVAL);
    CHECK_ERRNO(open(in("f"), O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_ERRNO(open(in("l"), O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_ERRNO(open(in("dang"), O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_ERRNO(open(in("dang"), O_CREAT | O_NOFOLLOW | O_WRONLY, 0644), ELOOP);
    CHECK_ERRNO(open(in("dang"), O_RDONLY), ENOENT);
    CHECK(!exists(in("made")));
    closed(CHECK_OK(open(in("dang"), O_CREAT | O_WRONLY, 0600)));
    CHECK_EQ(stat_of(in("made")).st_mode, S_IFREG | 0600);
    CHECK_ERRNO(open(in("nope/x"), O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERRNO(open(in("f/x"), O_CREAT | O_WRONLY, 0644), ENOTDIR);
    CHECK_ERRNO(open(in("."), O_CREAT | O_WRONLY, 0644), EISDIR);
    CHECK_ERRNO(open(in("d/.."), O_CREAT | O_RDONLY, 0644), EISDIR);

    // O_CREAT on an existing file: its mode stays, its content too.
    CHECK_OK(chmod(in("f"), 0640));
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_CLOEXEC, 0777));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 07777, 0640);
    CHECK_EQ(st.st_size, 4);
    // O_TRUNC empties it for those who have it open; with O_RDONLY too (Linux does).
    closed(CHECK_OK(open(in("f"), O_WRONLY | O_TRUNC)));
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(write(fd, "again", 5), 5);
    closed(CHECK_OK(open(in("f"), O_RDONLY | O_TRUNC)));
    CHECK_EQ(stat_of(in("f")).st_size, 0);
    // No write permission: no O_TRUNC, whatever the access mode.
    CHECK_OK(pwrite(fd, "keep", 4, 0));
    CHECK_OK(chmod(in("f"), 0444));
    CHECK_ERRNO(open(in("f"), O_RDONLY | O_TRUNC), EACCES);
    CHECK_ERRNO(open(in("f"), O_WRONLY), EACCES);
    CHECK_EQ(stat_of(in("f")).st_size, 4);
    // A new file is open as asked even where its mode forbids it.
    int w = CHECK_OK(open(in("sealed"), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0));
    CHECK_EQ(write(w, "x", 1), 1);
    CHECK_ERRNO(open(in("sealed"), O_RDONLY), EACCES);
    // A directory without write permission.
    CHECK_OK(chmod(in("d"), 0555));
    CHECK_ERRNO(open(in("d/new"), O_CREAT | O_WRONLY, 0644), EACCES);
    CHECK_ERRNO(mkdir(in("d/new"), 0755), EACCES);
    CHECK_ERRNO(unlink(in("d/new")), ENOENT);
    CHECK_OK(chmod(in("d"), 0755));
    // Access modes are enforced per descriptor; the flags can be read back.
    int r = CHECK_OK(open(in("made"), O_RDONLY | O_CLOEXEC)), o = CHECK_OK(open(in("made"), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    char c;
    CHECK_ERRNO(write(r, "x", 1), EBADF);
    CHECK_ERRNO(read(o, &c, 1), EBADF);
    CHECK_EQ(fcntl(r, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDONLY);
    CHECK_EQ(fcntl(o, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
    int s = CHECK_OK(open(in("made"), O_RDWR | O_SYNC | O_CLOEXEC));
    CHECK_EQ(fcntl(s, F_GETFL) & O_SYNC, O_SYNC);
    // Access mode 3: only for ioctls.
    int x = CHECK_OK(open(in("made"), O_ACCMODE | O_CLOEXEC));
    CHECK_ERRNO(read(x, &c, 1), EBADF);
    CHECK_ERRNO(write(x, "x", 1), EBADF);
    // creat(2).
    closed(CHECK_OK(creat(in("created"), 0622)));
    CHECK_EQ(stat_of(in("created")).st_mode & 07777, 0600);
}
