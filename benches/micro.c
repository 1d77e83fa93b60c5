/*
 * usage: micro CASE [PATH | COUNT COMMAND...]
 * Prints the median time of one call in nanoseconds, from 15 batches of about 10 ms each after one to warm up.
 * Cases without a path: getpid read write poll lseek
 * Cases with a path:    stat stat-missing open pread4k pread64k mmap fstat
 * run COUNT COMMAND...: prints the wall time of each of COUNT runs in nanoseconds, one a line.
 * append4k | append1m | rewrite4k PATH: the CPU time of one write(2) to a file that is made, grows by it and is cut to nothing
 * again every 32 MiB; or that has its 32 MiB already.
 * sync8k PATH: the wall time of a pwrite(2) of 8 KiB and fdatasync(2) in a file of 16 MiB that is made.
 * peak COMMAND...: runs a `view` command line and prints the most memory that its supervisor took, in KiB: what is resident,
 * and the memfds that it holds.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 15
#define MAPPED (16 << 20)
#define WRITTEN (32 << 20)

static const char *path;
static int fd = -1;
static off_t size;
static char buffer[65536];
static unsigned long long sink;

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void need(int good)
{
	if (!good)
		die(path ? path : "call");
}

static void do_getpid(long i) { (void)i; syscall(SYS_getpid); }
static void do_read(long i) { (void)i; need(read(fd, buffer, 4096) == 4096); }
static void do_write(long i) { (void)i; need(write(fd, buffer, 4096) == 4096); }
static void do_lseek(long i) { need(lseek(fd, i & 4095, SEEK_SET) >= 0); }
static void do_poll(long i)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)i;
	need(poll(&p, 1, 0) >= 0);
}
static void do_stat(long i)
{
	struct stat s;

	(void)i;
	need(stat(path, &s) == 0);
}
static void do_stat_missing(long i)
{
	struct stat s;

	(void)i;
	need(stat(path, &s) != 0);
}
static void do_fstat(long i)
{
	struct stat s;

	(void)i;
	need(fstat(fd, &s) == 0);
}
static void do_open(long i)
{
	int opened = open(path, O_RDONLY | O_CLOEXEC);

	(void)i;
	need(opened >= 0);
	close(opened);
}
static void do_pread(long i, size_t length)
{
	off_t offset = (off_t)((unsigned long long)i * 2654435761u % (size / length)) * length;

	need(pread(fd, buffer, length, offset) == (ssize_t)length);
}
static void do_pread4k(long i) { do_pread(i, 4096); }
static void do_pread64k(long i) { do_pread(i, 65536); }
/* Maps 16 MiB, reads a byte of each page, unmaps. */
static void do_mmap(long i)
{
	size_t length = size < MAPPED ? size : MAPPED;
	char *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);

	(void)i;
	need(map != MAP_FAILED);
	for (size_t at = 0; at < length; at += 4096)
		sink += map[at];
	munmap(map, length);
}

static const struct {
	const char *name;
	void (*call)(long);
	const char *device;
	int opens;
} cases[] = {
	{ "getpid", do_getpid, NULL, 0 },
	{ "read", do_read, "/dev/zero", 0 },
	{ "write", do_write, "/dev/null", 0 },
	{ "poll", do_poll, "/dev/zero", 0 },
	{ "lseek", do_lseek, "/etc/passwd", 0 },
	{ "stat", do_stat, NULL, 0 },
	{ "stat-missing", do_stat_missing, NULL, 0 },
	{ "fstat", do_fstat, NULL, 1 },
	{ "open", do_open, NULL, 0 },
	{ "pread4k", do_pread4k, NULL, 1 },
	{ "pread64k", do_pread64k, NULL, 1 },
	{ "mmap", do_mmap, NULL, 1 },
};

static int compare(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

static int run(int argc, char **argv)
{
	long count = argc > 3 ? atol(argv[2]) : 0;

	if (count < 1)
		return 2;
	for (long i = 0; i < count; i++) {
		long long start = now();
		pid_t child = vfork();
		int status;

		if (child == 0) {
			execvp(argv[3], argv + 3);
			_exit(127);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0)
			die("run");
		if (!WIFEXITED(status) || WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 125)
			return 1;
		printf("%lld\n", now() - start);
		fflush(stdout);
	}
	return 0;
}

/* What this thread has used of a CPU: a write(2) to memory does not wait for anything. */
static long long used(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Prints the median time of one write(2) of `length` bytes. */
static int write_case(const char *where, size_t length, int grows)
{
	static char block[1 << 20];
	double times[BATCHES];
	long count = WRITTEN / length;

	path = where;
	memset(block, 7, sizeof block);
	need((fd = open(where, O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
	for (int batch = -1; batch < BATCHES; batch++) {
		if (grows)
			need(ftruncate(fd, 0) == 0);
		need(lseek(fd, 0, SEEK_SET) == 0);
		long long start = used();
		for (long i = 0; i < count; i++)
			need(write(fd, block, length) == (ssize_t)length);
		if (batch >= 0)
			times[batch] = (double)(used() - start) / count;
	}
	need(unlink(where) == 0);
	qsort(times, BATCHES, sizeof *times, compare);
	printf("%.1f\n", times[BATCHES / 2]);
	return 0;
}

/* Prints the median time of one pwrite(2) of 8 KiB with fdatasync(2), each at another place of 16 MiB. */
static int sync_case(const char *where)
{
	enum { COUNT = 101, LENGTH = 8192, BLOCKS = MAPPED / LENGTH };
	static double times[COUNT];

	path = where;
	need((fd = open(where, O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
	for (long i = 0; i < BLOCKS; i++) {
		memset(buffer, i + 1, LENGTH);
		need(pwrite(fd, buffer, LENGTH, i * LENGTH) == LENGTH);
	}
	need(fdatasync(fd) == 0);
	for (int i = -10; i < COUNT; i++) {
		long long start = now();

		buffer[0] = i;
		need(pwrite(fd, buffer, LENGTH, (i + 10) * 17 % BLOCKS * LENGTH) == LENGTH);
		need(fdatasync(fd) == 0);
		if (i >= 0)
			times[i] = now() - start;
	}
	need(unlink(where) == 0);
	qsort(times, COUNT, sizeof *times, compare);
	printf("%.1f\n", times[COUNT / 2]);
	return 0;
}

/* The KiB that a process has resident, and in memfds (each counted once). */
static long held(int process)
{
	char name[64], line[256];
	ino_t seen[256];
	size_t count = 0;
	long total = 0;
	struct dirent *entry;
	FILE *status;
	DIR *directory;

	snprintf(name, sizeof name, "/proc/%d/status", process);
	if ((status = fopen(name, "r"))) {
		while (fgets(line, sizeof line, status))
			if (!strncmp(line, "VmRSS:", 6))
				total = atol(line + 6);
		fclose(status);
	}
	snprintf(name, sizeof name, "/proc/%d/fd", process);
	if (!(directory = opendir(name)))
		return total;
	while ((entry = readdir(directory))) {
		struct stat s;
		size_t i = 0;
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, line, sizeof line - 1);

		if (length < 7 || strncmp(line, "/memfd:", 7) || fstatat(dirfd(directory), entry->d_name, &s, 0) < 0)
			continue;
		while (i < count && seen[i] != s.st_ino)
			i++;
		if (i < count)
			continue;
		if (count < sizeof seen / sizeof *seen)
			seen[count++] = s.st_ino;
		total += s.st_blocks / 2;
	}
	closedir(directory);
	return total;
}

/* The first child of a process is the supervisor, when that process is the front of a view. */
static int first_child(int process)
{
	char name[64];
	int child = 0;
	FILE *children;

	snprintf(name, sizeof name, "/proc/%d/task/%d/children", process, process);
	if ((children = fopen(name, "r"))) {
		if (fscanf(children, "%d", &child) != 1)
			child = 0;
		fclose(children);
	}
	return child;
}

static int peak(char **command)
{
	long most = 0;
	int status, supervisor = 0;
	pid_t child = fork();

	if (child == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		long size;

		if (!supervisor)
			supervisor = first_child(child);
		size = supervisor ? held(supervisor) : 0;
		most = size > most ? size : most;
		usleep(2000);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return 1;
	printf("%ld\n", most);
	return 0;
}

int main(int argc, char **argv)
{
	size_t chosen;

	if (argc > 1 && !strcmp(argv[1], "run"))
		return run(argc, argv);
	if (argc > 2 && !strcmp(argv[1], "peak"))
		return peak(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "append4k"))
		return write_case(argv[2], 4096, 1);
	if (argc > 2 && !strcmp(argv[1], "append1m"))
		return write_case(argv[2], 1 << 20, 1);
	if (argc > 2 && !strcmp(argv[1], "rewrite4k"))
		return write_case(argv[2], 4096, 0);
	if (argc > 2 && !strcmp(argv[1], "sync8k"))
		return sync_case(argv[2]);
	for (chosen = 0; chosen < sizeof cases / sizeof *cases; chosen++)
		if (argc > 1 && !strcmp(argv[1], cases[chosen].name))
			break;
	if (chosen == sizeof cases / sizeof *cases) {
		fprintf(stderr, "micro: no such case\n");
		return 2;
	}
	path = argc > 2 ? argv[2] : NULL;
	if (cases[chosen].device && (fd = open(cases[chosen].device, O_RDWR)) < 0 && (fd = open(cases[chosen].device, O_RDONLY)) < 0)
		die(cases[chosen].device);
	if (cases[chosen].opens) {
		struct stat s;

		if (!path || (fd = open(path, O_RDONLY)) < 0 || fstat(fd, &s) < 0)
			die("open");
		size = s.st_size;
		/* What is measured is an opened file: its data is read in once before. */
		for (off_t at = 0; at < size; at += sizeof buffer)
			if (pread(fd, buffer, sizeof buffer, at) < 0)
				die("pread");
	}

	void (*call)(long) = cases[chosen].call;
	long count = 1, serial = 0;
	for (;;) { /* how many calls take 10 ms */
		long long start = now();
		for (long i = 0; i < count; i++)
			call(serial++);
		if (now() - start > 10000000 || count > 100000000)
			break;
		count *= 2;
	}
	double times[BATCHES];
	for (int batch = 0; batch < BATCHES; batch++) {
		long long start = now();
		for (long i = 0; i < count; i++)
			call(serial++);
		times[batch] = (double)(now() - start) / count;
	}
	qsort(times, BATCHES, sizeof *times, compare);
	printf("%.1f\n", times[BATCHES / 2]);
	return sink == 1;
}
