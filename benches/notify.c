/*
 * usage: notify [plain]
 * The cost of the bare mechanism: one system call (getppid) that a seccomp filter hands to a supervisor, which answers a
 * constant at once. No memory is read, no name is looked up. Prints the median nanoseconds of one round trip; with
 * SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6) unless `plain`, or the kernel lacks it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define BATCHES 15
#define CALLS 3000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

static void pass_descriptor(int socket, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof fd)];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	if (sendmsg(socket, &message, 0) != 1)
		die("sendmsg");
}

static int take_descriptor(int socket)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	int fd;

	if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

static void tracee(int socket)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	double times[BATCHES];
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	if ((fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)) < 0)
		die("seccomp");
	pass_descriptor(socket, fd);
	close(fd);
	for (int batch = -1; batch < BATCHES; batch++) {
		long long start = now();
		for (int i = 0; i < CALLS; i++)
			if (syscall(SYS_getppid) != 42)
				die("getppid");
		if (batch >= 0)
			times[batch] = (double)(now() - start) / CALLS;
	}
	qsort(times, BATCHES, sizeof *times, compare);
	printf("%.1f\n", times[BATCHES / 2]);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	int sockets[2], fd;
	struct seccomp_notif request;
	struct seccomp_notif_resp response;
	pid_t child;

	(void)argv;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		die("socketpair");
	if ((child = fork()) == 0)
		tracee(sockets[1]);
	close(sockets[1]);
	fd = take_descriptor(sockets[0]);
	if (argc < 2)
		ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	/* RECV would not return once the last tracee is gone, so the calls are counted. */
	for (int left = CALLS * (BATCHES + 1); left > 0; left--) {
		memset(&request, 0, sizeof request);
		while (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
			if (errno != EINTR)
				die("receive");
		memset(&response, 0, sizeof response);
		response.id = request.id;
		response.val = 42;
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0)
			die("send");
	}
	waitpid(child, NULL, 0);
	return 0;
}
