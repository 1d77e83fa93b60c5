//! Operations on names: create, link, unlink, rmdir, rename. Order of checks and errors as in Linux `fs/namei.c` and
//! `fs/libfs.c`; permissions and the sticky bit are the caller's business.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuse_compat::{Errno, INodeNo, RenameFlags, Request};

use crate::acl::{self, Acl};
use crate::contents::Contents;
use crate::directory::Directory;
use crate::tree::{Inode, NAME_MAX, Node, Tree};

/// Set-group-id: on a directory, its new entries get its group.
const SET_GROUP_ID: u16 = 0o2000;

/// What a create operation makes.
pub(crate) enum New<'a> {
    Regular,
    Directory,
    Symlink(&'a OsStr),
    Special(fuse_compat::FileType, u32),
}

fn check_name(name: &OsStr) -> Result<(), Errno> {
    match name.as_bytes() {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EEXIST),
        bytes if bytes.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        bytes if bytes.contains(&b'/') || bytes.contains(&0) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

impl Tree {
    /// What `name` means in a directory. Errors: `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`.
    pub(crate) fn lookup(&self, parent: INodeNo, name: &OsStr) -> Result<INodeNo, Errno> {
        let directory = self.directory(parent)?;
        match name.as_bytes() {
            b"." => Ok(parent),
            b".." => Ok(directory.parent),
            bytes if bytes.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            _ => directory.get(name).ok_or(Errno::ENOENT),
        }
    }

    /// Can `name` be made in `parent`? Errors: `EEXIST`, `ENOENT` (the directory was removed), `ENAMETOOLONG`.
    fn check_new_name(&self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        check_name(name)?;
        let directory = self.directory(parent)?;
        if directory.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.inode(parent)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    /// Makes an inode that belongs in `parent`, with owner, mode and ACLs as its directory wants them.
    fn new_inode(
        &mut self,
        req: &Request,
        parent: INodeNo,
        new: &New<'_>,
        mode: u32,
        umask: u32,
    ) -> Result<Inode, Errno> {
        let directory = self.inode(parent)?;
        let is_set_gid = directory.perm & SET_GROUP_ID != 0;
        let gid = if is_set_gid { directory.gid } else { req.gid() };
        let default = directory.xattrs.get(OsStr::new(acl::DEFAULT)).cloned();
        let mut perm = (mode & 0o7777) as u16;
        let mut access = None;
        if matches!(new, New::Symlink(_)) {
            perm = 0o777;
        } else if let Some(bytes) = &default {
            // A default ACL takes the place of the umask, acl(5).
            let mut inherited = Acl::parse(bytes)?;
            perm = inherited.inherit(perm);
            if !inherited.is_minimal() {
                access = Some(inherited.to_bytes());
            }
        } else {
            perm &= !(umask as u16) | 0o7000;
        }
        let node = match new {
            New::Regular => Node::Regular(Arc::new(Contents::new(perm)?)),
            New::Directory => {
                if is_set_gid {
                    perm |= SET_GROUP_ID;
                }
                Node::Directory(Directory::new(parent))
            }
            New::Symlink(target) => Node::Symlink((*target).to_owned()),
            New::Special(kind, rdev) => Node::Special(*kind, *rdev),
        };
        let mut inode = Inode::new(node, perm, req.uid(), gid);
        if let Some(bytes) = access {
            inode.xattrs.insert(acl::ACCESS.into(), bytes);
        }
        if let (Some(bytes), true) = (default, inode.is_directory()) {
            inode.xattrs.insert(acl::DEFAULT.into(), bytes);
        }
        Ok(inode)
    }

    /// Makes a new inode with a name.
    pub(crate) fn create(
        &mut self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new: &New<'_>,
        mode: u32,
        umask: u32,
    ) -> Result<INodeNo, Errno> {
        self.check_new_name(parent, name)?;
        let inode = self.new_inode(req, parent, new, mode, umask)?;
        let is_directory = inode.is_directory();
        let ino = self.add(inode)?;
        self.directory_mut(parent)?.insert(name, ino);
        let above = self.inode_mut(parent)?;
        above.nlink += u32::from(is_directory);
        above.touch_names();
        Ok(ino)
    }

    /// Makes a regular file without a name; the caller takes a reference.
    pub(crate) fn create_unnamed(
        &mut self,
        req: &Request,
        parent: INodeNo,
        mode: u32,
        umask: u32,
        is_linkable: bool,
    ) -> Result<INodeNo, Errno> {
        self.directory(parent)?;
        if self.inode(parent)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let mut inode = self.new_inode(req, parent, &New::Regular, mode, umask)?;
        inode.nlink = 0;
        inode.is_linkable = is_linkable;
        self.add(inode)
    }

    pub(crate) fn link(
        &mut self,
        ino: INodeNo,
        parent: INodeNo,
        name: &OsStr,
    ) -> Result<(), Errno> {
        self.check_new_name(parent, name)?;
        let inode = self.inode_mut(ino)?;
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        if inode.nlink == 0 && !inode.is_linkable {
            return Err(Errno::ENOENT);
        }
        inode.nlink = inode.nlink.checked_add(1).ok_or(Errno::EMLINK)?;
        inode.is_linkable = false;
        inode.touch()?;
        self.directory_mut(parent)?.insert(name, ino);
        self.inode_mut(parent)?.touch_names();
        Ok(())
    }

    pub(crate) fn unlink(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let ino = self.named(parent, name)?;
        if self.inode(ino)?.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.directory_mut(parent)?.remove(name);
        self.inode_mut(parent)?.touch_names();
        self.lose_name(ino)
    }

    pub(crate) fn rmdir(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        match name.as_bytes() {
            b"." => return Err(Errno::EINVAL),
            b".." => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        let ino = self.named(parent, name)?;
        if !self.directory(ino)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.directory_mut(parent)?.remove(name);
        let above = self.inode_mut(parent)?;
        above.nlink = above.nlink.saturating_sub(1);
        above.touch_names();
        self.lose_name(ino)
    }

    /// What an existing name other than `.` and `..` means.
    fn named(&self, parent: INodeNo, name: &OsStr) -> Result<INodeNo, Errno> {
        let directory = self.directory(parent)?;
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        directory.get(name).ok_or(Errno::ENOENT)
    }

    /// A name of the inode is gone; it goes with the last name and reference.
    fn lose_name(&mut self, ino: INodeNo) -> Result<(), Errno> {
        let inode = self.inode_mut(ino)?;
        inode.nlink = match &inode.node {
            Node::Directory(_) => 0,
            _ => inode.nlink.saturating_sub(1),
        };
        let touched = inode.touch();
        self.drop_if_unused(ino);
        touched
    }

    /// Is `ino` the directory `below`, or above it?
    fn is_above(&self, ino: INodeNo, below: INodeNo) -> Result<bool, Errno> {
        let mut here = below;
        loop {
            if here == ino {
                return Ok(true);
            }
            let parent = self.directory(here)?.parent;
            if parent == here {
                return Ok(false);
            }
            here = parent;
        }
    }

    pub(crate) fn rename(
        &mut self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let is_exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let is_unknown = !RenameFlags::all().contains(flags);
        if is_unknown || (is_exchange && flags != RenameFlags::RENAME_EXCHANGE) {
            return Err(Errno::EINVAL);
        }
        let ino = self.named(parent, name)?;
        check_name(new_name)?;
        let target = self.directory(new_parent)?.get(new_name);
        if target.is_some() && flags.contains(RenameFlags::RENAME_NOREPLACE) {
            return Err(Errno::EEXIST);
        }
        if target.is_none() && is_exchange {
            return Err(Errno::ENOENT);
        }
        if self.inode(new_parent)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let is_directory = self.inode(ino)?.is_directory();
        if is_directory && self.is_above(ino, new_parent)? {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = target {
            if self.inode(target)?.is_directory() && self.is_above(target, parent)? {
                return Err(if is_exchange {
                    Errno::EINVAL
                } else {
                    Errno::ENOTEMPTY
                });
            }
            if target == ino {
                return Ok(());
            }
            if is_exchange {
                return self.exchange((parent, name, ino), (new_parent, new_name, target));
            }
            match (is_directory, self.inode(target)?.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.directory(target)?.is_empty() => {
                    return Err(Errno::ENOTEMPTY);
                }
                _ => {}
            }
        }
        let whiteout = if flags.contains(RenameFlags::RENAME_WHITEOUT) {
            // What an overlay leaves behind: a character device 0:0 (Linux `shmem_whiteout`).
            let node = New::Special(fuse_compat::FileType::CharDevice, 0);
            let inode = self.new_inode(req, parent, &node, 0, 0)?;
            Some(self.add(inode)?)
        } else {
            None
        };
        // From here on nothing fails half-way: all inodes are known to exist.
        match whiteout {
            Some(whiteout) => self.directory_mut(parent)?.insert(name, whiteout),
            None => self.directory_mut(parent)?.remove(name),
        };
        self.directory_mut(new_parent)?.insert(new_name, ino);
        if is_directory {
            self.directory_mut(ino)?.parent = new_parent;
            let from = self.inode_mut(parent)?;
            from.nlink = from.nlink.saturating_sub(1);
            let to = self.inode_mut(new_parent)?;
            to.nlink += u32::from(target.is_none());
        }
        self.inode_mut(parent)?.touch_names();
        self.inode_mut(new_parent)?.touch_names();
        self.inode_mut(ino)?.touch()?;
        match target {
            Some(target) => self.lose_name(target),
            None => Ok(()),
        }
    }

    /// Makes two existing names change places.
    fn exchange(
        &mut self,
        (parent, name, ino): (INodeNo, &OsStr, INodeNo),
        (new_parent, new_name, target): (INodeNo, &OsStr, INodeNo),
    ) -> Result<(), Errno> {
        self.directory_mut(parent)?.insert(name, target);
        self.directory_mut(new_parent)?.insert(new_name, ino);
        for (moved, from, to) in [(ino, parent, new_parent), (target, new_parent, parent)] {
            if self.inode(moved)?.is_directory() {
                self.directory_mut(moved)?.parent = to;
                let above = self.inode_mut(from)?;
                above.nlink = above.nlink.saturating_sub(1);
                self.inode_mut(to)?.nlink += 1;
            }
            self.inode_mut(moved)?.touch()?;
        }
        self.inode_mut(parent)?.touch_names();
        self.inode_mut(new_parent)?.touch_names();
        Ok(())
    }
}
