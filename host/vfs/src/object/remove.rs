//! unlink and rmdir, with the checks of Linux's `do_unlinkat`, `do_rmdir` and `may_delete` in their order.

use std::sync::Arc;

use fuse_compat::sync;
use rustix::io::Errno;

use super::dentry::Dentry;
use super::lookup::os_str;
use super::module_error;
use crate::attributes::Kind;
use crate::credentials::Caller;
use crate::permission::{self, MAY_EXEC, MAY_WRITE};

impl Dentry {
    /// unlink(2). `self` is the parent.
    ///
    /// # Errors
    /// `EROFS`, `ENOENT`; with a trailing slash `EISDIR` or `ENOTDIR`; `EACCES`, `EPERM` (sticky), `EISDIR`, `EBUSY`;
    /// those of the module.
    pub fn remove_file(
        self: &Arc<Self>,
        name: &[u8],
        has_trailing_slash: bool,
        caller: &Caller,
    ) -> Result<(), Errno> {
        if self.instance().refuses_changes(caller) {
            return Err(Errno::ROFS);
        }
        let victim = self.lookup(name)?;
        if has_trailing_slash {
            return Err(match victim.kind() {
                Kind::Directory => Errno::ISDIR,
                _ => Errno::NOTDIR,
            });
        }
        self.may_delete(&victim, false, caller)?;
        if victim.is_mount_point() {
            return Err(Errno::BUSY);
        }
        self.remove_with(name, &victim, caller, false)
    }

    /// rmdir(2). `self` is the parent.
    ///
    /// # Errors
    /// `EROFS`, `ENOENT`, `EACCES`, `EPERM` (sticky), `ENOTDIR`, `EBUSY`; those of the module (`ENOTEMPTY`).
    pub fn remove_directory(self: &Arc<Self>, name: &[u8], caller: &Caller) -> Result<(), Errno> {
        if self.instance().refuses_changes(caller) {
            return Err(Errno::ROFS);
        }
        let victim = self.lookup(name)?;
        self.may_delete(&victim, true, caller)?;
        if victim.is_mount_point() {
            return Err(Errno::BUSY);
        }
        self.remove_with(name, &victim, caller, true)
    }

    /// Linux's `may_delete`: may `victim` go from this directory, as a directory or as something else?
    pub(super) fn may_delete(
        &self,
        victim: &Dentry,
        as_directory: bool,
        caller: &Caller,
    ) -> Result<(), Errno> {
        self.check_access(caller, MAY_WRITE | MAY_EXEC)?;
        if caller.enforces_modes {
            let directory = self.inode().access_attributes()?;
            let attributes = victim.inode().access_attributes()?;
            if !permission::may_delete_in_sticky(&directory, &attributes, &caller.credentials) {
                return Err(Errno::PERM);
            }
        }
        match (as_directory, victim.kind() == Kind::Directory) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            _ => {}
        }
        if self.is_deleted() {
            return Err(Errno::NOENT);
        }
        Ok(())
    }

    fn remove_with(
        self: &Arc<Self>,
        name: &[u8],
        victim: &Dentry,
        caller: &Caller,
        is_directory: bool,
    ) -> Result<(), Errno> {
        let instance = self.instance();
        let request = instance.request_of(&caller.credentials);
        let (module, number) = (instance.module(), self.inode().number());
        let answer = if is_directory {
            sync::rmdir(module, &request, number, os_str(name))
        } else {
            sync::unlink(module, &request, number, os_str(name))
        };
        match answer {
            Ok(()) => {
                self.record_removed(name);
                victim.inode().name_removed();
                Ok(())
            }
            Err(error) => {
                if error == fuse_compat::Errno::ENOENT {
                    self.forget_name(name);
                }
                Err(module_error(error))
            }
        }
    }
}
