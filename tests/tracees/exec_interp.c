// what: a program whose ELF interpreter lies in the directory; libraries found there too
// worlds: rw
// variants: dynamic
// pitfalls: 43
#define USES_HELPER
#include "check.h"
#include <dlfcn.h>
#include <elf.h>

static bool mapped(const char *path)
{
    char line[PATH_MAX + 128];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *p = strchr(line, '/');
        found |= p && !strcmp(p, path);
    }
    fclose(f);
    return found;
}

// helper --mapped PATH..., or --load LIBRARY PATH
static int helper(int argc, char **argv)
{
    if (!strcmp(argv[1], "--load")) {
        void *h = dlopen(argv[2], RTLD_NOW);
        if (!h)
            check_fail(__FILE__, __LINE__, argv[2], "dlopen: %s", dlerror());
        double (*f)(double) = (double (*)(double))dlsym(h, "cos");
        CHECK(f != NULL && f(0) == 1.0);
        CHECK(mapped(argv[3]));
        return 0;
    }
    for (int i = 2; i < argc; i++)
        CHECK(mapped(argv[i]));
    return 0;
}

// Copies this program with another PT_INTERP, put at the end of the file.
static char *patch(const char *to, const char *interp, char *old)
{
    copy_file("/proc/self/exe", to, 0755);
    int fd = CHECK_OK(open(to, O_RDWR | O_CLOEXEC));
    off_t end = lseek(fd, 0, SEEK_END);
    CHECK_EQ(pwrite(fd, interp, strlen(interp) + 1, end), strlen(interp) + 1);
    Elf64_Ehdr e;
    CHECK_EQ(pread(fd, &e, sizeof e, 0), sizeof e);
    for (int i = 0; i < e.e_phnum; i++) {
        Elf64_Phdr p;
        off_t at = (off_t)(e.e_phoff + (size_t)i * sizeof p);
        CHECK_EQ(pread(fd, &p, sizeof p, at), sizeof p);
        if (p.p_type != PT_INTERP)
            continue;
        CHECK_EQ(pread(fd, old, p.p_filesz, (off_t)p.p_offset), p.p_filesz);
        p.p_offset = (Elf64_Off)end;
        p.p_filesz = strlen(interp) + 1;
        CHECK_EQ(pwrite(fd, &p, sizeof p, at), sizeof p);
    }
    CHECK_OK(close(fd));
    return old;
}

static int run(const char *prog, const char *a, const char *b, const char *c)
{
    pid_t pid = CHECK_OK(fork());
    if (pid == 0) {
        execl(prog, "p", a, b, c, (char *)NULL);
        _exit(100 + errno);
    }
    int st = wait_status(pid);
    CHECK(WIFEXITED(st));
    return WEXITSTATUS(st);
}

static void test(void)
{
    char real[PATH_MAX], old[PATH_MAX] = "", ld[PATH_MAX], prog[PATH_MAX];
    CHECK(realpath(dir, real) != NULL);
    strcpy(ld, join(real, "ld.so"));
    strcpy(prog, join(real, "prog"));
    patch(prog, ld, old);
    CHECK(old[0] == '/');
    CHECK_EQ(run(prog, "--mapped", prog, ld), 100 + ENOENT);
    copy_file(old, ld, 0644);
    CHECK_EQ(run(prog, "--mapped", prog, ld), 100 + EACCES);
    CHECK_OK(chmod(ld, 0755));
    CHECK_EQ(run(prog, "--mapped", prog, ld), 0);
    // A relative interpreter, and one behind a symlink.
    CHECK_OK(symlink("ld.so", in("ldlink")));
    patch(in("prog2"), in("ldlink"), old);
    CHECK_EQ(run(in("prog2"), "--mapped", join(real, "prog2"), ld), 0);
    CHECK_OK(chdir(dir));
    patch(in("prog3"), "./ld.so", old);
    CHECK_EQ(run(in("prog3"), "--mapped", join(real, "prog3"), ld), 0);
    CHECK_OK(chdir("/"));
    CHECK_EQ(run(in("prog3"), "--mapped", join(real, "prog3"), ld), 100 + ENOENT);
    // An interpreter that is no program.
    write_file(in("junk"), "junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk junk");
    CHECK_OK(chmod(in("junk"), 0755));
    patch(in("prog4"), in("junk"), old);
    CHECK_EQ(run(in("prog4"), "--mapped", prog, ld), 100 + ELIBBAD);
    // The interpreter run by hand.
    CHECK_EQ(run(ld, prog, "--mapped", ld), 0);
    // A library found by LD_LIBRARY_PATH.
    void *h = dlopen("libm.so.6", RTLD_NOW);
    CHECK(h != NULL);
    Dl_info info;
    CHECK(dladdr(dlsym(h, "cos"), &info) != 0);
    char libm[PATH_MAX];
    CHECK(realpath(info.dli_fname, libm) != NULL);
    CHECK_OK(mkdir(in("lib"), 0755));
    copy_file(libm, in("lib/libm.so.6"), 0644);
    copy_file("/proc/self/exe", in("plain"), 0755);
    CHECK_OK(setenv("LD_LIBRARY_PATH", in("lib"), 1));
    CHECK_EQ(run(in("plain"), "--load", "libm.so.6", join(real, "lib/libm.so.6")), 0);
    CHECK_OK(unsetenv("LD_LIBRARY_PATH"));
    CHECK_EQ(run(in("plain"), "--load", in("lib/libm.so.6"), join(real, "lib/libm.so.6")), 0);
}
