//! chmod, chown, truncate and utimensat, with the checks of Linux's `notify_change` and `setattr_prepare`.

use fuse_compat::{FileHandle, TimeOrNow, sync};
use rustix::io::Errno;

use super::dentry::Dentry;
use super::inode::Inode;
use super::module_error;
use crate::attributes::{Attributes, Kind, Timestamp};
use crate::credentials::Caller;
use crate::permission::{self, MAY_WRITE};

/// A change of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// chmod(2): the permission bits (07777).
    Mode(u32),
    /// chown(2); `None` leaves it.
    Owner {
        /// New owner.
        uid: Option<u32>,
        /// New group.
        gid: Option<u32>,
    },
    /// truncate(2): the size in bytes.
    Size(u64),
    /// utimensat(2). A null pointer for the times means `Now` twice.
    Times {
        /// Last access.
        accessed: TimeChange,
        /// Last change of the contents.
        modified: TimeChange,
    },
}

/// A change of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// It stays (`UTIME_OMIT`).
    Omit,
    /// The present (`UTIME_NOW`).
    Now,
    /// This time.
    At(Timestamp),
}

/// What is sent to the module.
#[derive(Default)]
pub(super) struct Request {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    accessed: Option<TimeOrNow>,
    modified: Option<TimeOrNow>,
    changed: Option<std::time::SystemTime>,
}

impl Request {
    /// A change of the size alone.
    pub(super) fn size(size: u64) -> Request {
        Request {
            size: Some(size),
            ..Request::default()
        }
    }

    /// What a write changes: the times, and perhaps the mode.
    pub(super) fn written(modified: Timestamp, changed: Timestamp, mode: Option<u32>) -> Request {
        Request {
            mode,
            modified: Some(TimeOrNow::SpecificTime(modified.into())),
            changed: Some(changed.into()),
            ..Request::default()
        }
    }
}

impl Dentry {
    /// Changes attributes. Both times omitted is a success that changes nothing and checks nothing.
    ///
    /// # Errors
    /// `EROFS`; `EPERM` for who is not the owner; `EACCES` for setting the times to now, and for truncating, without
    /// write permission; `EISDIR`, `EINVAL` for truncating what is no file; `EOPNOTSUPP` for the mode of a link; those
    /// of the module.
    pub fn set_attributes(&self, change: &AttributeChange, caller: &Caller) -> Result<(), Errno> {
        match *change {
            AttributeChange::Mode(mode) => self.change_mode(mode, caller),
            AttributeChange::Owner { uid, gid } => self.change_owner(uid, gid, caller),
            AttributeChange::Size(size) => self.change_size(size, caller),
            AttributeChange::Times {
                accessed: TimeChange::Omit,
                modified: TimeChange::Omit,
            } => Ok(()),
            AttributeChange::Times { accessed, modified } => {
                self.change_times(accessed, modified, caller)
            }
        }
    }

    fn change_mode(&self, mode: u32, caller: &Caller) -> Result<(), Errno> {
        self.check_writable(caller)?;
        if self.kind() == Kind::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        let mut mode = mode & 0o7777;
        if caller.enforces_modes {
            let attributes = self.attributes()?;
            if !permission::is_owner(&attributes, &caller.credentials) {
                return Err(Errno::PERM);
            }
            mode = permission::mode_after_chmod(&attributes, &caller.credentials, mode);
        }
        self.inode().expire_access_list();
        let changed = self.send_change(
            Request {
                mode: Some(mode),
                ..Request::default()
            },
            caller,
            None,
        )?;
        if self.kind() == Kind::RegularFile {
            let (cache, key) = (self.instance().page_cache(), self.inode().file_key());
            cache.mode_set(key, changed.mode & 0o111 != 0);
        }
        Ok(())
    }

    fn change_owner(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
        caller: &Caller,
    ) -> Result<(), Errno> {
        self.check_writable(caller)?;
        let attributes = self.attributes()?;
        if caller.enforces_modes {
            permission::may_change_owner(&attributes, &caller.credentials, uid, gid)?;
        }
        let mode = match self.kind() {
            Kind::Directory => None,
            _ => permission::mode_without_set_ids(&attributes, &caller.credentials),
        };
        self.send_change(
            Request {
                mode,
                uid,
                gid,
                ..Request::default()
            },
            caller,
            None,
        )
        .map(drop)
    }

    fn change_size(&self, size: u64, caller: &Caller) -> Result<(), Errno> {
        match self.kind() {
            Kind::RegularFile => {}
            Kind::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        self.check_writable(caller)?;
        self.check_access(caller, MAY_WRITE)?;
        if i64::try_from(size).is_err() {
            return Err(Errno::FBIG);
        }
        self.send_size(size, caller, None)
    }

    /// The truncation itself; set-id bits go with it. `handle`: the open file it is done through.
    pub(super) fn send_size(
        &self,
        size: u64,
        caller: &Caller,
        handle: Option<FileHandle>,
    ) -> Result<(), Errno> {
        let attributes = self.attributes()?;
        let mode = match caller.credentials.is_privileged {
            true => None,
            false => permission::mode_without_set_ids(&attributes, &caller.credentials),
        };
        let change = Request {
            mode,
            ..Request::size(size)
        };
        let (cache, key) = (self.instance().page_cache(), self.inode().file_key());
        cache.resize(key, size, || self.send_change(change, caller, handle))
    }

    fn change_times(
        &self,
        accessed: TimeChange,
        modified: TimeChange,
        caller: &Caller,
    ) -> Result<(), Errno> {
        self.check_writable(caller)?;
        if caller.enforces_modes {
            let attributes = self.attributes()?;
            if !permission::is_owner(&attributes, &caller.credentials) {
                if accessed != TimeChange::Now || modified != TimeChange::Now {
                    return Err(Errno::PERM);
                }
                self.check_access(caller, MAY_WRITE)?;
            }
        }
        let change = Request {
            accessed: time_argument(accessed),
            modified: time_argument(modified),
            ..Request::default()
        };
        let send = || self.send_change(change, caller, None);
        if modified == TimeChange::Omit || self.kind() != Kind::RegularFile {
            return send().map(drop);
        }
        let (cache, key) = (self.instance().page_cache(), self.inode().file_key());
        cache.change_times(key, send)
    }

    /// Linux's `mnt_want_write`.
    pub(super) fn check_writable(&self, caller: &Caller) -> Result<(), Errno> {
        match self.instance().refuses_changes(caller) {
            true => Err(Errno::ROFS),
            false => Ok(()),
        }
    }

    /// Asks the module and records its answer.
    pub(super) fn send_change(
        &self,
        change: Request,
        caller: &Caller,
        handle: Option<FileHandle>,
    ) -> Result<Attributes, Errno> {
        let request = self.instance().request_of(&caller.credentials);
        let attributes = self.inode().send_change(change, &request, handle)?;
        self.inode().note_change_by_caller(attributes.changed);
        Ok(attributes)
    }
}

impl Inode {
    /// Asks the module and records its answer.
    pub(super) fn send_change(
        &self,
        change: Request,
        request: &fuse_compat::Request,
        handle: Option<FileHandle>,
    ) -> Result<Attributes, Errno> {
        let instance = self.instance();
        let answer = sync::setattr(
            instance.module(),
            request,
            self.number(),
            change.mode,
            change.uid,
            change.gid,
            change.size,
            change.accessed,
            change.modified,
            change.changed,
            handle,
            None,
            None,
            None,
            None,
        )
        .map_err(module_error)?;
        let attributes = Attributes::from_file_attr(&answer.attr, instance.device());
        if attributes.kind() != self.kind() {
            return Err(Errno::IO);
        }
        self.attributes_changed(&attributes, instance.expiry(answer.ttl));
        Ok(attributes)
    }
}

fn time_argument(change: TimeChange) -> Option<TimeOrNow> {
    match change {
        TimeChange::Omit => None,
        TimeChange::Now => Some(TimeOrNow::Now),
        TimeChange::At(time) => Some(TimeOrNow::SpecificTime(time.into())),
    }
}
