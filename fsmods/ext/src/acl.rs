//! POSIX ACLs: ext4 stores them shorter than the form that getxattr(2) shows.

use crate::bytes::{array, le16, le32};

/// `e_name_index` of an access ACL and of a default ACL.
pub(crate) const INDEX_ACCESS: u8 = 2;
pub(crate) const INDEX_DEFAULT: u8 = 3;

const OWNER: u16 = 0x1;
const USER: u16 = 0x2;
const OWNING_GROUP: u16 = 0x4;
const GROUP: u16 = 0x8;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

const DISK_VERSION: u32 = 1;
const LINUX_VERSION: u32 = 2;
const NO_ID: [u8; 4] = [0xff; 4];

/// Converts an ACL from the on-disk form to that of `system.posix_acl_access` (acl(5), posix_acl_xattr.h).
/// `None` when it is malformed.
pub(crate) fn to_linux(disk: &[u8]) -> Option<Vec<u8>> {
    if disk.len() < 4 || le32(disk, 0) != DISK_VERSION {
        return None;
    }
    let mut rest = disk.get(4..)?;
    let mut linux = LINUX_VERSION.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (used, id) = match le16(rest, 0) {
            // Owner, owning group, mask, others.
            0x1 | 0x4 | 0x10 | 0x20 => (4, NO_ID),
            // A named user or group.
            0x2 | 0x8 => (8, array::<4>(rest, 4)),
            _ => return None,
        };
        linux.extend_from_slice(rest.get(..4)?);
        linux.extend_from_slice(&id);
        rest = rest.get(used..)?;
    }
    Some(linux)
}

/// One entry of an ACL.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

fn is_named(tag: u16) -> bool {
    tag == USER || tag == GROUP
}

/// The entries of the on-disk form; ends at what is malformed.
fn parse_disk(disk: &[u8]) -> Vec<Entry> {
    let mut list = Vec::new();
    let mut rest = disk.get(4..).unwrap_or(&[]);
    while rest.len() >= 4 {
        let tag = le16(rest, 0);
        let used = if is_named(tag) { 8 } else { 4 };
        list.push(Entry {
            tag,
            permissions: le16(rest, 2),
            id: if is_named(tag) {
                le32(rest, 4)
            } else {
                u32::MAX
            },
        });
        rest = rest.get(used..).unwrap_or(&[]);
    }
    list
}

fn disk_form(list: &[Entry]) -> Vec<u8> {
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for entry in list {
        disk.extend_from_slice(&entry.tag.to_le_bytes());
        disk.extend_from_slice(&entry.permissions.to_le_bytes());
        if is_named(entry.tag) {
            disk.extend_from_slice(&entry.id.to_le_bytes());
        }
    }
    disk
}

/// Whether these entries make an ACL: in order, each of the three basic ones once, a mask where it is needed.
fn is_valid(list: &[Entry]) -> bool {
    let count = |tag: u16| list.iter().filter(|entry| entry.tag == tag).count();
    let basics = [OWNER, OWNING_GROUP, OTHERS]
        .iter()
        .all(|tag| count(*tag) == 1);
    let named = list.iter().any(|entry| is_named(entry.tag));
    let known = list.iter().all(|entry| {
        matches!(entry.tag, 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20) && entry.permissions <= 7
    });
    let sorted = list.is_sorted_by_key(|entry| (entry.tag, entry.id));
    let unique = !list
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if is_named(a.tag) && a.tag == b.tag && a.id == b.id));
    basics && known && sorted && unique && count(MASK) <= 1 && (!named || count(MASK) == 1)
}

/// Converts an ACL as setxattr(2) gets it to the on-disk form; also the permission bits it stands for, and
/// whether it says no more than those. `None` when it is malformed.
pub(crate) fn from_linux(linux: &[u8]) -> Option<(Vec<u8>, u16, bool)> {
    if linux.len() < 4 || le32(linux, 0) != LINUX_VERSION {
        return None;
    }
    let rest = linux.get(4..)?;
    if !rest.len().is_multiple_of(8) {
        return None;
    }
    let list: Vec<Entry> = rest
        .chunks_exact(8)
        .map(|bytes| Entry {
            tag: le16(bytes, 0),
            permissions: le16(bytes, 2),
            id: match is_named(le16(bytes, 0)) {
                true => le32(bytes, 4),
                false => u32::MAX,
            },
        })
        .collect();
    is_valid(&list).then(|| (disk_form(&list), bits(&list), list.len() == 3))
}

/// The permission bits that an ACL stands for.
fn bits(list: &[Entry]) -> u16 {
    let of = |tag: u16| {
        let found = list.iter().find(|entry| entry.tag == tag);
        found.map(|entry| entry.permissions & 7)
    };
    let group = of(MASK).or_else(|| of(OWNING_GROUP)).unwrap_or(0);
    of(OWNER).unwrap_or(0) << 6 | group << 3 | of(OTHERS).unwrap_or(0)
}

/// Where the bits of a mode go in an ACL.
fn set_bits(list: &mut [Entry], and: bool, mode: u16) {
    let has_mask = list.iter().any(|entry| entry.tag == MASK);
    for entry in list {
        let part = match entry.tag {
            OWNER => mode >> 6 & 7,
            MASK => mode >> 3 & 7,
            OWNING_GROUP if !has_mask => mode >> 3 & 7,
            OTHERS => mode & 7,
            _ => continue,
        };
        entry.permissions = if and { entry.permissions & part } else { part };
    }
}

/// What a new inode gets from its directory's default ACL (on-disk form): its access ACL, unless that says no
/// more than the mode, and the mode with the bits the ACL leaves.
pub(crate) fn inherit(default: &[u8], mode: u16) -> (Option<Vec<u8>>, u16) {
    let mut list = parse_disk(default);
    set_bits(&mut list, true, mode);
    let mode = mode & !0o777 | bits(&list);
    ((list.len() > 3).then(|| disk_form(&list)), mode)
}

/// An access ACL (on-disk form) after chmod(2).
pub(crate) fn with_mode(disk: &[u8], mode: u16) -> Vec<u8> {
    let mut list = parse_disk(disk);
    set_bits(&mut list, false, mode);
    disk_form(&list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_the_mode_agree() {
        let mut linux = LINUX_VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in [
            (1u16, 7u16, u32::MAX),
            (2, 5, 1000),
            (4, 4, u32::MAX),
            (16, 6, u32::MAX),
            (32, 1, u32::MAX),
        ] {
            linux.extend_from_slice(&tag.to_le_bytes());
            linux.extend_from_slice(&permissions.to_le_bytes());
            linux.extend_from_slice(&id.to_le_bytes());
        }
        let (disk, mode, is_plain) = from_linux(&linux).unwrap();
        assert_eq!((mode, is_plain), (0o761, false));
        assert_eq!(to_linux(&disk), Some(linux.clone()));
        assert_eq!(from_linux(&linux[..linux.len() - 8]), None);
        let (access, mode) = inherit(&disk, 0o640);
        assert_eq!(mode, 0o640);
        let access = access.unwrap();
        assert_eq!(bits(&parse_disk(&access)), 0o640);
        assert_eq!(bits(&parse_disk(&with_mode(&access, 0o751))), 0o751);
    }

    #[test]
    fn short_and_long_entries() {
        let disk = [1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 7, 0, 0xe8, 3, 0, 0];
        let linux = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xe8, 3, 0, 0,
        ];
        assert_eq!(to_linux(&disk), Some(linux.to_vec()));
        assert_eq!(to_linux(&disk[..15]), None);
        assert_eq!(to_linux(&[2, 0, 0, 0]), None);
        assert_eq!(to_linux(&[1, 0, 0, 0, 3, 0, 6, 0]), None);
    }
}
