//! New inodes with their first name, or without one.

use super::edit::Edit;
use super::entries::Target;
use super::{Op, refuse};
use crate::acl;
use crate::bytes::put;
use crate::error::Result;
use crate::inode::Kind;
use crate::map::extents::Extent;

/// Flags that a new inode takes from its directory: sync, nodump, noatime, and (directories) dirsync.
const INHERITED_FLAGS: u32 = 0x8 | 0x40 | 0x80;
const INHERITED_DIRECTORY_FLAGS: u32 = INHERITED_FLAGS | 0x1_0000;
const SET_GID: u16 = 0o2000;

/// What to make.
#[derive(Clone, Copy)]
pub(crate) enum New<'a> {
    Regular,
    Directory,
    Symlink(&'a [u8]),
    /// A device node, with its number in Linux's 32-bit encoding.
    Device(Kind, u32),
    /// A FIFO or a socket.
    Plain(Kind),
}

impl New<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Regular => Kind::Regular,
            Self::Directory => Kind::Directory,
            Self::Symlink(_) => Kind::Symlink,
            Self::Device(kind, _) | Self::Plain(kind) => *kind,
        }
    }
}

/// The type bits of a kind.
pub(crate) fn type_bits(kind: Kind) -> u16 {
    match kind {
        Kind::Regular => 0x8000,
        Kind::Directory => 0x4000,
        Kind::Symlink => 0xa000,
        Kind::CharacterDevice => 0x2000,
        Kind::BlockDevice => 0x6000,
        Kind::Fifo => 0x1000,
        Kind::Socket => 0xc000,
    }
}

/// Permission bits as the caller gave them.
#[derive(Clone, Copy)]
pub(crate) struct Permissions {
    pub(crate) mode: u32,
    pub(crate) umask: u32,
}

impl Op<'_> {
    /// Makes an inode with a name.
    ///
    /// # Errors
    /// EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG, EMLINK, ENOSPC.
    pub(crate) fn create(
        &mut self,
        parent: u32,
        name: &[u8],
        new: New<'_>,
        permissions: Permissions,
    ) -> Result<u32> {
        self.run(|op| {
            let mut dir = op.edit_directory(parent)?;
            op.require_free_name(parent, name)?;
            if matches!(new, New::Directory) {
                op.add_link(&mut dir)?;
            }
            let mut edit = op.make(&dir, new, permissions)?;
            edit.set_links(if edit.is_directory() { 2 } else { 1 });
            op.store(&mut edit)?;
            let kind = op.entry_kind(new.kind());
            op.add_name(
                &mut dir,
                Target {
                    name,
                    inode: edit.number,
                    kind,
                },
            )?;
            op.store(&mut dir)?;
            Ok(edit.number)
        })
    }

    /// Makes a regular file without a name, on the list of orphans.
    ///
    /// # Errors
    /// ENOTDIR, ENOSPC.
    pub(crate) fn create_unnamed(&mut self, parent: u32, permissions: Permissions) -> Result<u32> {
        self.run(|op| {
            let dir = op.edit_directory(parent)?;
            let mut edit = op.make(&dir, New::Regular, permissions)?;
            op.add_orphan(&mut edit)?;
            op.store(&mut edit)?;
            Ok(edit.number)
        })
    }

    /// Checks a new name.
    ///
    /// # Errors
    /// EEXIST, ENAMETOOLONG, EINVAL.
    pub(crate) fn require_free_name(&self, parent: u32, name: &[u8]) -> Result<()> {
        if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
            return refuse(libc::EINVAL);
        }
        let directory = self.volume.inode(parent)?;
        match crate::dir::lookup(self.volume, &directory, name)? {
            Some(_) => refuse(libc::EEXIST),
            None if name == b"." || name == b".." => refuse(libc::EEXIST),
            None => Ok(()),
        }
    }

    /// Makes an inode that belongs in a directory: owner, mode, ACLs, and its first content.
    pub(crate) fn make(
        &mut self,
        dir: &Edit,
        new: New<'_>,
        permissions: Permissions,
    ) -> Result<Edit> {
        let kind = new.kind();
        let parent = dir.inode(self.volume)?;
        let mut bits = (permissions.mode & 0o7777) as u16;
        let mut gid = self.caller.gid;
        if parent.mode & SET_GID != 0 {
            gid = parent.gid;
            if kind == Kind::Directory {
                bits |= SET_GID;
            }
        }
        let default = match kind {
            Kind::Symlink => None,
            _ => self.raw_xattr(&parent, acl::INDEX_DEFAULT, b"")?,
        };
        let mut access = None;
        match &default {
            // A default ACL takes the place of the umask, acl(5).
            Some(default) => {
                let (list, masked) = acl::inherit(default, bits);
                bits = masked;
                access = list;
            }
            None if kind != Kind::Symlink => bits &= !(permissions.umask as u16 & 0o777),
            None => {}
        }
        let mode = type_bits(kind) | bits;
        let mut edit = self.new_inode(dir.number, mode, self.caller.uid, gid)?;
        let mask = match kind {
            Kind::Directory => INHERITED_DIRECTORY_FLAGS,
            _ => INHERITED_FLAGS,
        };
        edit.set_flags(edit.flags() | dir.flags() & mask);
        match new {
            New::Directory => self.fill_new_directory(&mut edit, dir.number)?,
            New::Symlink(target) => self.fill_link(&mut edit, target)?,
            New::Device(_, device) => fill_device(&mut edit, device),
            New::Regular | New::Plain(_) => {}
        }
        if let Some(list) = access {
            self.put_raw_xattr(&mut edit, acl::INDEX_ACCESS, b"", Some(&list))?;
        }
        if kind == Kind::Directory
            && let Some(list) = default
        {
            self.put_raw_xattr(&mut edit, acl::INDEX_DEFAULT, b"", Some(&list))?;
        }
        Ok(edit)
    }

    fn fill_link(&mut self, edit: &mut Edit, target: &[u8]) -> Result<()> {
        let size = self.volume.geometry.block_size;
        // One byte for the zero behind it, as the kernel counts.
        if target.is_empty() || target.len() >= size.min(4096) {
            return refuse(libc::ENAMETOOLONG);
        }
        edit.set_size(target.len() as u64);
        if target.len() < 60 {
            edit.set_block(0, target);
            return Ok(());
        }
        if self
            .volume
            .geometry
            .features
            .incompat(crate::features::INCOMPAT_EXTENTS)
        {
            edit.make_extents();
        }
        let (at, count) = self.allocate_for(edit, 0, 1)?;
        let mut bytes = vec![0u8; size];
        put(&mut bytes, 0, target);
        self.volume.blocks.write_raw(at, 0, &bytes)?;
        self.insert(
            edit,
            Extent {
                start: 0,
                count,
                at,
                is_unwritten: false,
            },
        )
    }
}

/// Stores a device number: the old form where it fits, else the new one in the second word.
fn fill_device(edit: &mut Edit, device: u32) {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    if major < 256 && minor < 256 {
        edit.set_block(0, &(major << 8 | minor).to_le_bytes());
    } else {
        edit.set_block(4, &device.to_le_bytes());
    }
}
