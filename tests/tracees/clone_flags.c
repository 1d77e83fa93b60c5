// what: clone3, and processes and threads that share or don't share cwd, umask and descriptors
// worlds: rw
// variants: dynamic static
// pitfalls: 14
#include "check.h"
#include <linux/sched.h>

static long clone3(struct clone_args *a)
{
    return syscall(SYS_clone3, a, sizeof *a);
}

static char real[PATH_MAX];

static void cwd_is(const char *want)
{
    char buf[PATH_MAX];
    CHECK(getcwd(buf, sizeof buf) != NULL);
    CHECK_STR(buf, want);
}

// A thread with a cwd of its own.
static void *apart(void *a)
{
    (void)a;
    CHECK_OK(unshare(CLONE_FS));
    CHECK_OK(chdir(in("b")));
    cwd_is(join(real, "b"));
    write_file("from-thread", "b");
    CHECK_OK(umask(077) == 022 ? 0 : -1);
    return NULL;
}

// A thread with descriptors of its own.
static void *own_table(void *a)
{
    int fd = *(int *)a;
    CHECK_OK(unshare(CLONE_FILES));
    CHECK_OK(close(fd));
    int again = CHECK_OK(open(in("b"), O_RDONLY | O_DIRECTORY));
    CHECK_EQ(again, fd);
    CHECK_OK(close(CHECK_OK(openat(fd, "in-b", O_CREAT | O_WRONLY, 0644))));
    return NULL;
}

static int shares_fs(void *a)
{
    (void)a;
    return chdir(in("c")) || umask(027) != 022;
}

static void test(void)
{
    CHECK(realpath(dir, real) != NULL);
    CHECK_OK(mkdir(in("a"), 0755));
    CHECK_OK(mkdir(in("b"), 0755));
    CHECK_OK(mkdir(in("c"), 0755));
    CHECK_OK(chdir(in("a")));
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, apart, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    cwd_is(join(real, "a"));
    CHECK(exists(in("b/from-thread")) && !exists("from-thread"));
    CHECK_EQ(umask(022), 022);
    int fd = CHECK_OK(open(in("a"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_EQ(pthread_create(&t, NULL, own_table, &fd), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK_OK(close(CHECK_OK(openat(fd, "in-a", O_CREAT | O_WRONLY, 0644))));
    CHECK(exists(in("a/in-a")) && exists(in("b/in-b")) && !exists(in("a/in-b")));

    // A process that shares cwd and umask with us.
    char *stack = CHECK_OK(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    pid_t pid = CHECK_OK(clone(shares_fs, stack + 65536, CLONE_FS | SIGCHLD, NULL));
    wait_ok(pid);
    cwd_is(join(real, "c"));
    CHECK_EQ(umask(022), 027);

    // clone3 with a pidfd.
    int pidfd = -1;
    struct clone_args a = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    pid = (pid_t)clone3(&a);
    if (pid == -1 && errno == ENOSYS)
        return; // a container's profile may refuse it; libc then uses clone
    CHECK_OK(pid);
    if (pid == 0) {
        write_file("by-clone3", "x");
        _exit(3);
    }
    siginfo_t info;
    CHECK_OK(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 3);
    CHECK_CONTENT(in("c/by-clone3"), "x");
    // Shared memory until exec, as vfork.
    volatile int *flag = shared_page();
    struct clone_args v = {.flags = CLONE_VFORK, .exit_signal = SIGCHLD};
    pid = (pid_t)CHECK_OK(clone3(&v));
    if (pid == 0) {
        *flag = 1;
        CHECK_OK(stat(".", &(struct stat){0}));
        _exit(0);
    }
    CHECK_EQ(*flag, 1);
    wait_ok(pid);
    pid_t tids[1] = {1};
    struct clone_args s = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)tids, .set_tid_size = 1};
    CHECK_ERRNO(clone3(&s), EPERM);
    struct clone_args g = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
    CHECK_ERRNO(clone3(&g), EBADF); // a directory, but not of a cgroup
    CHECK_ERRNO(syscall(SYS_clone3, &a, 8), EINVAL);
}
