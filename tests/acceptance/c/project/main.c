#include <stdio.h>
#include "calculator.h"
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (feed(argv[i]))
			return 1;
	printf("%ld\n", pop());
	return 0;
}
