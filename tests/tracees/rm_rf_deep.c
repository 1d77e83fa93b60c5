// what: deep and wide trees, walked by fts and nftw, removed as rm -rf does
// worlds: rw
// variants: dynamic static threads
// pitfalls: 25
#include "check.h"
#include <fts.h>
#include <ftw.h>

static int files, dirs, links;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    if (type == FTW_DP) {
        dirs++;
        return rmdir(path);
    }
    if (type == FTW_SL || type == FTW_SLN)
        links++;
    else if (type == FTW_F)
        files++;
    else
        return 99;
    return unlink(path);
}

static void make(void)
{
    char name[64];
    CHECK_OK(mkdir(in("top"), 0755));
    CHECK_OK(chdir(in("top")));
    for (int level = 0; level < 30; level++) {
        snprintf(name, sizeof name, "level%d", level);
        CHECK_OK(mkdir(name, 0755));
        write_file("file", "x");
        CHECK_OK(symlink("..", "up"));
        CHECK_OK(mkdir("side", 0755));
        write_file("side/file", "x");
        CHECK_OK(chdir(name));
    }
    CHECK_OK(chdir("/"));
}

static void test(void)
{
    make();
    char top[PATH_MAX];
    strcpy(top, in("top"));
    char *roots[] = {top, NULL};
    static const int options[] = {FTS_PHYSICAL, FTS_PHYSICAL | FTS_NOCHDIR, FTS_PHYSICAL | FTS_NOSTAT};
    for (int i = 0; i < 3; i++) {
        int n = 0, deepest = 0;
        FTS *t = fts_open(roots, options[i], NULL);
        CHECK(t != NULL);
        for (FTSENT *e; (e = fts_read(t)) != NULL;) {
            CHECK(e->fts_info != FTS_ERR && e->fts_info != FTS_DNR && e->fts_info != FTS_NS && e->fts_info != FTS_DC);
            if (e->fts_info != FTS_DP)
                n++;
            if (e->fts_level > deepest)
                deepest = e->fts_level;
        }
        CHECK_EQ(errno, 0);
        CHECK_OK(fts_close(t));
        CHECK_EQ(n, 1 + 30 * 5);
        CHECK_EQ(deepest, 31);
    }
    // Removed by fts, entry by entry, from inside the directories.
    FTS *t = fts_open(roots, FTS_PHYSICAL, NULL);
    CHECK(t != NULL);
    for (FTSENT *e; (e = fts_read(t)) != NULL;)
        if (e->fts_info == FTS_DP)
            CHECK_OK(rmdir(e->fts_accpath));
        else if (e->fts_info != FTS_D)
            CHECK_OK(unlink(e->fts_accpath));
    CHECK_OK(fts_close(t));
    CHECK(!exists(top));
    make();
    CHECK_EQ(nftw(top, visit, 5, FTW_DEPTH | FTW_PHYS), 0);
    CHECK_EQ(dirs, 61);
    CHECK_EQ(files, 60);
    CHECK_EQ(links, 30);
    CHECK(!exists(top));
}
