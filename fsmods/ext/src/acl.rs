//! POSIX ACLs: ext4 stores them shorter than the form that getxattr(2) shows.

use crate::bytes::{array, le16, le32};

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

#[cfg(test)]
mod tests {
    use super::*;

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
