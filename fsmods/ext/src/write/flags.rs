//! Inode flags: what ioctl_iflags(2) changes, and what `FS_IMMUTABLE_FL` and `FS_APPEND_FL` forbid.
//!
//! Who may change them, and which opens they forbid, is the host's to check. Reference: `ext4_fileattr_set` and `ext4_ioctl_setflags` of fs/ext4/ioctl.c.

use super::edit::{FLAG_APPEND, FLAG_IMMUTABLE};
use super::{Op, refuse};
use crate::error::Result;
use crate::ext::VISIBLE_FLAGS;
use crate::inode::Kind;

/// `EXT4_FL_USER_MODIFIABLE`: others are passed over, since chattr(1) sends back what it was told.
const MODIFIABLE: u32 = 0x604b_c0ff;
/// Of those, what can be changed here; the rest changes how content is stored.
const SETTABLE: u32 = 0x0003_80ff;
/// `FS_DIRSYNC_FL`, `FS_TOPDIR_FL` and what only directories have besides.
const OF_DIRECTORIES: u32 = 0x6003_0000;
/// `FS_NODUMP_FL`, `FS_NOATIME_FL`: all that other kinds of inodes have.
const OF_OTHERS: u32 = 0xc0;

impl Op<'_> {
    /// Sets the flags that may be set.
    ///
    /// # Errors
    /// EOPNOTSUPP for flags that are unknown, not for this kind of inode, or not to be changed here; EPERM while it is
    /// immutable and stays so.
    pub(crate) fn set_flags(&mut self, number: u32, flags: u32) -> Result<()> {
        if flags & !VISIBLE_FLAGS != 0 {
            return refuse(libc::EOPNOTSUPP);
        }
        let flags = flags & MODIFIABLE;
        self.run(|op| {
            let kind = op.volume.inode(number)?.kind;
            let mut edit = op.edit(number)?;
            let before = edit.flags();
            let has = match kind {
                Kind::Directory => MODIFIABLE,
                Kind::Regular => MODIFIABLE & !OF_DIRECTORIES,
                _ => OF_OTHERS,
            };
            let changed = (before ^ flags) & MODIFIABLE;
            if flags & !has != 0 || changed & !SETTABLE != 0 {
                return refuse(libc::EOPNOTSUPP);
            }
            if before & flags & FLAG_IMMUTABLE != 0 && changed != 0 {
                return refuse(libc::EPERM);
            }
            edit.set_flags(before & !SETTABLE | flags & SETTABLE);
            edit.changed();
            op.store(&mut edit)
        })
    }

    /// Whether a file may be written from `offset` on by a caller. What a host has cached was written when it might be.
    ///
    /// # Errors
    /// EPERM.
    pub(crate) fn may_write(&self, number: u32, offset: u64) -> Result<()> {
        let inode = self.volume.inode(number)?;
        if inode.flags & FLAG_APPEND != 0 && offset < inode.size {
            return refuse(libc::EPERM);
        }
        Ok(())
    }
}
