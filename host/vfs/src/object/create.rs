//! mkdir, mknod, symlink and link, with the checks of Linux's `filename_create` and `may_create` in their order.

use std::sync::Arc;

use fuse_compat::{EntryOut, sync};
use rustix::io::Errno;

use super::dentry::Dentry;
use super::lookup::os_str;
use super::module_error;
use crate::attributes::Kind;
use crate::credentials::Caller;
use crate::permission::{self, MAY_EXEC, MAY_WRITE};

/// Format bits of a mode.
const S_IFMT: u32 = 0o170000;

impl Dentry {
    /// mkdir(2). `self` is the parent.
    ///
    /// # Errors
    /// `EEXIST`, `EROFS`, `ENOENT`, `EACCES`; those of the module.
    pub fn create_directory(
        self: &Arc<Self>,
        name: &[u8],
        mode: u32,
        caller: &Caller,
    ) -> Result<Arc<Dentry>, Errno> {
        self.prepare_create(name, false, caller)?;
        self.may_create(caller)?;
        let mode = self.instance().mode_for_module(mode & 0o1777, caller);
        self.create_with(name, caller, |instance, request, number| {
            sync::mkdir(instance, request, number, os_str(name), mode, caller.umask)
        })
    }

    /// mknod(2). `mode` has the format bits (none: a regular file), `rdev` is as in stat(2).
    ///
    /// # Errors
    /// `EPERM` for a directory, `EINVAL` for an unknown format, then as [`Dentry::create_directory`], then `EPERM` for
    /// a device when the caller is not privileged.
    pub fn create_node(
        self: &Arc<Self>,
        name: &[u8],
        mode: u32,
        rdev: u64,
        has_trailing_slash: bool,
        caller: &Caller,
    ) -> Result<Arc<Dentry>, Errno> {
        let kind = match mode & S_IFMT {
            0 => Kind::RegularFile,
            format => Kind::from_mode(format).ok_or(Errno::INVAL)?,
        };
        match kind {
            Kind::Directory => return Err(Errno::PERM),
            Kind::Symlink => return Err(Errno::INVAL),
            _ => {}
        }
        self.prepare_create(name, has_trailing_slash, caller)?;
        self.may_create(caller)?;
        let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        // Character device 0:0 is a whiteout, which anybody may make.
        let is_whiteout = kind == Kind::CharDevice && rdev == 0;
        if is_device && !is_whiteout && !caller.credentials.is_privileged {
            return Err(Errno::PERM);
        }
        let rdev = match is_device {
            true => u32::try_from(rdev).map_err(|_| Errno::INVAL)?,
            false => 0,
        };
        let permissions = self.instance().mode_for_module(mode & 0o7777, caller);
        let mode = kind.mode_bits() | permissions;
        self.create_with(name, caller, |instance, request, number| {
            let name = os_str(name);
            sync::mknod(instance, request, number, name, mode, caller.umask, rdev)
        })
    }

    /// symlink(2).
    ///
    /// # Errors
    /// `ENOENT` for an empty target, then as [`Dentry::create_directory`].
    pub fn create_symlink(
        self: &Arc<Self>,
        name: &[u8],
        target: &[u8],
        has_trailing_slash: bool,
        caller: &Caller,
    ) -> Result<Arc<Dentry>, Errno> {
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        self.prepare_create(name, has_trailing_slash, caller)?;
        self.may_create(caller)?;
        self.create_with(name, caller, |instance, request, number| {
            let target = std::path::Path::new(os_str(target));
            sync::symlink(instance, request, number, os_str(name), target)
        })
    }

    /// link(2): gives `existing` a second name in the directory `self`.
    ///
    /// # Errors
    /// As [`Dentry::create_directory`], and `EXDEV` for another instance, `EPERM` for a directory or a file that the
    /// caller must not link to, `ENOENT` for a file whose last name is gone.
    pub fn create_link(
        self: &Arc<Self>,
        name: &[u8],
        existing: &Arc<Dentry>,
        has_trailing_slash: bool,
        caller: &Caller,
    ) -> Result<Arc<Dentry>, Errno> {
        self.prepare_create(name, has_trailing_slash, caller)?;
        if !Arc::ptr_eq(self.instance(), existing.instance()) {
            return Err(Errno::XDEV);
        }
        let attributes = existing.attributes()?;
        if caller.enforces_modes {
            let list = existing.access_list_for(&attributes, &caller.credentials)?;
            if !permission::may_link_to(&attributes, list.as_deref(), &caller.credentials) {
                return Err(Errno::PERM);
            }
        }
        self.may_create(caller)?;
        if attributes.is_directory() {
            return Err(Errno::PERM);
        }
        if attributes.links == 0 && !existing.inode().is_linkable() {
            return Err(Errno::NOENT);
        }
        let created = self.create_with(name, caller, |instance, request, parent| {
            let number = existing.inode().number();
            sync::link(instance, request, number, parent, os_str(name))
        })?;
        existing.inode().set_linkable(false);
        existing.inode().changed_by_caller();
        Ok(created)
    }

    /// Linux's `filename_create`: the name must be free, a trailing slash is for directories only, and then the mount
    /// must be writable.
    fn prepare_create(
        self: &Arc<Self>,
        name: &[u8],
        has_trailing_slash: bool,
        caller: &Caller,
    ) -> Result<(), Errno> {
        match self.lookup(name) {
            Ok(_) => return Err(Errno::EXIST),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        if has_trailing_slash {
            return Err(Errno::NOENT);
        }
        if self.instance().refuses_changes(caller) {
            return Err(Errno::ROFS);
        }
        Ok(())
    }

    /// Linux's `may_create`, without what `prepare_create` did.
    pub(super) fn may_create(&self, caller: &Caller) -> Result<(), Errno> {
        if self.is_deleted() {
            return Err(Errno::NOENT);
        }
        self.check_access(caller, MAY_WRITE | MAY_EXEC)
    }

    /// Asks the module and records the new name.
    fn create_with(
        self: &Arc<Self>,
        name: &[u8],
        caller: &Caller,
        ask: impl Fn(
            &dyn fuse_compat::Filesystem,
            &fuse_compat::Request,
            fuse_compat::INodeNo,
        ) -> Result<EntryOut, fuse_compat::Errno>,
    ) -> Result<Arc<Dentry>, Errno> {
        let instance = self.instance();
        let seen = instance.changes();
        let request = instance.request_of(&caller.credentials);
        let number = self.inode().number();
        match instance.with_room(|| ask(instance.module(), &request, number)) {
            Ok(entry) => self.record_created(name, &entry, seen),
            Err(error) => {
                if error == fuse_compat::Errno::EEXIST {
                    // Somebody else was faster, or our knowledge was old.
                    self.forget_name(name);
                }
                Err(module_error(error))
            }
        }
    }
}
