// what: names of 255 bytes, with newlines, bytes that are not UTF-8, case, lookalikes
// worlds: rw
// variants: dynamic static threads
// pitfalls: 25
#include "check.h"

static void test(void)
{
    static char longname[256], longutf[256];
    memset(longname, 'x', 255);
    for (int i = 0; i < 254; i += 2)
        memcpy(longutf + i, "\xc3\xa9", 2);
    static const char *const fixed[] = {"new\nline", "\xff\xfe\x80", " space ", "-dash", "back\\slash", "star*?[a]", "...", "..x", ".hidden",
                                        "Case", "case", "caf\xc3\xa9", "cafe\xcc\x81", "tab\there", "\x01\x02\x7f", "$HOME", "quote'\"", ":colon,comma="};
    enum { FIXED = sizeof fixed / sizeof *fixed, N = FIXED + 2 };
    const char *names[N];
    memcpy(names, fixed, sizeof fixed);
    names[FIXED] = longname;
    names[FIXED + 1] = longutf;
    for (int i = 0; i < N; i++) {
        write_file(in(names[i]), names[i]);
        CHECK_CONTENT(in(names[i]), names[i]);
    }
    CHECK_EQ(count_entries(dir), N);
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    int found = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        for (int i = 0; i < N; i++)
            found += !strcmp(e->d_name, names[i]);
    CHECK_EQ(found, N);
    closedir(d);
    for (int i = 0; i < N; i++) {
        char path[PATH_MAX], link[64];
        int fd = CHECK_OK(open(in(names[i]), O_RDONLY | O_CLOEXEC));
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = CHECK_OK(readlink(link, path, sizeof path - 1));
        path[n] = 0;
        CHECK_STR(strrchr(path, '/') + 1, names[i]);
        CHECK_OK(close(fd));
        CHECK_OK(rename(in(names[i]), in("moving")));
        CHECK_OK(rename(in("moving"), in(names[i])));
        CHECK_OK(unlink(in(names[i])));
        CHECK_OK(mkdir(in(names[i]), 0755));
        CHECK_OK(chdir(in(names[i])));
        CHECK(getcwd(path, sizeof path) != NULL);
        CHECK_STR(strrchr(path, '/') + 1, names[i]);
        CHECK_OK(chdir("/"));
        CHECK_OK(rmdir(in(names[i])));
        CHECK_OK(symlink(names[i], in("link")));
        n = CHECK_OK(readlink(in("link"), path, sizeof path - 1));
        path[n] = 0;
        CHECK_STR(path, names[i]);
        CHECK_OK(unlink(in("link")));
    }
    CHECK_EQ(count_entries(dir), 0);
}
