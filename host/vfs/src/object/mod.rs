//! A mounted module: its inodes and names, and the caches that stand between the resolver and the module.
//!
//! This is the kernel side of FUSE. An [`Instance`] wraps a `Filesystem`; a [`Dentry`] is one name in it, an
//! [`Inode`] what the name means (both are analogous to Linux's structures of these names). Cached names and
//! attributes live as long as the module said, references are handed back with exact forget counts when the last user
//! of an inode goes.
//!
//! | Module           | Responsibility                                                        |
//! |------------------|-----------------------------------------------------------------------|
//! | `instance`       | the module, its options, the table of live inodes                     |
//! | `inode`          | attributes with their time to live, link targets, access lists        |
//! | `dentry`         | names: parent, path, deleted, mounted on                              |
//! | `lookup`         | from a name to a dentry; negative entries                             |
//! | `dentry_cache`   | which dentries stay alive without a user                              |
//! | `access`         | permission checks                                                     |
//! | `create`         | mkdir, mknod, symlink, link                                           |
//! | `remove`         | unlink, rmdir                                                         |
//! | `rename`         | rename with all flags                                                 |
//! | `open`           | open, create, O_TMPFILE, truncation                                   |
//! | `room`           | what the module can still take                                        |
//! | `open_file`      | a file that is open at the module: contents come and go               |
//! | `set_attributes` | chmod, chown, truncate, utimensat                                     |
//! | `flags`          | inode flags, ioctl_iflags(2)                                          |
//! | `xattr`          | extended attributes with the kernel's size rules                      |
//! | `directory`      | listings, also as a source of dentries                                |
//! | `dirents`        | the getdents encodings                                                |
//! | `notify`         | what a module tells without being asked                               |
//! | `clock`          | times to live                                                         |
//!
//! Errors are answered in the order in which Linux's VFS finds them (`fs/namei.c`, `fs/open.c`, `fs/attr.c`).
//!
//! Lock order (outer first):
//! ```text
//! Instance::directory_renames      (held over the module's rename of a directory)
//!   Instance::tree                 (parents and names; write only while a rename is recorded)
//!     Children::table              (two at once: only under Instance::tree for writing)
//!       Dentry::place
//! Instance::root                   (held while the root's dentry is made)
//!   DentryCache::ring, ListingCache::ring, Instance::inodes, Inode::attributes, Inode::access_list,
//!   DirectoryState::alias, DirectoryState::listing   (leaves)
//! ```
//! No lock but the first is held while the module runs. An `Arc<Dentry>` or `Arc<Inode>` is never dropped under
//! `Children::table`, `DentryCache::ring` or `Instance::inodes`: dropping the last one takes these locks.

mod access;
mod clock;
mod create;
mod dentry;
mod dentry_cache;
mod directory;
mod dirents;
mod flags;
mod inode;
mod instance;
mod lookup;
mod notify;
mod open;
mod open_file;
mod remove;
mod rename;
mod room;
mod set_attributes;
mod xattr;

#[cfg(test)]
mod test_filesystem;
#[cfg(test)]
mod tests;

pub use dentry::Dentry;
pub use directory::DirectoryBatch;
pub use dirents::{DirectoryEntry, encode_dirents, encode_dirents64};
pub use inode::Inode;
pub use instance::{Instance, InstanceOptions};
pub use open::{Opened, OpenedFile};
pub use room::Room;
pub use set_attributes::{AttributeChange, TimeChange};
pub use xattr::{XattrAnswer, check_xattr_name, check_xattr_set};

use rustix::io::Errno;

/// Longest name in bytes (NAME_MAX).
pub const NAME_MAX: usize = 255;

/// A module's error as the crate's error; numbers that are no error numbers become `EIO`.
fn module_error(error: fuse_compat::Errno) -> Errno {
    match error.code() {
        code @ 1..=4095 => Errno::from_raw_os_error(code),
        _ => Errno::IO,
    }
}
