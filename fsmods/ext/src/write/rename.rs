//! rename(2) with its flags.

use super::create::{New, Permissions};
use super::edit::Edit;
use super::entries::Target;
use super::{Op, refuse};
use crate::error::{Error, Result};
use crate::geometry::ROOT_INODE;
use crate::inode::Kind;

/// Directories passed on the way to the root before it is called a circle.
const MAX_DEPTH: u32 = 1 << 16;

/// What the flags ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) keeps_existing: bool,
    pub(crate) exchanges: bool,
    pub(crate) leaves_whiteout: bool,
}

/// A name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) parent: u32,
    pub(crate) name: &'a [u8],
}

impl Op<'_> {
    /// Moves a name.
    ///
    /// # Errors
    /// ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL, EMLINK, ENOSPC.
    pub(crate) fn rename(&mut self, from: At<'_>, to: At<'_>, flags: Flags) -> Result<()> {
        if flags.exchanges && (flags.keeps_existing || flags.leaves_whiteout) {
            return refuse(libc::EINVAL);
        }
        for name in [from.name, to.name] {
            if name == b"." || name == b".." {
                return refuse(libc::EBUSY);
            }
        }
        let replaced = self.run(|op| op.rename_whole(from, to, flags))?;
        match replaced {
            Some(number) => self.delete_if_unused(number),
            None => Ok(()),
        }
    }

    /// Fails when `ancestor` is the directory `number` or above it.
    fn require_outside(&self, ancestor: u32, number: u32, errno: i32) -> Result<()> {
        let mut at = number;
        for _ in 0..MAX_DEPTH {
            if at == ancestor {
                return refuse(errno);
            }
            if at == ROOT_INODE {
                return Ok(());
            }
            let directory = self.volume.inode(at)?;
            at = crate::dir::lookup(self.volume, &directory, b"..")?
                .ok_or(Error::Refused(libc::ENOENT))?;
        }
        refuse(libc::ELOOP)
    }

    fn rename_whole(&mut self, from: At<'_>, to: At<'_>, flags: Flags) -> Result<Option<u32>> {
        // Both directories have to be usable before anything is looked up.
        let old = self.edit_directory(from.parent)?;
        let new = self.edit_directory(to.parent)?;
        let source = self.require_name(from.parent, from.name)?;
        self.require_removable(&old, &source)?;
        let target = match self.require_name(to.parent, to.name) {
            Ok(target) => Some(target),
            Err(Error::Refused(libc::ENOENT)) => None,
            Err(error) => return Err(error),
        };
        if let Some(target) = &target {
            self.require_removable(&new, target)?;
        }
        if source.is_directory() {
            self.require_outside(source.number, to.parent, libc::EINVAL)?;
        }
        if flags.exchanges {
            let Some(target) = target else {
                return refuse(libc::ENOENT);
            };
            if target.is_directory() {
                self.require_outside(target.number, from.parent, libc::EINVAL)?;
            }
            self.exchange(from, to, source, target)?;
            return Ok(None);
        }
        if target.is_some() && flags.keeps_existing {
            return refuse(libc::EEXIST);
        }
        if let Some(target) = &target {
            if target.is_directory() {
                // The target may not be above the source.
                self.require_outside(target.number, from.parent, libc::ENOTEMPTY)?;
            }
            if target.number == source.number {
                return Ok(None);
            }
            match (source.is_directory(), target.is_directory()) {
                (true, false) => return refuse(libc::ENOTDIR),
                (false, true) => return refuse(libc::EISDIR),
                (true, true) if !self.is_empty_directory(target.number)? => {
                    return refuse(libc::ENOTEMPTY);
                }
                _ => {}
            }
        }
        self.move_name(from, to, source, target, flags)
    }

    fn move_name(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        mut source: Edit,
        target: Option<Edit>,
        flags: Flags,
    ) -> Result<Option<u32>> {
        let is_directory = source.is_directory();
        let moves = from.parent != to.parent;
        let kind = self.entry_kind(source.inode(self.volume)?.kind);
        let new = Target {
            name: to.name,
            inode: source.number,
            kind,
        };
        // The new name first: at no time the inode has none.
        let mut new_dir = self.edit_directory(to.parent)?;
        let mut replaced = None;
        match target {
            Some(mut target) => {
                self.replace_name(&mut new_dir, new)?;
                if target.is_directory() {
                    self.drop_directory_link(&mut new_dir);
                    self.drop_directory(&mut target)?;
                } else {
                    self.drop_link(&mut target)?;
                }
                replaced = (target.links() == 0).then_some(target.number);
            }
            None => {
                if name_is_bad(to.name) {
                    return refuse(libc::EINVAL);
                }
                self.add_name(&mut new_dir, new)?;
            }
        }
        if is_directory && moves {
            self.add_link(&mut new_dir)?;
        }
        self.store(&mut new_dir)?;
        if flags.leaves_whiteout {
            self.leave_whiteout(from)?;
        } else {
            let mut old_dir = self.edit_directory(from.parent)?;
            self.remove_name(&mut old_dir, from.name)?;
            self.store(&mut old_dir)?;
        }
        if is_directory && moves {
            let mut old_dir = self.edit_directory(from.parent)?;
            self.drop_directory_link(&mut old_dir);
            self.store(&mut old_dir)?;
            self.set_parent(&mut source, to.parent)?;
        }
        source.changed();
        self.store(&mut source)?;
        Ok(replaced)
    }

    fn set_parent(&mut self, dir: &mut Edit, parent: u32) -> Result<()> {
        let kind = self.entry_kind(Kind::Directory);
        self.replace_name(
            dir,
            Target {
                name: b"..",
                inode: parent,
                kind,
            },
        )?;
        Ok(())
    }

    /// The old name becomes a whiteout: the device node 0:0 that overlay file systems use.
    fn leave_whiteout(&mut self, at: At<'_>) -> Result<()> {
        let dir = self.edit_directory(at.parent)?;
        let permissions = Permissions { mode: 0, umask: 0 };
        let whiteout = New::Device(Kind::CharacterDevice, 0);
        let mut edit = self.make(&dir, whiteout, permissions)?;
        edit.set_links(1);
        self.store(&mut edit)?;
        let kind = self.entry_kind(Kind::CharacterDevice);
        let mut dir = self.edit_directory(at.parent)?;
        self.replace_name(
            &mut dir,
            Target {
                name: at.name,
                inode: edit.number,
                kind,
            },
        )?;
        self.store(&mut dir)
    }

    fn exchange(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        mut source: Edit,
        mut target: Edit,
    ) -> Result<()> {
        if source.number == target.number {
            return Ok(());
        }
        let source_kind = self.entry_kind(source.inode(self.volume)?.kind);
        let target_kind = self.entry_kind(target.inode(self.volume)?.kind);
        let mut dir = self.edit_directory(to.parent)?;
        self.replace_name(
            &mut dir,
            Target {
                name: to.name,
                inode: source.number,
                kind: source_kind,
            },
        )?;
        self.store(&mut dir)?;
        let mut dir = self.edit_directory(from.parent)?;
        self.replace_name(
            &mut dir,
            Target {
                name: from.name,
                inode: target.number,
                kind: target_kind,
            },
        )?;
        self.store(&mut dir)?;
        if from.parent != to.parent {
            if source.is_directory() != target.is_directory() {
                let (gains, loses) = match source.is_directory() {
                    true => (to.parent, from.parent),
                    false => (from.parent, to.parent),
                };
                let mut dir = self.edit_directory(gains)?;
                self.add_link(&mut dir)?;
                self.store(&mut dir)?;
                let mut dir = self.edit_directory(loses)?;
                self.drop_directory_link(&mut dir);
                self.store(&mut dir)?;
            }
            if source.is_directory() {
                self.set_parent(&mut source, to.parent)?;
            }
            if target.is_directory() {
                self.set_parent(&mut target, from.parent)?;
            }
        }
        source.changed();
        self.store(&mut source)?;
        target.changed();
        self.store(&mut target)
    }
}

fn name_is_bad(name: &[u8]) -> bool {
    name.is_empty() || name.contains(&b'/') || name.contains(&0)
}
