// what: 1000 posix_spawn in 8 threads, with file actions
// worlds: rw
// variants: static
// pitfalls: 10, 18
#define USES_HELPER
#include "check.h"
#include <spawn.h>

static int helper(int argc, char **argv)
{
    CHECK_EQ(argc, 3);
    char want[16];
    snprintf(want, sizeof want, "%s", argv[2]);
    CHECK_EQ(write(1, want, strlen(want)), strlen(want));
    return atoi(want) % 100;
}

static char prog[PATH_MAX];
static int each;

static void *spawns(void *a)
{
    char name[32], number[16], path[PATH_MAX];
    for (int i = 0; i < each; i++) {
        int id = (int)(long)a * each + i;
        snprintf(number, sizeof number, "%d", id);
        snprintf(name, sizeof name, "out%ld", (long)a);
        strcpy(path, in(name));
        posix_spawn_file_actions_t fa;
        posix_spawn_file_actions_init(&fa);
        posix_spawn_file_actions_addopen(&fa, 1, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
        posix_spawn_file_actions_addclose(&fa, 0);
        char *const argv[] = {"prog", "--n", number, NULL};
        pid_t pid;
        CHECK_EQ(posix_spawn(&pid, i % 2 ? prog : "/proc/self/exe", &fa, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&fa);
        int st = wait_status(pid);
        CHECK(WIFEXITED(st));
        CHECK_EQ(WEXITSTATUS(st), id % 100);
        CHECK_CONTENT(path, number);
    }
    return NULL;
}

static void test(void)
{
    pthread_t t[8];
    strcpy(prog, in("prog"));
    copy_file("/proc/self/exe", prog, 0755);
    each = loops(125);
    for (long i = 0; i < 8; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, spawns, (void *)i), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    pid_t pid;
    char *const argv[] = {"x", NULL};
    CHECK_EQ(posix_spawn(&pid, in("nope"), NULL, NULL, argv, environ), ENOENT);
}
