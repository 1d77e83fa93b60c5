// what: umask(2) counts for the very next file, whoever changed it: this thread, another one, a process that shares it, or none that does not
// worlds: rw
// variants: dynamic static threads
// pitfalls: 14
#include "check.h"

static int made;

// Makes a file, a directory and a FIFO; their modes must be what `mask` leaves.
static void makes(mode_t mask)
{
    char name[32];
    struct stat s;
    snprintf(name, sizeof name, "file-%d", made);
    int fd = CHECK_OK(open(in(name), O_CREAT | O_EXCL | O_WRONLY, 0777));
    CHECK_OK(fstat(fd, &s));
    CHECK_EQ(s.st_mode & 07777, 0777 & ~mask);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(in(name)));
    snprintf(name, sizeof name, "dir-%d", made);
    CHECK_OK(mkdir(in(name), 0777));
    CHECK_OK(stat(in(name), &s));
    CHECK_EQ(s.st_mode & 07777, 0777 & ~mask);
    CHECK_OK(rmdir(in(name)));
    snprintf(name, sizeof name, "fifo-%d", made++);
    CHECK_OK(mkfifo(in(name), 0666));
    CHECK_OK(stat(in(name), &s));
    CHECK_EQ(s.st_mode & 07777, 0666 & ~mask);
    CHECK_OK(unlink(in(name)));
}

static const mode_t masks[] = {022, 077, 0, 027, 0777, 02};
#define MASKS (sizeof masks / sizeof masks[0])

static pthread_barrier_t barrier;

// Changes the mask that all threads have, when it is asked to.
static void *changes(void *a)
{
    (void)a;
    for (int i = 0; i < 60; i++) {
        pthread_barrier_wait(&barrier);
        umask(masks[i % MASKS]);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

// Makes files with whatever mask there is, so that masks are asked for all the time.
static void *goes_on(void *stop)
{
    for (int i = 0; !*(volatile int *)stop; i++) {
        char name[32];
        snprintf(name, sizeof name, "noise-%d", i);
        CHECK_OK(close(CHECK_OK(open(in(name), O_CREAT | O_EXCL | O_WRONLY, 0666))));
        CHECK_OK(unlink(in(name)));
    }
    return NULL;
}

static int shares(void *mask)
{
    umask((mode_t)(uintptr_t)mask);
    return 0;
}

static void test(void)
{
    for (int i = 0; i < 30; i++) {
        umask(masks[i % MASKS]);
        makes(masks[i % MASKS]);
        makes(masks[i % MASKS]);
    }

    // A child has its parent's, and then one of its own.
    umask(027);
    makes(027);
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        made = 1000;
        makes(027);
        umask(0);
        makes(0);
        _exit(0);
    }
    wait_ok(pid);
    makes(027);

    // One that shares it and ends at once; numbers of processes come again.
    char *stack = CHECK_OK(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < 30; i++) {
        mode_t mask = masks[i % MASKS];
        pid = CHECK_OK(clone(shares, stack + 65536, CLONE_FS | SIGCHLD, (void *)(uintptr_t)mask));
        wait_ok(pid);
        makes(mask);
    }

    // Another thread, while a third makes files.
    int stop = 0;
    pthread_t changer, other;
    CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
    CHECK_EQ(pthread_create(&changer, NULL, changes, NULL), 0);
    CHECK_EQ(pthread_create(&other, NULL, goes_on, &stop), 0);
    for (int i = 0; i < 60; i++) {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        makes(masks[i % MASKS]);
    }
    stop = 1;
    CHECK_EQ(pthread_join(changer, NULL), 0);
    CHECK_EQ(pthread_join(other, NULL), 0);
    umask(022);
}
