// what: MAP_SHARED: seen by read(2) of other processes at once, kept after munmap, exit and SIGKILL
// worlds: rw
// variants: dynamic static threads
// pitfalls: 42
#include "check.h"

static void maps_and_exits(void *a)
{
    int fd = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    char *m = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK_OK(close(fd));
    strcpy(m, a);
    if (!strcmp(a, "killed"))
        kill(getpid(), SIGKILL);
}

static void test(void)
{
    char buf[32] = "";
    int fd = CHECK_OK(open(in("f"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_OK(ftruncate(fd, 3 * 4096));
    char *m = CHECK_OK(mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    strcpy(m, "from map");
    CHECK_EQ(pread(fd, buf, 9, 0), 9);
    CHECK_STR(buf, "from map");
    CHECK_EQ(pwrite(fd, "from write", 11, 4096), 11);
    CHECK_STR(m + 4096, "from write");
    // Another open, another process, another mapping.
    int other = CHECK_OK(open(in("f"), O_RDWR | O_CLOEXEC));
    char *m2 = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 4096));
    CHECK_STR(m2, "from write");
    strcpy(m2, "second map");
    CHECK_STR(m + 4096, "second map");
    wait_ok(spawn(maps_and_exits, "exited"));
    CHECK_STR(m, "exited");
    CHECK_CONTENT(in("f"), "exited");
    int st = wait_status(spawn(maps_and_exits, "killed"));
    CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
    CHECK_STR(m, "killed");
    CHECK_OK(msync(m, 3 * 4096, MS_SYNC));
    CHECK_OK(msync(m, 4096, MS_ASYNC));
    CHECK_ERRNO(msync(m + 1, 4096, MS_SYNC), EINVAL);
    CHECK_OK(munmap(m, 3 * 4096));
    CHECK_OK(munmap(m2, 4096));
    CHECK_OK(close(fd));
    CHECK_OK(close(other));
    CHECK_CONTENT(in("f"), "killed");
    fd = CHECK_OK(open(in("f"), O_RDONLY | O_CLOEXEC));
    CHECK_EQ(pread(fd, buf, 11, 4096), 11);
    CHECK_STR(buf, "second map");
    // Mapped, then written by rename-over: the mapping stays with the old file.
    m = CHECK_OK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
    write_file(in("new"), "new file");
    CHECK_OK(rename(in("new"), in("f")));
    CHECK_STR(m, "killed");
    CHECK_CONTENT(in("f"), "new file");
    // Access modes.
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    CHECK_ERRNO(mprotect(m, 4096, PROT_READ | PROT_WRITE), EACCES);
    int w = CHECK_OK(open(in("f"), O_WRONLY | O_CLOEXEC));
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, w, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
    // A write of a page into the file it maps.
    int s = CHECK_OK(open(in("self"), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
    CHECK_EQ(write(s, "abcdefgh", 8), 8);
    m = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0));
    CHECK_EQ(pwrite(s, m, 4, 8), 4);
    CHECK_CONTENT(in("self"), "abcdefghabcd");
}
