//! Extended attributes with the limits and size rules of Linux's `fs/xattr.c`.

use fuse_compat::{XattrOut, sync};
use rustix::io::Errno;

use super::dentry::Dentry;
use super::instance::Operation;
use super::lookup::os_str;
use super::module_error;
use crate::attributes::Kind;
use crate::credentials::Caller;
use crate::permission::{self, MAY_READ, MAY_WRITE};

/// Longest name in bytes (`XATTR_NAME_MAX`).
const LONGEST_NAME: usize = 255;
/// Largest value, and largest list of names, in bytes (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LARGEST_VALUE: usize = 65536;
/// `XATTR_CREATE` and `XATTR_REPLACE`.
const KNOWN_FLAGS: i32 = 3;

/// What getxattr(2) and listxattr(2) give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrAnswer {
    /// The caller asked with size 0: the length in bytes.
    Length(usize),
    /// The bytes; they fit.
    Value(Vec<u8>),
}

impl XattrAnswer {
    /// The kernel's size rules applied to the complete bytes.
    ///
    /// # Errors
    /// `ERANGE`; `E2BIG` when no buffer could be large enough.
    pub fn from_bytes(bytes: Vec<u8>, capacity: usize) -> Result<XattrAnswer, Errno> {
        if capacity == 0 {
            return Ok(XattrAnswer::Length(bytes.len()));
        }
        if bytes.len() > capacity.min(LARGEST_VALUE) {
            return Err(too_small(capacity));
        }
        Ok(XattrAnswer::Value(bytes))
    }
}

fn too_small(capacity: usize) -> Errno {
    match capacity >= LARGEST_VALUE {
        true => Errno::TOOBIG,
        false => Errno::RANGE,
    }
}

/// Checks the name that a system call got.
///
/// # Errors
/// `ERANGE` when it is empty or too long.
pub fn check_xattr_name(name: &[u8]) -> Result<(), Errno> {
    match name.len() {
        1..=LONGEST_NAME => Ok(()),
        _ => Err(Errno::RANGE),
    }
}

/// Checks the arguments of setxattr(2) that come before the file is looked at.
///
/// # Errors
/// `EINVAL` for unknown flags, `ERANGE` for the name, `E2BIG` for the value.
pub fn check_xattr_set(name: &[u8], value_length: usize, flags: i32) -> Result<(), Errno> {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::INVAL);
    }
    check_xattr_name(name)?;
    match value_length > LARGEST_VALUE {
        true => Err(Errno::TOOBIG),
        false => Ok(()),
    }
}

impl Dentry {
    /// getxattr(2) with a buffer of `capacity` bytes (0: how long is it?).
    ///
    /// # Errors
    /// `ERANGE`, `EACCES`, `ENODATA`, `EOPNOTSUPP`, `E2BIG`; those of the module.
    pub fn get_xattr(
        &self,
        name: &[u8],
        capacity: usize,
        caller: &Caller,
    ) -> Result<XattrAnswer, Errno> {
        check_xattr_name(name)?;
        self.check_xattr_access(name, MAY_READ, caller)?;
        let instance = self.instance();
        if instance.lacks(Operation::GetXattr) {
            return Err(Errno::OPNOTSUPP);
        }
        let answer = sync::getxattr(
            instance.module(),
            &instance.request_of(&caller.credentials),
            self.inode().number(),
            os_str(name),
            capacity.min(LARGEST_VALUE) as u32, // at most 65536
        );
        self.finish_read(answer, capacity, Operation::GetXattr)
    }

    /// listxattr(2) with a buffer of `capacity` bytes: names, each with a zero byte behind it. Names in `trusted.` are
    /// shown to the privileged only.
    ///
    /// # Errors
    /// `ERANGE`, `E2BIG`; those of the module. A module without extended attributes has an empty list.
    pub fn list_xattr(&self, capacity: usize, caller: &Caller) -> Result<XattrAnswer, Errno> {
        let instance = self.instance();
        if instance.lacks(Operation::ListXattr) {
            return XattrAnswer::from_bytes(Vec::new(), capacity);
        }
        let answer = sync::listxattr(
            instance.module(),
            &instance.request_of(&caller.credentials),
            self.inode().number(),
            LARGEST_VALUE as u32,
        );
        let names = match answer {
            Ok(XattrOut::Data(names)) => names,
            Ok(XattrOut::Size(0)) => Vec::new(),
            Ok(XattrOut::Size(_)) => return Err(Errno::IO),
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::ListXattr);
                Vec::new()
            }
            Err(fuse_compat::Errno::EOPNOTSUPP) => Vec::new(),
            Err(fuse_compat::Errno::ERANGE) => return Err(Errno::TOOBIG),
            Err(error) => return Err(module_error(error)),
        };
        let is_visible =
            |name: &[u8]| caller.credentials.is_privileged || !name.starts_with(b"trusted.");
        let shown: Vec<u8> = names
            .split_inclusive(|&byte| byte == 0)
            .filter(|name| is_visible(name))
            .flatten()
            .copied()
            .collect();
        XattrAnswer::from_bytes(shown, capacity)
    }

    /// setxattr(2).
    ///
    /// # Errors
    /// `EINVAL`, `ERANGE`, `E2BIG`, `EROFS`, `EPERM`, `EACCES`, `EEXIST`, `ENODATA`, `EOPNOTSUPP`; those of the module.
    pub fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        flags: i32,
        caller: &Caller,
    ) -> Result<(), Errno> {
        check_xattr_set(name, value.len(), flags)?;
        self.check_writable(caller)?;
        self.check_xattr_access(name, MAY_WRITE, caller)?;
        let instance = self.instance();
        if instance.lacks(Operation::SetXattr) {
            return Err(Errno::OPNOTSUPP);
        }
        let request = instance.request_of(&caller.credentials);
        let answer = instance.with_room(|| {
            sync::setxattr(
                instance.module(),
                &request,
                self.inode().number(),
                os_str(name),
                value,
                flags,
                0,
            )
        });
        self.finish_write(answer, Operation::SetXattr)
    }

    /// removexattr(2).
    ///
    /// # Errors
    /// `ERANGE`, `EROFS`, `EPERM`, `EACCES`, `ENODATA`, `EOPNOTSUPP`; those of the module.
    pub fn remove_xattr(&self, name: &[u8], caller: &Caller) -> Result<(), Errno> {
        check_xattr_name(name)?;
        self.check_writable(caller)?;
        self.check_xattr_access(name, MAY_WRITE, caller)?;
        let instance = self.instance();
        if instance.lacks(Operation::RemoveXattr) {
            return Err(Errno::OPNOTSUPP);
        }
        let answer = sync::removexattr(
            instance.module(),
            &instance.request_of(&caller.credentials),
            self.inode().number(),
            os_str(name),
        );
        self.finish_write(answer, Operation::RemoveXattr)
    }

    fn finish_read(
        &self,
        answer: Result<XattrOut, fuse_compat::Errno>,
        capacity: usize,
        operation: Operation,
    ) -> Result<XattrAnswer, Errno> {
        match answer {
            Ok(XattrOut::Data(bytes)) => XattrAnswer::from_bytes(bytes, capacity),
            Ok(XattrOut::Size(length)) if capacity == 0 => Ok(XattrAnswer::Length(length as usize)),
            Ok(XattrOut::Size(0)) => Ok(XattrAnswer::Value(Vec::new())),
            Ok(XattrOut::Size(_)) => Err(Errno::IO),
            Err(fuse_compat::Errno::ENOSYS) => {
                self.instance().note_missing(operation);
                Err(Errno::OPNOTSUPP)
            }
            Err(fuse_compat::Errno::ERANGE) => Err(too_small(capacity)),
            Err(error) => Err(module_error(error)),
        }
    }

    fn finish_write(
        &self,
        answer: Result<(), fuse_compat::Errno>,
        operation: Operation,
    ) -> Result<(), Errno> {
        match answer {
            Ok(()) => {
                self.inode().expire_access_list();
                self.inode().changed_by_caller();
                Ok(())
            }
            Err(fuse_compat::Errno::ENOSYS) => {
                self.instance().note_missing(operation);
                Err(Errno::OPNOTSUPP)
            }
            Err(error) => Err(module_error(error)),
        }
    }

    /// Linux's `xattr_permission` and the check of the prefix.
    fn check_xattr_access(&self, name: &[u8], mask: u32, caller: &Caller) -> Result<(), Errno> {
        let refusal = match mask {
            MAY_WRITE => Errno::PERM,
            _ => Errno::NODATA,
        };
        if name.starts_with(b"security.") || name.starts_with(b"system.") {
            // The module decides; a new access list is the owner's to give.
            if mask == MAY_WRITE && name.starts_with(b"system.") && !self.is_owned_by(caller)? {
                return Err(Errno::PERM);
            }
            return Ok(());
        }
        if name.starts_with(b"trusted.") {
            return match caller.credentials.is_privileged {
                true => Ok(()),
                false => Err(refusal),
            };
        }
        if let Some(rest) = name.strip_prefix(b"user.") {
            match self.kind() {
                Kind::RegularFile => {}
                Kind::Directory => {
                    let is_sticky = self.attributes()?.mode & 0o1000 != 0;
                    if is_sticky && mask == MAY_WRITE && !self.is_owned_by(caller)? {
                        return Err(Errno::PERM);
                    }
                }
                _ => return Err(refusal),
            }
            self.check_xattr_mode(mask, caller)?;
            return match rest.is_empty() {
                true => Err(Errno::INVAL),
                false => Ok(()),
            };
        }
        self.check_xattr_mode(mask, caller)?;
        Err(Errno::OPNOTSUPP)
    }

    fn check_xattr_mode(&self, mask: u32, caller: &Caller) -> Result<(), Errno> {
        if caller.enforces_modes {
            let attributes = self.attributes()?;
            let list = self.access_list_for(&attributes, &caller.credentials)?;
            permission::may_access(&attributes, list.as_deref(), &caller.credentials, mask)?;
        }
        Ok(())
    }
}
