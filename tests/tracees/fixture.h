// The read-only tree that the `ro` tracees know; made by src/fixture.rs. Change both together.
//
// file "hello, fixture\n", mtime 1000000000, user.test="value"   empty   big (pattern)   sparse (5 MiB, 'A' ... 'Z')
// dir/{a,b,up->../file,sub/deep}   deep/d1/.../d12/leaf   many/n00000...n09999   long/<255 x>   odd/*   modes/m{444,755,600,640}
// link->file linkdir->dir dangling->nowhere loop->loop toroot->/ slow-> (60 times "./") file   l01->file, l02->l01 ... l41
// hard1 = hard2   fifo   sock   bin/{show,show-static,script,relscript,notexec}
#include "check.h"

#define FIXTURE_TEXT "hello, fixture\n"
#define FIXTURE_MANY 10000
#define FIXTURE_BIG ((1 << 20) + 17)
#define FIXTURE_SPARSE (5 << 20)

UNUSED static unsigned char fixture_byte(size_t i)
{
    return (unsigned char)(i * 7 + (i >> 8));
}

// Whether the directory is on a read-only mount: changes then fail with EROFS, natively they would be made.
UNUSED static bool is_read_only(void)
{
    struct statvfs v;
    CHECK_OK(statvfs(dir, &v));
    return v.f_flag & ST_RDONLY;
}
