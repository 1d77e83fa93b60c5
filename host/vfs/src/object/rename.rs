//! rename with all flags, with the checks of Linux's `do_renameat2` and `vfs_rename` in their order.

use std::sync::Arc;

use fuse_compat::{RenameFlags, sync};
use rustix::io::Errno;

use super::dentry::Dentry;
use super::lookup::os_str;
use super::module_error;
use crate::attributes::Kind;
use crate::credentials::Caller;
use crate::permission::MAY_WRITE;

/// `RENAME_NOREPLACE`, `RENAME_EXCHANGE` and `RENAME_WHITEOUT`, rename(2).
const NOREPLACE: u32 = 1;
const EXCHANGE: u32 = 2;
const WHITEOUT: u32 = 4;

/// One end of a rename.
struct End<'a> {
    parent: &'a Arc<Dentry>,
    name: &'a [u8],
}

impl Dentry {
    /// renameat2(2): `name` in this directory becomes `new_name` in `new_parent`. The flags are `RENAME_*`.
    ///
    /// # Errors
    /// `EINVAL`, `EXDEV`, `EROFS`, `ENOENT`, `EEXIST`, `ENOTDIR`, `ENOTEMPTY`, `EACCES`, `EPERM`, `EISDIR`, `EBUSY`;
    /// those of the module.
    #[allow(clippy::too_many_arguments)]
    pub fn rename(
        self: &Arc<Self>,
        name: &[u8],
        has_old_slash: bool,
        new_parent: &Arc<Dentry>,
        new_name: &[u8],
        has_new_slash: bool,
        flags: u32,
        caller: &Caller,
    ) -> Result<(), Errno> {
        check_rename_flags(flags)?;
        let instance = self.instance();
        if !Arc::ptr_eq(instance, new_parent.instance()) {
            return Err(Errno::XDEV);
        }
        if instance.refuses_changes(caller) {
            return Err(Errno::ROFS);
        }
        // Held over everything that follows when parents differ: the tree's shape must not change in between.
        let _order = (!Arc::ptr_eq(self, new_parent)).then(|| instance.directory_renames.lock());
        let old = self.lookup(name)?;
        let new = match new_parent.lookup(new_name) {
            Ok(dentry) => Some(dentry),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error),
        };
        let is_exchange = flags & EXCHANGE != 0;
        if flags & NOREPLACE != 0 && new.is_some() {
            return Err(Errno::EXIST);
        }
        let old_is_directory = old.kind() == Kind::Directory;
        let new_is_directory = new
            .as_ref()
            .is_some_and(|dentry| dentry.kind() == Kind::Directory);
        if is_exchange {
            if new.is_none() {
                return Err(Errno::NOENT);
            }
            if !new_is_directory && has_new_slash {
                return Err(Errno::NOTDIR);
            }
        }
        if !old_is_directory && (has_old_slash || (!is_exchange && has_new_slash)) {
            return Err(Errno::NOTDIR);
        }
        if old.is_ancestor_of(new_parent) {
            return Err(Errno::INVAL);
        }
        if let Some(new) = &new
            && new.is_ancestor_of(self)
        {
            return Err(if is_exchange {
                Errno::INVAL
            } else {
                Errno::NOTEMPTY
            });
        }
        if let Some(new) = &new
            && Arc::ptr_eq(old.inode(), new.inode())
        {
            return Ok(()); // two names of one inode: nothing happens, both stay
        }
        self.may_delete(&old, old_is_directory, caller)?;
        match &new {
            None => new_parent.may_create(caller)?,
            Some(new) => {
                let as_directory = if is_exchange {
                    new_is_directory
                } else {
                    old_is_directory
                };
                new_parent.may_delete(new, as_directory, caller)?;
            }
        }
        if !Arc::ptr_eq(self, new_parent) {
            // A directory that moves gets another `..`, which is a change of the directory itself.
            if old_is_directory {
                old.check_access(caller, MAY_WRITE)?;
            }
            if let Some(new) = &new
                && is_exchange
                && new_is_directory
            {
                new.check_access(caller, MAY_WRITE)?;
            }
        }
        if old.is_mount_point() || new.as_ref().is_some_and(|new| new.is_mount_point()) {
            return Err(Errno::BUSY);
        }
        if !is_exchange && new.is_some() && old.kind() == Kind::RegularFile {
            // Who replaces a file without fsync(2) means to have the old contents or the new ones after a crash, not
            // none (ext4(5), `auto_da_alloc`). An error is remembered by the file.
            let _ = old.write_back();
        }
        let request = instance.request_of(&caller.credentials);
        let answer = instance.with_room(|| {
            sync::rename(
                instance.module(),
                &request,
                self.inode().number(),
                os_str(name),
                new_parent.inode().number(),
                os_str(new_name),
                RenameFlags::from_bits_retain(flags),
            )
        });
        if let Err(error) = answer {
            if error == fuse_compat::Errno::ENOSYS && flags != 0 {
                return Err(Errno::INVAL);
            }
            if error == fuse_compat::Errno::ENOENT {
                self.forget_name(name);
                new_parent.forget_name(new_name);
            }
            return Err(module_error(error));
        }
        let from = End { parent: self, name };
        let to = End {
            parent: new_parent,
            name: new_name,
        };
        if is_exchange {
            record_exchange(&from, &to, &old, new.as_ref());
        } else {
            record_move(&from, &to, &old);
        }
        if flags & WHITEOUT != 0 {
            self.forget_name(name); // the module put something there
        }
        old.inode().changed_by_caller();
        if let Some(new) = &new {
            match is_exchange {
                true => new.inode().changed_by_caller(),
                false => new.inode().name_removed(),
            }
        }
        self.inode().directory_changed();
        new_parent.inode().directory_changed();
        Ok(())
    }
}

/// Are these flags of renameat2(2) possible together?
///
/// # Errors
/// `EINVAL`.
pub(super) fn check_rename_flags(flags: u32) -> Result<(), Errno> {
    let is_unknown = flags & !(NOREPLACE | EXCHANGE | WHITEOUT) != 0;
    let is_contradiction = flags & EXCHANGE != 0 && flags & (NOREPLACE | WHITEOUT) != 0;
    if is_unknown || is_contradiction {
        return Err(Errno::INVAL);
    }
    Ok(())
}

/// The name `from` is gone, the name `to` means `moved`.
fn record_move(from: &End<'_>, to: &End<'_>, moved: &Arc<Dentry>) {
    let expiry = from.parent.instance().negative_expiry();
    let name: Arc<[u8]> = Arc::from(to.name);
    let tree = from.parent.instance().tree.write();
    {
        let mut table = from.parent.children().write();
        table.changed();
        table.set_absent(from.name, expiry);
    }
    let replaced = {
        let mut table = to.parent.children().write();
        table.changed();
        let replaced = table.live(to.name);
        table.set_present(&name, moved);
        replaced
    };
    let old_parent = moved.set_place(to.parent, &name);
    drop(tree);
    drop(old_parent);
    if let Some(replaced) = replaced
        && !Arc::ptr_eq(&replaced, moved)
    {
        replaced.set_deleted();
    }
}

/// The two names have changed places.
fn record_exchange(from: &End<'_>, to: &End<'_>, old: &Arc<Dentry>, new: Option<&Arc<Dentry>>) {
    let Some(new) = new else {
        return;
    };
    let from_name: Arc<[u8]> = Arc::from(from.name);
    let to_name: Arc<[u8]> = Arc::from(to.name);
    let tree = from.parent.instance().tree.write();
    for (end, name, dentry) in [(from, &from_name, new), (to, &to_name, old)] {
        let mut table = end.parent.children().write();
        table.changed();
        table.set_present(name, dentry);
    }
    let parents = [
        old.set_place(to.parent, &to_name),
        new.set_place(from.parent, &from_name),
    ];
    drop(tree);
    drop(parents);
}
