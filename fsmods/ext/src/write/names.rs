//! Names are removed and added; link counts follow.

use super::edit::{Edit, FLAG_APPEND, FLAG_IMMUTABLE};
use super::entries::Target;
use super::{Op, refuse};
use crate::error::Result;
use crate::features::Variant;
use crate::inode::Kind;

/// `EXT4_LINK_MAX`.
const MAX_LINKS: u16 = 65000;
/// `EXT2_LINK_MAX`, which pathconf(3) tells where the type is `ext2` or `ext3`.
const OLD_MAX_LINKS: u16 = 32000;
const RO_COMPAT_DIR_NLINK: u32 = 0x20;

impl Op<'_> {
    /// Counts one more link. A directory with more links than can be counted has 1 (feature `dir_nlink`).
    ///
    /// # Errors
    /// EMLINK.
    pub(crate) fn add_link(&self, edit: &mut Edit) -> Result<()> {
        let links = edit.links();
        let most = match self.volume.geometry.features.variant() {
            Variant::Ext4 => MAX_LINKS,
            Variant::Ext2 | Variant::Ext3 => OLD_MAX_LINKS,
        };
        let can_stop =
            edit.is_directory() && self.volume.geometry.features.ro_compat(RO_COMPAT_DIR_NLINK);
        match links {
            1 if edit.is_directory() => {}
            _ if links >= most && can_stop => edit.set_links(1),
            _ if links >= most => return refuse(libc::EMLINK),
            _ => edit.set_links(links.saturating_add(1)),
        }
        Ok(())
    }

    /// Counts one link less of a directory that lost a subdirectory.
    pub(crate) fn drop_directory_link(&self, edit: &mut Edit) {
        if edit.links() > 2 {
            edit.set_links(edit.links().saturating_sub(1));
        }
    }

    /// The inode of a name.
    ///
    /// # Errors
    /// ENOENT, faults.
    pub(crate) fn require_name(&self, parent: u32, name: &[u8]) -> Result<Edit> {
        let directory = self.volume.inode(parent)?;
        match crate::dir::lookup(self.volume, &directory, name)? {
            Some(number) => self.edit_named(number),
            None => refuse(libc::ENOENT),
        }
    }

    fn require_removable(&self, dir: &Edit, edit: &Edit) -> Result<()> {
        if dir.flags() & FLAG_APPEND != 0 || edit.flags() & (FLAG_APPEND | FLAG_IMMUTABLE) != 0 {
            return refuse(libc::EPERM);
        }
        Ok(())
    }

    /// Removes a name that is not a directory's. The inode stays while the host refers to it.
    ///
    /// # Errors
    /// ENOENT, EISDIR, EPERM.
    pub(crate) fn unlink(&mut self, parent: u32, name: &[u8]) -> Result<()> {
        let number = self.run(|op| {
            let mut dir = op.edit_directory(parent)?;
            let mut edit = op.require_name(parent, name)?;
            if edit.is_directory() {
                return refuse(libc::EISDIR);
            }
            op.require_removable(&dir, &edit)?;
            op.remove_name(&mut dir, name)?;
            op.store(&mut dir)?;
            op.drop_link(&mut edit)?;
            Ok(edit.number)
        })?;
        self.delete_if_unused(number)
    }

    /// Counts one link less of an inode that is no directory, and stores it.
    pub(crate) fn drop_link(&mut self, edit: &mut Edit) -> Result<()> {
        edit.set_links(edit.links().saturating_sub(1));
        edit.changed();
        if edit.links() == 0 {
            self.add_orphan(edit)?;
        }
        self.store(edit)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, ENOTEMPTY, EBUSY, EPERM.
    pub(crate) fn rmdir(&mut self, parent: u32, name: &[u8]) -> Result<()> {
        match name {
            b"." => return refuse(libc::EINVAL),
            b".." => return refuse(libc::ENOTEMPTY),
            _ => {}
        }
        let number = self.run(|op| {
            let mut dir = op.edit_directory(parent)?;
            let mut edit = op.require_name(parent, name)?;
            if !edit.is_directory() {
                return refuse(libc::ENOTDIR);
            }
            if !op.is_empty_directory(edit.number)? {
                return refuse(libc::ENOTEMPTY);
            }
            op.require_removable(&dir, &edit)?;
            op.remove_name(&mut dir, name)?;
            op.drop_directory_link(&mut dir);
            op.store(&mut dir)?;
            op.drop_directory(&mut edit)?;
            Ok(edit.number)
        })?;
        self.delete_if_unused(number)
    }

    /// An empty directory has lost its name; it is stored.
    pub(crate) fn drop_directory(&mut self, edit: &mut Edit) -> Result<()> {
        edit.set_links(0);
        edit.changed();
        self.add_orphan(edit)?;
        self.store(edit)
    }

    /// Gives an inode another name.
    ///
    /// # Errors
    /// EEXIST, EPERM (a directory), EMLINK, ENOENT (no name left), ENOSPC.
    pub(crate) fn link(&mut self, number: u32, parent: u32, name: &[u8]) -> Result<()> {
        self.run(|op| {
            let mut dir = op.edit_directory(parent)?;
            let inode = op.volume.inode(number)?;
            if inode.kind == Kind::Directory {
                return refuse(libc::EPERM);
            }
            let mut edit = op.edit(number)?;
            if edit.flags() & (FLAG_APPEND | FLAG_IMMUTABLE) != 0 {
                return refuse(libc::EPERM);
            }
            op.require_free_name(parent, name)?;
            if edit.links() == 0 {
                // Made by O_TMPFILE, or its last name is gone but someone still has it open.
                op.remove_orphan(&mut edit)?;
            }
            op.add_link(&mut edit)?;
            edit.changed();
            op.store(&mut edit)?;
            let kind = op.entry_kind(inode.kind);
            op.add_name(
                &mut dir,
                Target {
                    name,
                    inode: number,
                    kind,
                },
            )?;
            op.store(&mut dir)
        })
    }
}
