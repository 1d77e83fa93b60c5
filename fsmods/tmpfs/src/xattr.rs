//! Extended attributes, xattr(7). The caller has checked permission (`trusted.` and `security.` need capabilities).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use fuse_compat::{Errno, INodeNo};

use crate::acl::{self, Acl};
use crate::tree::{Inode, Node, Tree};

/// Longest name in bytes (Linux `XATTR_NAME_MAX`).
const NAME_MAX: usize = 255;
/// Longest value in bytes (Linux `XATTR_SIZE_MAX`).
const VALUE_MAX: usize = 65536;
/// Longest list of names in bytes (Linux `XATTR_LIST_MAX`).
const LIST_MAX: usize = 65536;

/// Which rules a name is under.
enum Class {
    User,
    Plain,
    AccessAcl,
    DefaultAcl,
}

/// Errors: `ERANGE` (length), `EOPNOTSUPP` (no such namespace), `EINVAL` (a namespace without a name).
fn class(name: &OsStr) -> Result<Class, Errno> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > NAME_MAX {
        return Err(Errno::ERANGE);
    }
    if name == acl::ACCESS {
        return Ok(Class::AccessAcl);
    }
    if name == acl::DEFAULT {
        return Ok(Class::DefaultAcl);
    }
    for (prefix, class) in [
        ("user.", Class::User),
        ("trusted.", Class::Plain),
        ("security.", Class::Plain),
    ] {
        match bytes.strip_prefix(prefix.as_bytes()) {
            Some(b"") => return Err(Errno::EINVAL),
            Some(_) => return Ok(class),
            None => {}
        }
    }
    Err(Errno::EOPNOTSUPP)
}

/// User attributes are for files and directories only.
fn allows_user(inode: &Inode) -> bool {
    matches!(inode.node, Node::Regular(_) | Node::Directory(_))
}

impl Tree {
    pub(crate) fn set_xattr(
        &mut self,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Result<(), Errno> {
        if flags & !(libc::XATTR_CREATE | libc::XATTR_REPLACE) != 0 {
            return Err(Errno::EINVAL);
        }
        if value.len() > VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        let class = class(name)?;
        let inode = self.inode_mut(ino)?;
        match class {
            Class::User if !allows_user(inode) => return Err(Errno::EPERM),
            Class::AccessAcl | Class::DefaultAcl => return set_acl(inode, &class, value),
            Class::User | Class::Plain => {}
        }
        let exists = inode.xattrs.contains_key(name);
        if exists && flags & libc::XATTR_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        if !exists && flags & libc::XATTR_REPLACE != 0 {
            return Err(Errno::ENODATA);
        }
        if !exists {
            let length = list_bytes(inode) + name.len() + 1;
            if length > LIST_MAX {
                return Err(Errno::ENOSPC);
            }
        }
        inode.xattrs.insert(name.to_owned(), value.to_vec());
        inode.touch()
    }

    pub(crate) fn xattr(&self, ino: INodeNo, name: &OsStr) -> Result<&[u8], Errno> {
        class(name)?;
        let value = self.inode(ino)?.xattrs.get(name);
        value.map(Vec::as_slice).ok_or(Errno::ENODATA)
    }

    /// The names, each followed by a zero byte.
    pub(crate) fn xattr_names(&self, ino: INodeNo) -> Result<Vec<u8>, Errno> {
        let inode = self.inode(ino)?;
        let mut list = Vec::with_capacity(list_bytes(inode));
        for name in inode.xattrs.keys() {
            list.extend_from_slice(name.as_bytes());
            list.push(0);
        }
        Ok(list)
    }

    pub(crate) fn remove_xattr(&mut self, ino: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let class = class(name)?;
        let inode = self.inode_mut(ino)?;
        if matches!(class, Class::User) && !allows_user(inode) {
            return Err(Errno::EPERM);
        }
        if inode.xattrs.remove(name).is_some() {
            return inode.touch();
        }
        match class {
            // Removing an ACL that is not there leaves what was to be reached.
            Class::AccessAcl | Class::DefaultAcl => Ok(()),
            Class::User | Class::Plain => Err(Errno::ENODATA),
        }
    }
}

fn list_bytes(inode: &Inode) -> usize {
    inode.xattrs.keys().map(|name| name.len() + 1).sum()
}

/// Sets an ACL; an empty one removes it. An access ACL also sets the permission bits.
fn set_acl(inode: &mut Inode, class: &Class, value: &[u8]) -> Result<(), Errno> {
    /// Length of a list without entries.
    const EMPTY_BYTES: usize = 4;
    if matches!(inode.node, Node::Symlink(_)) {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_access = matches!(class, Class::AccessAcl);
    let name: OsString = if is_access { acl::ACCESS } else { acl::DEFAULT }.into();
    if value.len() <= EMPTY_BYTES {
        inode.xattrs.remove(&name);
        return inode.touch();
    }
    let mut list = Acl::parse(value)?;
    if !is_access && !inode.is_directory() {
        return Err(Errno::EACCES);
    }
    if is_access {
        inode.perm = (inode.perm & 0o7000) | list.permission_bits();
    }
    if is_access && list.is_minimal() {
        inode.xattrs.remove(&name);
    } else {
        inode.xattrs.insert(name, list.to_bytes());
    }
    // Also brings the memfd's mode up to date.
    inode.touch()
}

/// Fits a value to the size the caller asked for. Errors: `ERANGE`.
pub(crate) fn fit(value: Vec<u8>, size: u32) -> Result<fuse_compat::XattrOut, Errno> {
    let length = u32::try_from(value.len()).map_err(|_| Errno::E2BIG)?;
    match size {
        0 => Ok(fuse_compat::XattrOut::Size(length)),
        _ if length > size => Err(Errno::ERANGE),
        _ => Ok(fuse_compat::XattrOut::Data(value)),
    }
}
