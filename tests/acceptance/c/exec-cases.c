/*
 * usage: exec-cases CASE PROGRAM [ARGUMENT]...
 * Starts PROGRAM in one of the ways that programs are started; its status is ours.
 * Cases: execve, fork, vfork, spawn, thread (exec by a thread that is not the leader), threads-spawn (8 threads, 8 spawns
 * each), fexecve, execveat (relative to a directory descriptor), path (execvp along PATH).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char **command;

static int wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int fail(const char *what)
{
	fprintf(stderr, "%s %s: %s\n", what, command[0], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

static void *exec_here(void *unused)
{
	(void)unused;
	execv(command[0], command);
	exit(fail("thread"));
}

static void *spawn_eight(void *failures)
{
	for (int i = 0; i < 8; i++) {
		pid_t child;
		if (posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0 || wait_for(child) != 0)
			__sync_fetch_and_add((int *)failures, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	const char *how = argv[1];
	command = argv + 2;
	if (!strcmp(how, "execve")) {
		execv(command[0], command);
	} else if (!strcmp(how, "path")) {
		execvp(command[0], command);
	} else if (!strcmp(how, "fork") || !strcmp(how, "vfork")) {
		pid_t child = *how == 'f' ? fork() : vfork();
		if (child == 0) {
			execv(command[0], command);
			_exit(errno == ENOENT ? 127 : 126);
		}
		return child < 0 ? fail(how) : wait_for(child);
	} else if (!strcmp(how, "spawn")) {
		pid_t child;
		errno = posix_spawn(&child, command[0], NULL, NULL, command, environ);
		return errno ? fail(how) : wait_for(child);
	} else if (!strcmp(how, "thread")) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, exec_here, NULL) == 0)
			pthread_join(thread, NULL);
	} else if (!strcmp(how, "threads-spawn")) {
		pthread_t threads[8];
		int failures = 0;
		for (int i = 0; i < 8; i++)
			if (pthread_create(&threads[i], NULL, spawn_eight, &failures) != 0)
				return 125;
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		return failures ? 1 : 0;
	} else if (!strcmp(how, "fexecve")) {
		int fd = open(command[0], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return fail("open");
		fexecve(fd, command, environ);
	} else if (!strcmp(how, "execveat")) {
		char *copy = strdup(command[0]), *other = strdup(command[0]);
		int fd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return fail("open");
		syscall(SYS_execveat, fd, basename(other), command, environ, 0);
	} else {
		return 2;
	}
	return fail(how);
}
