// what: prints how it was started; a program for exec tests, copied to the fixture's bin/
// worlds: none
// variants: dynamic static
// pitfalls: 43
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char buf[4096];
    ssize_t n = readlink("/proc/self/exe", buf, sizeof buf - 1);
    buf[n > 0 ? n : 0] = 0;
    for (int i = 0; i < argc; i++)
        printf("argv%d=%s\n", i, argv[i]);
    printf("exe=%s\n", buf);
    printf("execfn=%s\n", (const char *)getauxval(AT_EXECFN));
    return 0;
}
