// what: a lock on a directory is one for all who open it
// worlds: rw
// variants: dynamic static threads
// pitfalls: 45
#include "check.h"
#include <sys/file.h>

static void test(void)
{
    CHECK_OK(mkdir(in("d"), 0755));
    int d = CHECK_OK(open(in("d"), O_RDONLY | O_CLOEXEC));
    CHECK_OK(flock(d, LOCK_EX));
    int e = CHECK_OK(open(in("d"), O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(flock(e, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(flock(d, LOCK_UN));
    CHECK_OK(flock(e, LOCK_EX | LOCK_NB));
}
