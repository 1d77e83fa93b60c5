//! A read-write filesystem in memory: the reference for write semantics.
//!
//! A regular file is a memfd, and an open is answered with a descriptor of it, so that the tracee reads, writes and
//! maps it natively. Names, owners, modes and extended attributes live in ordinary tables; size, blocks and times of a
//! regular file are asked from the memfd, because it changes without this module seeing it.
//!
//! | Module     | Responsibility                                                        |
//! |------------|-----------------------------------------------------------------------|
//! | `options`  | `size=`, `nr_blocks=`, `nr_inodes=`, `mode=`, `uid=`, `gid=`          |
//! | `contents` | one memfd                                                             |
//! | `tree`     | inodes, references, limits                                            |
//! | `directory`| names of a directory, with stable positions for listing               |
//! | `names`    | create, link, unlink, rmdir, rename                                   |
//! | `attr`     | stat, chmod, chown, truncate, utimensat                               |
//! | `xattr`    | extended attributes                                                   |
//! | `acl`      | POSIX access control lists: checks, mode bits, inheritance            |
//! | `fs`       | the `Filesystem` trait over all this                                  |
//!
//! What differs from Linux's tmpfs: `size=` is enforced when files are created, allocated or written through the module,
//! not for native writes to an open descriptor; each regular file costs the host process one descriptor; the caller of
//! a request checks permissions (as under FUSE).
//!
//! Locks: one, `Tmpfs::tree`. System calls under it are quick ones on memfds; contents are read and written without it.
//!
//! References: tmpfs(5), inode(7), memfd_create(2), Linux `mm/shmem.c`, `fs/libfs.c`.
#![forbid(unsafe_code)]

mod acl;
mod attr;
mod contents;
mod directory;
mod fs;
mod names;
mod options;
mod tree;
mod xattr;

#[cfg(test)]
mod tests;

use parking_lot::Mutex;

pub use options::OptionError;
use options::Options;
use tree::Tree;

/// A filesystem in memory. Its contents go with it.
#[derive(Debug)]
pub struct Tmpfs {
    tree: Mutex<Tree>,
}

impl Tmpfs {
    /// An empty filesystem.
    ///
    /// `options` is a comma-separated list as in tmpfs(5): `size=` and `nr_blocks=` (`k`, `m`, `g`, `t` and, for `size`,
    /// `%` of memory; 0 means no limit; default half of memory), `nr_inodes=` (0 means no limit; default one for each block
    /// of half the memory), `mode=` (octal, default
    /// 1777), `uid=` and `gid=` of the root directory (default: those of this process).
    ///
    /// # Errors
    /// An unknown option or a value that cannot be understood.
    pub fn new(options: &str) -> Result<Tmpfs, OptionError> {
        let options = Options::parse(options)?;
        Ok(Tmpfs {
            tree: Mutex::new(Tree::new(&options)),
        })
    }
}
