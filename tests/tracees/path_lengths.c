// what: NAME_MAX and PATH_MAX, to the byte; paths deeper than PATH_MAX
// worlds: rw
// variants: dynamic static threads
// pitfalls: 26
#include "check.h"

static void test(void)
{
    static char name[300], path[2 * PATH_MAX], big[PATH_MAX * 4];
    struct stat st;
    memset(name, 'n', 255);
    write_file(in(name), "255");
    CHECK_CONTENT(in(name), "255");
    memset(name, 'n', 256);
    CHECK_ERRNO(stat(in(name), &st), ENAMETOOLONG);
    CHECK_ERRNO(open(in(name), O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
    CHECK_ERRNO(mkdir(in(name), 0755), ENAMETOOLONG);
    CHECK_ERRNO(unlink(in(name)), ENAMETOOLONG);
    write_file(in("g"), "x");
    CHECK_ERRNO(rename(in("g"), in(name)), ENAMETOOLONG);
    CHECK_ERRNO(symlink("x", in(name)), ENAMETOOLONG);
    char under[600];
    snprintf(under, sizeof under, "missing/%s", name);
    CHECK_ERRNO(stat(in(under), &st), ENOENT);

    // PATH_MAX counts the NUL: 4095 bytes are fine, 4096 are not.
    write_file(in("f"), "short");
    strcpy(path, dir);
    size_t n = strlen(path);
    while (n + 4 <= PATH_MAX - 1) {
        memcpy(path + n, "/.", 3);
        n += 2;
    }
    while (n < PATH_MAX - 1 - 2) {
        memcpy(path + n, "/", 2);
        n += 1;
    }
    strcpy(path + n, "/f");
    CHECK_EQ(strlen(path), PATH_MAX - 1);
    CHECK_CONTENT(path, "short");
    strcpy(path + n, "//f");
    CHECK_ERRNO(stat(path, &st), ENAMETOOLONG);
    CHECK_ERRNO(open(path, O_RDONLY), ENAMETOOLONG);
    memset(big, '/', sizeof big - 1);
    CHECK_ERRNO(stat(big, &st), ENAMETOOLONG);
    CHECK_ERRNO(symlink(big, in("s")), ENAMETOOLONG);

    // A tree that is deeper than any path.
    memset(name, 'd', 200);
    name[200] = 0;
    CHECK_OK(chdir(dir));
    for (int i = 0; i < 25; i++) {
        CHECK_OK(mkdir(name, 0755));
        CHECK_OK(chdir(name));
    }
    write_file("leaf", "deep");
    CHECK_CONTENT("leaf", "deep");
    snprintf(path, sizeof path, "../%s/./leaf", name);
    CHECK_CONTENT(path, "deep");
    CHECK_ERRNO2(syscall(SYS_getcwd, path, PATH_MAX), ENAMETOOLONG, ERANGE);
    CHECK_ERRNO2(syscall(SYS_getcwd, big, sizeof big), ENAMETOOLONG, ERANGE);
    int d = CHECK_OK(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_OK(chdir(".."));
    CHECK_OK(chdir(dir));
    CHECK_OK(fstatat(d, "leaf", &st, 0));
    CHECK_OK(fchdir(d));
    CHECK_OK(unlink("leaf"));
    for (int i = 0; i < 25; i++) {
        CHECK_OK(chdir(".."));
        CHECK_OK(rmdir(name));
    }
    CHECK_OK(fstat(d, &st));
    CHECK_EQ(st.st_nlink, 0);
    CHECK_OK(stat("f", &st));
}
