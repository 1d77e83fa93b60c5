//! Access decisions as pure functions over attributes and credentials, with Linux's rules and order.
//!
//! Neighbours: [`crate::object`] calls them with what the module says about an inode. No locks.
//!
//! References: path_resolution(7), inode(7), acl(5); Linux `fs/namei.c` (`generic_permission`, `__check_sticky`),
//! `fs/posix_acl.c` (`posix_acl_permission`), `fs/attr.c` (`setattr_prepare`), `fs/inode.c`
//! (`inode_owner_or_capable`).

use rustix::io::Errno;

use crate::attributes::Attributes;
pub use crate::credentials::Caller;
use crate::credentials::Credentials;

/// Permission to execute a file or to search a directory.
pub const MAY_EXEC: u32 = 1;
/// Permission to write.
pub const MAY_WRITE: u32 = 2;
/// Permission to read.
pub const MAY_READ: u32 = 4;

/// Name of the extended attribute that holds the access list of an inode.
pub const ACCESS_LIST_ATTRIBUTE: &[u8] = b"system.posix_acl_access";

/// Set-user-id bit.
const S_ISUID: u32 = 0o4000;
/// Set-group-id bit.
const S_ISGID: u32 = 0o2000;
/// Sticky bit.
const S_ISVTX: u32 = 0o1000;
/// Any permission of the group; with an access list these bits are its mask.
const S_IRWXG: u32 = 0o070;
/// Any execute bit.
const S_IXUGO: u32 = 0o111;

/// May these credentials do `mask` (a sum of `MAY_*`)?
///
/// # Errors
/// `EACCES`.
pub fn may_access(
    attributes: &Attributes,
    access_list: Option<&AccessList>,
    credentials: &Credentials,
    mask: u32,
) -> Result<(), Errno> {
    if has_mode_permission(attributes, access_list, credentials, mask) {
        return Ok(());
    }
    if !credentials.is_privileged {
        return Err(Errno::ACCESS);
    }
    // The override does not make a file executable that is so for nobody.
    let is_executable = attributes.is_directory() || attributes.mode & S_IXUGO != 0;
    if mask & MAY_EXEC != 0 && !is_executable {
        return Err(Errno::ACCESS);
    }
    Ok(())
}

/// The decision of mode bits and access list alone.
fn has_mode_permission(
    attributes: &Attributes,
    access_list: Option<&AccessList>,
    credentials: &Credentials,
    mask: u32,
) -> bool {
    let wanted = mask & (MAY_READ | MAY_WRITE | MAY_EXEC);
    if attributes.uid == credentials.uid {
        return wanted & !(attributes.mode >> 6) == 0;
    }
    if attributes.mode & S_IRWXG != 0
        && let Some(list) = access_list
    {
        return list.permits(attributes, credentials, wanted);
    }
    let granted = if credentials.in_group(attributes.gid) {
        attributes.mode >> 3
    } else {
        attributes.mode
    };
    wanted & !granted == 0
}

/// Does the inode belong to these credentials, or do they count for every owner?
pub fn is_owner(attributes: &Attributes, credentials: &Credentials) -> bool {
    attributes.uid == credentials.uid || credentials.is_privileged
}

/// In a sticky directory only the owner of the victim or of the directory may remove or rename it.
pub fn may_delete_in_sticky(
    directory: &Attributes,
    victim: &Attributes,
    credentials: &Credentials,
) -> bool {
    directory.mode & S_ISVTX == 0
        || victim.uid == credentials.uid
        || directory.uid == credentials.uid
        || credentials.is_privileged
}

/// May the owner be changed to `uid` and the group to `gid` (`None`: it stays)?
///
/// # Errors
/// `EPERM`.
pub fn may_change_owner(
    attributes: &Attributes,
    credentials: &Credentials,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(), Errno> {
    if credentials.is_privileged {
        return Ok(());
    }
    let owns = attributes.uid == credentials.uid;
    let may_uid = uid.is_none_or(|uid| owns && uid == attributes.uid);
    let may_gid =
        gid.is_none_or(|gid| owns && (gid == attributes.gid || credentials.in_group(gid)));
    if may_uid && may_gid {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// The mode that chmod(2) really sets: without set-group-id when the caller is not in the group.
pub fn mode_after_chmod(attributes: &Attributes, credentials: &Credentials, mode: u32) -> u32 {
    if credentials.is_privileged || credentials.in_group(attributes.gid) {
        mode
    } else {
        mode & !S_ISGID
    }
}

/// The permission bits after a change of owner or contents took the set-id bits away; `None` when nothing changes.
/// Set-group-id without group execution survives for members of the group (it once meant mandatory locking).
pub fn mode_without_set_ids(attributes: &Attributes, credentials: &Credentials) -> Option<u32> {
    let mode = attributes.mode & 0o7777;
    let mut new = mode & !S_ISUID;
    let is_member = credentials.is_privileged || credentials.in_group(attributes.gid);
    if mode & 0o010 != 0 || !is_member {
        new &= !S_ISGID;
    }
    (new != mode).then_some(new)
}

/// Linux's `protected_hardlinks`: may one make a link to a file of somebody else?
pub fn may_link_to(
    attributes: &Attributes,
    access_list: Option<&AccessList>,
    credentials: &Credentials,
) -> bool {
    if is_owner(attributes, credentials) {
        return true;
    }
    let group_executable_setgid = S_ISGID | 0o010;
    attributes.is_regular()
        && attributes.mode & S_ISUID == 0
        && attributes.mode & group_executable_setgid != group_executable_setgid
        && may_access(attributes, access_list, credentials, MAY_READ | MAY_WRITE).is_ok()
}

/// A POSIX access list, acl(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList {
    entries: Box<[AccessEntry]>,
}

/// One line of an access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AccessEntry {
    tag: u16,
    permissions: u32,
    id: u32,
}

const ACL_USER_OBJ: u16 = 0x01;
const ACL_USER: u16 = 0x02;
const ACL_GROUP_OBJ: u16 = 0x04;
const ACL_GROUP: u16 = 0x08;
const ACL_MASK: u16 = 0x10;
const ACL_OTHER: u16 = 0x20;

impl AccessList {
    /// Reads the value of [`ACCESS_LIST_ATTRIBUTE`] (Linux `include/uapi/linux/posix_acl_xattr.h`: version 2, then
    /// little-endian tag, permissions and id). `None` when it is not such a value.
    pub fn parse(value: &[u8]) -> Option<AccessList> {
        const VERSION: u32 = 2;
        let (version, rest) = value.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != VERSION || rest.len() % 8 != 0 {
            return None;
        }
        let entries = rest
            .chunks_exact(8)
            .map(|entry| match *entry {
                [t0, t1, p0, p1, i0, i1, i2, i3] => Some(AccessEntry {
                    tag: u16::from_le_bytes([t0, t1]),
                    permissions: u32::from(u16::from_le_bytes([p0, p1])),
                    id: u32::from_le_bytes([i0, i1, i2, i3]),
                }),
                _ => None,
            })
            .collect::<Option<Box<[AccessEntry]>>>()?;
        Some(AccessList { entries })
    }

    /// Linux's `posix_acl_permission` for somebody who is not the owner: a named user first, then every group that
    /// matches, then others; named entries and groups are limited by the mask.
    fn permits(&self, attributes: &Attributes, credentials: &Credentials, wanted: u32) -> bool {
        let mask = self
            .entries
            .iter()
            .find(|entry| entry.tag == ACL_MASK)
            .map_or(0o7, |entry| entry.permissions);
        let mut is_in_a_group = false;
        for entry in &self.entries {
            let granted = entry.permissions & mask;
            match entry.tag {
                ACL_USER_OBJ if attributes.uid == credentials.uid => {
                    return wanted & !entry.permissions == 0;
                }
                ACL_USER if entry.id == credentials.uid => return wanted & !granted == 0,
                ACL_GROUP_OBJ | ACL_GROUP => {
                    let gid = match entry.tag {
                        ACL_GROUP_OBJ => attributes.gid,
                        _ => entry.id,
                    };
                    if credentials.in_group(gid) {
                        if wanted & !granted == 0 {
                            return true;
                        }
                        is_in_a_group = true;
                    }
                }
                ACL_OTHER => return !is_in_a_group && wanted & !entry.permissions == 0,
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
