// what: changes on a read-only mount: EROFS, and what comes before it
// worlds: ro
// variants: dynamic static threads
// pitfalls: 27, 67
#include "fixture.h"
#include <sys/xattr.h>

// On a read-only mount: EROFS. Natively the tree is writable: only errors that come first can be compared.
static void test(void)
{
    struct stat before = stat_of(in("file"));
    CHECK_OK(close(CHECK_OK(open(in("file"), O_RDONLY | O_CREAT, 0644))));
    CHECK_ERRNO(open(in("file"), O_RDONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_ERRNO(open(in("dir"), O_WRONLY), EISDIR);
    CHECK_ERRNO(open(in("dir"), O_RDONLY | O_CREAT, 0644), EISDIR);
    CHECK_ERRNO(open(in("nope/x"), O_WRONLY | O_CREAT, 0644), ENOENT);
    CHECK_ERRNO(open(in("file/x"), O_WRONLY | O_CREAT, 0644), ENOTDIR);
    CHECK_ERRNO(open(in("nope"), O_WRONLY), ENOENT);
    CHECK_ERRNO(mkdir(in("dir"), 0755), EEXIST);
    CHECK_ERRNO(mkdir(in("nope/x"), 0755), ENOENT);
    CHECK_ERRNO(unlink(in("nope/x")), ENOENT);
    CHECK_ERRNO(rename(in("nope/x"), in("x")), ENOENT);
    CHECK_ERRNO(symlink("x", in("link")), EEXIST);
    CHECK_ERRNO(link(in("file"), in("hard1")), EEXIST);
    CHECK_ERRNO(mknod(in("fifo"), S_IFIFO | 0600, 0), EEXIST);
    CHECK_ERRNO(chmod(in("nope"), 0600), ENOENT);
    CHECK_ERRNO(truncate(in("dir"), 0), EISDIR);
    CHECK_ERRNO(truncate(in("nope"), 0), ENOENT);
    CHECK_ERRNO(truncate(in("file"), -1), EINVAL);
    CHECK_ERRNO(rmdir(in("dir/.")), EINVAL);
    CHECK_ERRNO(rename(in("dir/."), in("x")), EBUSY);
    if (!is_read_only()) {
        CHECK_OK(access(in("file"), W_OK));
        CHECK_OK(close(CHECK_OK(open(in("file"), O_RDWR))));
        return;
    }
    CHECK_ERRNO(open(in("file"), O_WRONLY), EROFS);
    CHECK_ERRNO(open(in("file"), O_RDWR), EROFS);
    CHECK_ERRNO(open(in("file"), O_RDONLY | O_TRUNC), EROFS);
    CHECK_ERRNO(open(in("link"), O_WRONLY | O_APPEND), EROFS);
    CHECK_ERRNO(open(in("new"), O_WRONLY | O_CREAT, 0644), EROFS);
    CHECK_ERRNO(open(in("new"), O_RDONLY | O_CREAT | O_EXCL, 0644), EROFS);
    CHECK_ERRNO(open(dir, O_TMPFILE | O_RDWR, 0600), EROFS);
    CHECK_ERRNO(mkdir(in("new"), 0755), EROFS);
    CHECK_ERRNO(rmdir(in("dir")), EROFS);
    CHECK_ERRNO(rmdir(in("nope")), EROFS);
    CHECK_ERRNO(unlink(in("file")), EROFS);
    CHECK_ERRNO(unlink(in("nope")), EROFS);
    CHECK_ERRNO(rename(in("file"), in("new")), EROFS);
    CHECK_ERRNO(rename(in("nope"), in("new")), EROFS);
    CHECK_ERRNO(symlink("x", in("new")), EROFS);
    CHECK_ERRNO(link(in("file"), in("new")), EROFS);
    CHECK_ERRNO(mkfifo(in("new"), 0600), EROFS);
    CHECK_ERRNO(chmod(in("file"), 0600), EROFS);
    CHECK_ERRNO(chown(in("file"), geteuid(), -1), EROFS);
    CHECK_ERRNO(truncate(in("file"), 0), EROFS);
    CHECK_ERRNO(utimensat(AT_FDCWD, in("file"), NULL, 0), EROFS);
    CHECK_ERRNO(setxattr(in("file"), "user.x", "x", 1, 0), EROFS);
    CHECK_ERRNO(removexattr(in("file"), "user.test"), EROFS);
    CHECK_ERRNO(access(in("file"), W_OK), EROFS);
    CHECK_ERRNO(access(dir, W_OK), EROFS);
    CHECK_OK(access(in("file"), R_OK));
    int f = CHECK_OK(open(in("file"), O_RDONLY | O_CLOEXEC)), d = CHECK_OK(open(in("dir"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(fchmod(f, 0600), EROFS);
    CHECK_ERRNO(fchown(f, geteuid(), -1), EROFS);
    CHECK_ERRNO(futimens(f, NULL), EROFS);
    CHECK_ERRNO(fsetxattr(f, "user.x", "x", 1, 0), EROFS);
    CHECK_ERRNO(openat(d, "new", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_ERRNO(mkdirat(d, "new", 0755), EROFS);
    CHECK_ERRNO(unlinkat(d, "a", 0), EROFS);
    CHECK_ERRNO(renameat(d, "a", d, "new"), EROFS);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", f);
    CHECK_ERRNO(open(link, O_RDWR), EROFS);
    CHECK_ERRNO(rename(outside("x"), in("new")), errno == EROFS ? EROFS : EXDEV);
    // FIFOs and sockets are no files: opening them for writing is allowed.
    int p = CHECK_OK(open(in("fifo"), O_RDWR | O_CLOEXEC));
    CHECK_EQ(write(p, "x", 1), 1);
    CHECK_OK(access(in("fifo"), W_OK));
    struct stat after = stat_of(in("file"));
    CHECK(before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_mode == after.st_mode && before.st_size == after.st_size);
    CHECK(!exists(in("new")) && !exists(in("dir/new")));
}
