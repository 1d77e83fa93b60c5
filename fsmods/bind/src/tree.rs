//! From inode number to object, and new names.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::{Arc, MutexGuard, PoisonError};

use fuse_compat::{Errno, FileAttr, INodeNo, RenameFlags, Request};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};

use crate::Bind;
use crate::object;
use crate::table::{Key, Table};

/// The attribute that replaces the umask in a directory, acl(5).
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// How often a place is looked at again when a rename runs at the same time.
const MOST_TRIES: usize = 4;

impl Bind {
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An `O_PATH` descriptor of an inode. Errors: `ESTALE` (not known), `ENOENT` (not there any more).
    pub(crate) fn object(&self, ino: INodeNo) -> Result<Arc<OwnedFd>, Errno> {
        let mut error = Errno::ENOENT;
        for _ in 0..MOST_TRIES {
            let place = self.table().place(ino)?;
            let base = place.base.as_ref().unwrap_or(&self.root);
            if place.relative.as_os_str().is_empty() {
                return Ok(Arc::clone(base));
            }
            match walk(base, &place.relative) {
                Ok(found) if Key::of(&rustix::fs::fstat(&found)?) == place.key => {
                    return Ok(Arc::new(found));
                }
                Ok(_) => error = Errno::ENOENT,
                // Something on the way was replaced by a file or a link: the inode is not there.
                Err(Errno::ENOTDIR | Errno::ELOOP) => error = Errno::ENOENT,
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    pub(crate) fn attr(&self, ino: INodeNo) -> Result<FileAttr, Errno> {
        let found = self.object(ino)?;
        let stat = rustix::fs::fstat(&found)?;
        object::attr(&found, &stat, ino)
    }

    /// Finds a name and gives the host program a reference.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        match name.as_encoded_bytes() {
            b"." => return self.attr_with_reference(parent),
            b".." => {
                // Never above the root, and the way the table knows.
                let above = self.table().name(parent).map(|(above, _)| above);
                return self.attr_with_reference(above.unwrap_or(INodeNo::ROOT));
            }
            _ => {}
        }
        let directory = self.object(parent)?;
        let found = object::named(&directory, name)?;
        self.register(parent, name, found)
    }

    /// One more reference on an inode that is known already.
    fn attr_with_reference(&self, ino: INodeNo) -> Result<FileAttr, Errno> {
        let attr = self.attr(ino)?;
        self.table().reference(ino);
        Ok(attr)
    }

    fn register(&self, parent: INodeNo, name: &OsStr, found: OwnedFd) -> Result<FileAttr, Errno> {
        let stat = rustix::fs::fstat(&found)?;
        let ino = self.table().found(parent, name, Key::of(&stat));
        object::attr(&found, &stat, ino)
    }

    /// A new object was made at a name: gives it the owner and mode asked for.
    ///
    /// The kernel has applied this process's umask, which is not the caller's.
    pub(crate) fn made(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: Option<u32>,
    ) -> Result<FileAttr, Errno> {
        let directory = self.object(parent)?;
        let found = object::named(&directory, name)?;
        finish(req, &directory, &found, mode)?;
        self.register(parent, name, found)
    }

    /// Mode for a create call: in a directory with a default ACL the caller's umask does not count.
    pub(crate) fn creation_mode(directory: &OwnedFd, mode: u32, umask: u32) -> u32 {
        if has_default_acl(directory) {
            mode
        } else {
            mode & !(umask & 0o777)
        }
    }

    /// Makes a file without a name. Answers it, open.
    pub(crate) fn make_unnamed(
        &self,
        req: &Request,
        parent: INodeNo,
        mode: u32,
        flags: OFlags,
    ) -> Result<(FileAttr, OwnedFd), Errno> {
        let directory = self.object(parent)?;
        let flags = (flags - OFlags::CREATE) | OFlags::TMPFILE | OFlags::CLOEXEC;
        let raw_mode = Mode::from_raw_mode(mode & 0o7777);
        let file = rustix::fs::openat(&directory, ".", flags, raw_mode)?;
        let path_flags = OFlags::PATH | OFlags::CLOEXEC;
        let found = rustix::fs::open(object::magic_link(&file), path_flags, Mode::empty())?;
        finish(req, &directory, &found, Some(mode))?;
        let stat = rustix::fs::fstat(&found)?;
        let attr = object::attr(&found, &stat, INodeNo::ROOT)?;
        let ino = self.table().found_unnamed(parent, Key::of(&stat), found);
        Ok((FileAttr { ino, ..attr }, file))
    }

    /// Removes a name; the object stays known while the host program has references on it.
    pub(crate) fn remove(
        &self,
        parent: INodeNo,
        name: &OsStr,
        is_directory: bool,
    ) -> Result<(), Errno> {
        let directory = self.object(parent)?;
        let found = object::named(&directory, name)?;
        let key = Key::of(&rustix::fs::fstat(&found)?);
        object::remove(&directory, name, is_directory)?;
        self.table().lost_name(parent, name, key, found);
        Ok(())
    }

    pub(crate) fn rename(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let from_directory = self.object(from.0)?;
        let to_directory = self.object(to.0)?;
        let moved = object::named(&from_directory, from.1)?;
        let replaced = match object::named(&to_directory, to.1) {
            Ok(found) => Some(found),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let raw_flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        rustix::fs::renameat_with(&from_directory, from.1, &to_directory, to.1, raw_flags)?;
        let moved_key = Key::of(&rustix::fs::fstat(&moved)?);
        let is_exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let mut table = self.table();
        if let Some(replaced) = replaced {
            let key = Key::of(&rustix::fs::fstat(&replaced)?);
            if key == moved_key {
                // Two names of one inode: nothing happened.
                return Ok(());
            }
            if is_exchange {
                table.moved(key, from.0, from.1);
            } else {
                table.lost_name(to.0, to.1, key, replaced);
            }
        }
        table.moved(moved_key, to.0, to.1);
        Ok(())
    }

    pub(crate) fn link(
        &self,
        ino: INodeNo,
        parent: INodeNo,
        name: &OsStr,
    ) -> Result<FileAttr, Errno> {
        let source = self.object(ino)?;
        let directory = self.object(parent)?;
        let link = object::magic_link(&source);
        rustix::fs::linkat(CWD, link, &directory, name, AtFlags::SYMLINK_FOLLOW)?;
        let found = object::named(&directory, name)?;
        self.register(parent, name, found)
    }
}

fn has_default_acl(directory: &OwnedFd) -> bool {
    let link = object::magic_link(directory);
    rustix::fs::getxattr_query(link, DEFAULT_ACL).is_ok()
}

/// Gives a new object the caller's owner (only root can) and exactly the mode asked for.
fn finish(
    req: &Request,
    directory: &OwnedFd,
    found: &OwnedFd,
    mode: Option<u32>,
) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(found)?;
    if rustix::process::geteuid().is_root() && (stat.st_uid, stat.st_gid) != (req.uid(), req.gid())
    {
        let above = rustix::fs::fstat(directory)?;
        let is_set_gid = above.st_mode & libc::S_ISGID != 0;
        let gid = if is_set_gid { above.st_gid } else { req.gid() };
        object::set_owner(found, Some(req.uid()), Some(gid))?;
    }
    let Some(mode) = mode else {
        return Ok(()); // a symbolic link has no mode
    };
    // Set-group-id of a new directory comes from the one above.
    let inherited = match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => stat.st_mode & libc::S_ISGID,
        _ => 0,
    };
    let wanted = (mode & 0o7777) | inherited;
    let is_mode = rustix::fs::fstat(found)?.st_mode & 0o7777;
    if is_mode != wanted && !has_default_acl(directory) {
        object::set_mode(found, wanted)?;
    }
    Ok(())
}

/// Follows names from a directory, no symbolic links, nothing above it.
fn walk(base: &OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(base, relative, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(found),
        // Too long for one call, or a kernel or seccomp profile without openat2: name by name.
        Err(
            rustix::io::Errno::NAMETOOLONG
            | rustix::io::Errno::NOSYS
            | rustix::io::Errno::PERM
            | rustix::io::Errno::AGAIN,
        ) => walk_stepwise(base, relative),
        Err(error) => Err(error.into()),
    }
}

fn walk_stepwise(base: &OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let mut here: Option<OwnedFd> = None;
    for component in relative.components() {
        let Component::Normal(name) = component else {
            return Err(Errno::EINVAL);
        };
        here = Some(object::named(here.as_ref().unwrap_or(base), name)?);
    }
    here.ok_or(Errno::ENOENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_walk_find_the_same_and_follow_no_links() {
        let directory = std::env::temp_dir().join(format!("bind-walk-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("a/b/c")).unwrap();
        std::os::unix::fs::symlink("b", directory.join("a/link")).unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let base = rustix::fs::open(&directory, flags, Mode::empty()).unwrap();
        for way in [walk, walk_stepwise] {
            let found = way(&base, Path::new("a/b/c")).unwrap();
            let expected = rustix::fs::stat(directory.join("a/b/c")).unwrap();
            assert_eq!(rustix::fs::fstat(found).unwrap().st_ino, expected.st_ino);
            assert!(way(&base, Path::new("a/link/c")).is_err());
            assert!(way(&base, Path::new("a/../..")).is_err());
            let link = way(&base, Path::new("a/link")).unwrap();
            let stat = rustix::fs::fstat(link).unwrap();
            assert!(object::is_kind(&stat, fuse_compat::FileType::Symlink));
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
