/* What the tests of launch and scalpel run inside a view. One mode a run; exit status 0 means that all held. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
    (void)number;
    alarms++;
}

static void arm(int flags, long first_us, long every_us) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {0, first_us}, .it_interval = {0, every_us}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static int fail(const char *what) {
    fprintf(stderr, "tracee: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Prints the file. */
static int mode_cat(const char *path) {
    char buffer[256];
    int file = open(path, O_RDONLY);
    if (file < 0)
        return fail(path);
    ssize_t count = read(file, buffer, sizeof buffer);
    return count >= 0 && write(1, buffer, count) == count ? 0 : fail("read");
}

/* The registers and the stack below the red zone must be as they were: the checksum is made of both. */
static int mode_intact(const char *path) {
    volatile unsigned char below[64];
    register long a asm("r12") = 0x1212, b asm("r13") = 0x1313, c asm("r15") = 0x1515;
    long result, r9_after, r8_after, r10_after, rdi_after;
    memset((void *)below, 0x5a, sizeof below);
    register long r10 asm("r10") = 0x1010, r8 asm("r8") = 0x88, r9 asm("r9") = 0x99;
    asm volatile("syscall"
                 : "=a"(result), "+r"(r10), "+r"(r8), "+r"(r9), "=D"(rdi_after)
                 : "0"(80L), "D"(path), "S"(0x66L), "d"(0xddL), "r"(a), "r"(b), "r"(c)
                 : "rcx", "r11", "memory");
    r10_after = r10, r8_after = r8, r9_after = r9;
    for (size_t i = 0; i < sizeof below; i++)
        if (below[i] != 0x5a)
            return 2;
    if (result != 0 || rdi_after != (long)path || r10_after != 0x1010 || r8_after != 0x88 || r9_after != 0x99)
        return 3;
    return 0;
}

/* Enters a directory, prints a file in it by a relative name. */
static int mode_chdir(const char *path) {
    return chdir(path) < 0 ? fail(path) : mode_cat("inside");
}

/* Opens a FIFO that nobody writes: the handler without SA_RESTART makes it EINTR. */
static int mode_fifo_eintr(const char *path) {
    arm(0, 100000, 0);
    errno = 0;
    int file = open(path, O_RDONLY);
    return file == -1 && errno == EINTR && alarms == 1 ? 0 : fail("fifo_eintr");
}

/* With SA_RESTART the open goes on; a writer comes after three alarms. */
static int mode_fifo_restart(const char *path) {
    pid_t writer = fork();
    if (writer == 0) {
        usleep(350000);
        int file = open(path, O_WRONLY);
        _exit(file >= 0 && write(file, "w", 1) == 1 ? 0 : 1);
    }
    arm(SA_RESTART, 100000, 100000);
    char byte = 0;
    int file = open(path, O_RDONLY);
    struct itimerval none = {0};
    setitimer(ITIMER_REAL, &none, NULL);
    int status = 1;
    if (file < 0 || read(file, &byte, 1) != 1 || byte != 'w' || alarms < 2)
        return fail("fifo_restart");
    waitpid(writer, &status, 0);
    return status;
}

/* Waits in the open of a FIFO for ever. */
static int mode_fifo_wait(const char *path) {
    write(1, "waiting\n", 8);
    return open(path, O_RDONLY) < 0;
}

/* An alarm every 100 us, SA_RESTART: no call may fail, none may be done twice. */
static int mode_storm(const char *path) {
    arm(SA_RESTART, 100, 100);
    for (int i = 0; i < 2000; i++) {
        if (chdir(path) < 0)
            return fail("chdir");
        int file = open(path, O_PATH | O_DIRECTORY);
        if (file < 0)
            return fail("open");
        close(file);
    }
    return alarms > 10 ? 0 : 1;
}

static void *hammer(void *path) {
    for (int i = 0; i < 500; i++)
        if (chdir(path) < 0)
            return path;
    return NULL;
}

/* Eight threads at once. */
static int mode_threads(const char *path) {
    pthread_t threads[8];
    void *result;
    int bad = 0;
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)path);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &result);
        bad |= result != NULL;
    }
    return bad;
}

/* Executes the rest of the arguments. */
static int mode_exec(char **arguments) {
    execve(arguments[0], arguments, environ);
    return fail(arguments[0]);
}

static void *exec_in_thread(void *arguments) {
    exit(mode_exec(arguments));
}

/* The same from a thread that is not the leader, while others live. */
static int mode_thread_exec(char **arguments) {
    pthread_t thread, other;
    pthread_create(&other, NULL, hammer, "/virtual/dir");
    pthread_create(&thread, NULL, exec_in_thread, arguments);
    pthread_join(thread, NULL);
    return 1;
}

/* Executes with a null argument vector. */
static int mode_exec_null(char **arguments) {
    char **volatile none = NULL;
    execve(arguments[0], none, environ);
    return fail(arguments[0]);
}

/* A failing exec gives its errno and leaves the program as it was. */
static int mode_exec_fails(const char *path) {
    char *arguments[] = {"x", NULL};
    errno = 0;
    return execve(path, arguments, environ) == -1 && errno == EACCES ? 0 : fail("exec_fails");
}

/* Tells what a program finds out about itself. */
static int mode_self(int count, char **arguments) {
    char name[17] = "";
    sigset_t blocked;
    prctl(PR_GET_NAME, name);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    int any = 0;
    for (int i = 1; i < 65; i++)
        any |= sigismember(&blocked, i) == 1;
    printf("execfn=%s comm=%s blocked=%d argv=", (char *)getauxval(AT_EXECFN), name, any);
    for (int i = 0; i < count; i++)
        printf("[%s]", arguments[i]);
    printf("\n");
    return 0;
}

/* What was inherited: closed descriptors, ignored and blocked signals, the limit of open files. */
static int mode_inherited(void) {
    printf("open=");
    for (int i = 0; i < 100; i++)
        if (fcntl(i, F_GETFD) >= 0)
            printf("%d,", i);
    printf(" ignored=");
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    struct sigaction action;
    for (int i = 1; i < 65; i++)
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("%d,", i);
    printf(" blocked=");
    for (int i = 1; i < 65; i++)
        if (sigismember(&blocked, i) == 1)
            printf("%d,", i);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    printf(" nofile=%lu\n", (unsigned long)limit.rlim_cur);
    return 0;
}

int main(int count, char **arguments) {
    /* A script's interpreter, or a program under another name, only tells about itself. */
    const char *mode = count > 1 ? arguments[1] : "";
    const char *path = count > 2 ? arguments[2] : "";
    if (!strcmp(mode, "cat"))
        return mode_cat(path);
    if (!strcmp(mode, "intact"))
        return mode_intact(path);
    if (!strcmp(mode, "chdir"))
        return mode_chdir(path);
    if (!strcmp(mode, "fifo_eintr"))
        return mode_fifo_eintr(path);
    if (!strcmp(mode, "fifo_restart"))
        return mode_fifo_restart(path);
    if (!strcmp(mode, "fifo_wait"))
        return mode_fifo_wait(path);
    if (!strcmp(mode, "storm"))
        return mode_storm(path);
    if (!strcmp(mode, "threads"))
        return mode_threads(path);
    if (!strcmp(mode, "exec"))
        return mode_exec(arguments + 2);
    if (!strcmp(mode, "thread_exec"))
        return mode_thread_exec(arguments + 2);
    if (!strcmp(mode, "exec_null"))
        return mode_exec_null(arguments + 2);
    if (!strcmp(mode, "exec_fails"))
        return mode_exec_fails(path);
    if (!strcmp(mode, "inherited"))
        return mode_inherited();
    return mode_self(count, arguments);
}
