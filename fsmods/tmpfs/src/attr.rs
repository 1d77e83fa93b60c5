//! Attributes: stat, chmod, chown, truncate, utimensat.

use std::ffi::OsStr;
use std::time::SystemTime;

use fuse_compat::{Errno, FileAttr, INodeNo, TimeOrNow, time};

use crate::acl::{self, Acl};
use crate::contents::Contents;
use crate::options::BLOCK_BYTES;
use crate::tree::{Inode, Node, Tree, drop_lost_set_id, now};

/// What a directory entry counts in `st_size` on Linux's tmpfs (`BOGO_DIRENT_SIZE`).
const ENTRY_BYTES: u64 = 20;
/// Symbolic links shorter than this take no page on Linux's tmpfs (`SHORT_SYMLINK_LEN`).
const SHORT_LINK_BYTES: usize = 128;

/// A setattr request.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) atime: Option<TimeOrNow>,
    pub(crate) mtime: Option<TimeOrNow>,
}

impl Change {
    fn has_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    fn has_times(&self) -> bool {
        self.atime.is_some() || self.mtime.is_some()
    }
}

impl Tree {
    pub(crate) fn attr(&mut self, ino: INodeNo) -> Result<FileAttr, Errno> {
        let inode = self.inode_mut(ino)?;
        let mut attr = FileAttr {
            ino,
            size: 0,
            blocks: 0,
            atime: inode.atime,
            mtime: inode.mtime,
            ctime: inode.ctime,
            crtime: inode.crtime,
            kind: inode.kind(),
            perm: inode.perm,
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            rdev: 0,
            blksize: BLOCK_BYTES as u32,
            flags: 0,
        };
        match &inode.node {
            Node::Regular(contents) => {
                let stat = contents.stat()?;
                inode.perm = drop_lost_set_id(inode.perm, Contents::set_id_bits(&stat));
                attr.perm = inode.perm;
                attr.size = stat.st_size as u64;
                attr.blocks = stat.st_blocks as u64;
                attr.atime = time::system_time(stat.st_atime, stat.st_atime_nsec as u32);
                attr.mtime = time::system_time(stat.st_mtime, stat.st_mtime_nsec as u32);
                attr.ctime = time::system_time(stat.st_ctime, stat.st_ctime_nsec as u32);
            }
            Node::Directory(directory) => {
                attr.size = (directory.len() as u64 + 2) * ENTRY_BYTES;
            }
            Node::Symlink(target) => {
                attr.size = target.len() as u64;
                attr.blocks = if target.len() < SHORT_LINK_BYTES {
                    0
                } else {
                    8
                };
            }
            Node::Special(_, rdev) => attr.rdev = *rdev,
        }
        Ok(attr)
    }

    pub(crate) fn set_attr(&mut self, ino: INodeNo, change: &Change) -> Result<(), Errno> {
        if let Some(size) = change.size {
            self.contents(ino)?.set_size(size)?;
        }
        let inode = self.inode_mut(ino)?;
        if let Node::Regular(contents) = &inode.node {
            let stat = contents.stat()?;
            inode.perm = drop_lost_set_id(inode.perm, Contents::set_id_bits(&stat));
        }
        let mut perm = inode.perm;
        if change.has_owner() && !inode.is_directory() {
            perm = without_set_id(perm);
        }
        if let Some(mode) = change.mode {
            perm = (mode & 0o7777) as u16;
            set_acl_bits(inode, perm)?;
        }
        inode.perm = perm;
        inode.uid = change.uid.unwrap_or(inode.uid);
        inode.gid = change.gid.unwrap_or(inode.gid);
        let is_changed = change.has_owner() || change.mode.is_some() || change.has_times();
        match &inode.node {
            Node::Regular(contents) => {
                if change.has_owner() || change.mode.is_some() {
                    contents.set_mode(perm)?;
                }
                if change.has_times() {
                    contents.set_times(change.atime, change.mtime)?;
                }
            }
            _ if is_changed => {
                inode.ctime = now();
                if let Some(time) = change.atime {
                    inode.atime = resolve(time, inode.ctime);
                }
                if let Some(time) = change.mtime {
                    inode.mtime = resolve(time, inode.ctime);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A file was written by somebody who must not keep its set-id bits.
    pub(crate) fn drop_set_id(&mut self, ino: INodeNo) -> Result<(), Errno> {
        let inode = self.inode_mut(ino)?;
        let perm = without_set_id(inode.perm);
        if perm != inode.perm {
            inode.perm = perm;
            inode.touch()?;
        }
        Ok(())
    }

    /// A directory was listed or a link was read: sets atime as the mount option `relatime` does (mount(8)).
    pub(crate) fn accessed(&mut self, ino: INodeNo) {
        const DAY_SECONDS: u64 = 24 * 60 * 60;
        let Ok(inode) = self.inode_mut(ino) else {
            return;
        };
        let now = now();
        let is_old = |atime: SystemTime| {
            now.duration_since(atime)
                .is_ok_and(|age| age.as_secs() >= DAY_SECONDS)
        };
        if inode.atime <= inode.mtime || inode.atime <= inode.ctime || is_old(inode.atime) {
            inode.atime = now;
        }
    }
}

/// What chown(2) leaves of the permission bits: set-group-id without group execution is not an identity bit.
fn without_set_id(perm: u16) -> u16 {
    let is_group_executable = perm & 0o010 != 0;
    let dropped = if is_group_executable { 0o6000 } else { 0o4000 };
    perm & !dropped
}

fn resolve(time: TimeOrNow, now: SystemTime) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => now,
    }
}

/// chmod changes an access ACL too.
fn set_acl_bits(inode: &mut Inode, perm: u16) -> Result<(), Errno> {
    if let Some(bytes) = inode.xattrs.get_mut(OsStr::new(acl::ACCESS)) {
        let mut list = Acl::parse(bytes)?;
        list.set_permission_bits(perm);
        *bytes = list.to_bytes();
    }
    Ok(())
}
