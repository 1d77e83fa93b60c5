/* Prints a greeting, its arguments, and what the kernel says this program is. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

const char *greeting(void);

int main(int argc, char **argv)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	const char *name = (const char *)getauxval(AT_EXECFN);

	printf("%s\n", greeting());
	for (int i = 1; i < argc; i++)
		printf("argument %s\n", argv[i]);
	if (length < 0) {
		perror("readlink");
		return 1;
	}
	self[length] = 0;
	printf("exe %s\n", strrchr(self, '/') + 1);
	printf("execfn %s\n", name ? name : "(none)");
	printf("secure %lu\n", getauxval(AT_SECURE));
	return 0;
}
