//! Extended attributes of host objects, symbolic links included.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{
    XattrFlags, getxattr, lgetxattr, lgetxattr_query, listxattr, llistxattr, llistxattr_query,
    lremovexattr, lsetxattr, removexattr, setxattr,
};
use rustix::io::Errno;

use super::open::open_path;
use super::target::Target;
use crate::object::{XattrAnswer, check_xattr_name, check_xattr_set};

/// Largest value, and largest list of names, in bytes.
const LARGEST_VALUE: usize = 65536;

/// The calls take no directory descriptor: for a path longer than the kernel takes, the magic link of an `O_PATH`
/// descriptor stands for it.
enum Name<'a> {
    Path(&'a [u8]),
    Link(#[allow(dead_code)] OwnedFd, String),
}

impl<'a> Name<'a> {
    fn new(path: &'a [u8]) -> Result<Name<'a>, Errno> {
        if !Target::new(path)?.is_long() {
            return Ok(Name::Path(path));
        }
        let object = open_path(path)?;
        let link = format!("/proc/self/fd/{}", object.as_raw_fd());
        Ok(Name::Link(object, link))
    }
}

/// getxattr(2) with a buffer of `capacity` bytes (0: how long is it?).
///
/// # Errors
/// The kernel's.
pub fn get_xattr(path: &[u8], name: &[u8], capacity: usize) -> Result<XattrAnswer, Errno> {
    check_xattr_name(name)?;
    let object = Name::new(path)?;
    if capacity == 0
        && let Name::Path(path) = &object
    {
        return lgetxattr_query(*path, name).map(XattrAnswer::Length);
    }
    let mut value = vec![0; LARGEST_VALUE];
    let length = match &object {
        Name::Path(path) => lgetxattr(*path, name, &mut value[..]),
        Name::Link(_, link) => getxattr(link.as_str(), name, &mut value[..]),
    }?;
    value.truncate(length);
    XattrAnswer::from_bytes(value, capacity)
}

/// listxattr(2) with a buffer of `capacity` bytes.
///
/// # Errors
/// The kernel's.
pub fn list_xattr(path: &[u8], capacity: usize) -> Result<XattrAnswer, Errno> {
    let object = Name::new(path)?;
    if capacity == 0
        && let Name::Path(path) = &object
    {
        return llistxattr_query(*path).map(XattrAnswer::Length);
    }
    let mut names = vec![0; LARGEST_VALUE];
    let length = match &object {
        Name::Path(path) => llistxattr(*path, &mut names[..]),
        Name::Link(_, link) => listxattr(link.as_str(), &mut names[..]),
    }?;
    names.truncate(length);
    XattrAnswer::from_bytes(names, capacity)
}

/// setxattr(2).
///
/// # Errors
/// The kernel's.
pub fn set_xattr(path: &[u8], name: &[u8], value: &[u8], flags: i32) -> Result<(), Errno> {
    check_xattr_set(name, value.len(), flags)?;
    let flags = XattrFlags::from_bits_retain(flags as u32); // checked above
    match Name::new(path)? {
        Name::Path(path) => lsetxattr(path, name, value, flags),
        Name::Link(_, link) => setxattr(link.as_str(), name, value, flags),
    }
}

/// removexattr(2).
///
/// # Errors
/// The kernel's.
pub fn remove_xattr(path: &[u8], name: &[u8]) -> Result<(), Errno> {
    check_xattr_name(name)?;
    match Name::new(path)? {
        Name::Path(path) => lremovexattr(path, name),
        Name::Link(_, link) => removexattr(link.as_str(), name),
    }
}
