//! Extended attributes: entries inside the inode, in a block of their own, values in inodes of their own.
//!
//! Names and values are those of getxattr(2). `system.data` (inline data) is not an attribute for users.

use crate::blocks::{Block, Blocks, CheckedAs};
use crate::bytes::{le16, le32, span, u8_at};
use crate::crc::crc32c;
use crate::error::{Error, Result, bad_inode};
use crate::geometry::Geometry;
use crate::inode::Inode;
use crate::volume::Volume;
use crate::{acl, data};

pub(crate) const MAGIC: u32 = 0xea02_0000;
pub(crate) const HEADER_BYTES: usize = 32;
pub(crate) const ENTRY_BYTES: usize = 16;
const INDEX_ACL_ACCESS: u8 = 2;
const INDEX_ACL_DEFAULT: u8 = 3;
pub(crate) const INDEX_SYSTEM: u8 = 7;
/// `XATTR_SIZE_MAX`.
const MAX_VALUE_BYTES: u32 = 65536;

/// Name prefixes by `e_name_index`.
const PREFIXES: [(u8, &str); 7] = [
    (1, "user."),
    (INDEX_ACL_ACCESS, "system.posix_acl_access"),
    (INDEX_ACL_DEFAULT, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
    (8, "system.richacl"),
    (10, "gnu."),
];

/// One attribute as found; `value` is empty when the value lies in an inode.
pub(crate) struct Entry<'a> {
    pub(crate) index: u8,
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) value_inode: u32,
    value_size: u32,
}

/// Walks the entries in `bytes` from `at` on; value offsets count from the start of `bytes`.
/// Stops at the first for which `visit` answers something.
pub(crate) fn walk<'a, T>(
    bytes: &'a [u8],
    mut at: usize,
    mut visit: impl FnMut(Entry<'a>) -> Option<T>,
) -> std::result::Result<Option<T>, &'static str> {
    // The list ends with four zero bytes, or where not even those have room.
    while at.saturating_add(4) <= bytes.len() && le32(bytes, at) != 0 {
        let header = span(bytes, at, at.saturating_add(ENTRY_BYTES));
        let name_at = at.saturating_add(ENTRY_BYTES);
        let name_end = name_at.saturating_add(usize::from(u8_at(header, 0)));
        let name = bytes.get(name_at..name_end).ok_or("an entry is cut off")?;
        let value_inode = le32(header, 4);
        let value_size = le32(header, 8);
        let value = if value_inode != 0 || value_size == 0 {
            &[]
        } else {
            let from = usize::from(le16(header, 2));
            let size = usize::try_from(value_size).unwrap_or(usize::MAX);
            bytes
                .get(from..from.saturating_add(size))
                .ok_or("a value is out of range")?
        };
        let entry = Entry {
            index: u8_at(header, 1),
            name,
            value,
            value_inode,
            value_size,
        };
        if let Some(answer) = visit(entry) {
            return Ok(Some(answer));
        }
        at = name_end.next_multiple_of(4);
    }
    Ok(None)
}

pub(crate) fn named<T>(
    inode: &Inode,
    place: &str,
    result: std::result::Result<T, &'static str>,
) -> Result<T> {
    result.or_else(|detail| bad_inode(inode.number, format!("xattrs in the {place}: {detail}")))
}

/// The value of `system.data`, empty when there is none.
pub(crate) fn inline_value<'a>(_geometry: &Geometry, inode: &'a Inode) -> Result<&'a [u8]> {
    let found = walk(&inode.xattr_body, 0, |entry| {
        (entry.index == INDEX_SYSTEM && entry.name == b"data").then_some(entry.value)
    });
    Ok(named(inode, "inode", found)?.unwrap_or(&[]))
}

/// The checked block of attributes, if the inode has one.
pub(crate) fn attribute_block(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
) -> Result<Option<std::sync::Arc<Block>>> {
    let number = inode.xattr_block;
    if number == 0 {
        return Ok(None);
    }
    let bad = |detail: String| bad_inode(inode.number, format!("xattr block {number} {detail}"));
    if !geometry.holds(number, 1) {
        return bad_inode(
            inode.number,
            format!("xattr block {number} is outside the file system"),
        );
    }
    let block = blocks.get(number)?;
    block.check_once(CheckedAs::Xattrs.of(0, 0), |bytes| {
        let magic = le32(bytes, 0);
        if magic != MAGIC || le32(bytes, 8) != 1 {
            return bad(format!("has a bad header (magic {magic:#010x})"));
        }
        if geometry.has_checksums() {
            let mut crc = crc32c(geometry.checksum_seed, &number.to_le_bytes());
            crc = crc32c(crc, span(bytes, 0, 16));
            crc = crc32c(crc, &[0; 4]);
            crc = crc32c(crc, span(bytes, 20, bytes.len()));
            let found = le32(bytes, 16);
            if found != crc {
                return bad(format!(
                    "has the wrong checksum {found:#010x} (expected {crc:#010x})"
                ));
            }
        }
        Ok(())
    })?;
    Ok(Some(block))
}

/// The full name of an attribute; `None` for those that are not shown.
fn full_name(index: u8, name: &[u8]) -> Option<Vec<u8>> {
    let (_, prefix) = PREFIXES.iter().find(|(number, _)| *number == index)?;
    Some([prefix.as_bytes(), name].concat())
}

/// Splits a full name into index and rest.
///
/// # Errors
/// EOPNOTSUPP for an unknown namespace, EINVAL for a bare prefix.
pub(crate) fn split_name(name: &[u8]) -> Result<(u8, &[u8])> {
    for (index, prefix) in PREFIXES {
        if let Some(rest) = name.strip_prefix(prefix.as_bytes()) {
            match (prefix.ends_with('.'), rest.is_empty()) {
                (true, true) => return Err(Error::Refused(libc::EINVAL)),
                (false, false) => continue,
                _ => return Ok((index, rest)),
            }
        }
    }
    Err(Error::Refused(libc::EOPNOTSUPP))
}

/// The names of all attributes, each followed by a zero byte.
pub(crate) fn list(volume: &Volume, inode: &Inode) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let mut add = |entry: Entry<'_>| -> Option<()> {
        if let Some(name) = full_name(entry.index, entry.name) {
            names.extend_from_slice(&name);
            names.push(0);
        }
        None
    };
    named(inode, "inode", walk(&inode.xattr_body, 0, &mut add))?;
    if let Some(block) = attribute_block(&volume.blocks, &volume.geometry, inode)? {
        named(inode, "block", walk(block.data(), HEADER_BYTES, &mut add))?;
    }
    Ok(names)
}

/// Where a value is.
enum Found {
    Here(Vec<u8>),
    InInode(u32, u32),
}

/// The value of an attribute.
///
/// # Errors
/// ENODATA when there is none, EOPNOTSUPP or EINVAL for names that can't exist, E2BIG for values over 64 KiB.
pub(crate) fn get(volume: &Volume, inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
    let (index, name) = split_name(name)?;
    let mut find = |entry: Entry<'_>| {
        (entry.index == index && entry.name == name).then(|| match entry.value_inode {
            0 => Found::Here(entry.value.to_vec()),
            number => Found::InInode(number, entry.value_size),
        })
    };
    let mut found = named(inode, "inode", walk(&inode.xattr_body, 0, &mut find))?;
    if found.is_none()
        && let Some(block) = attribute_block(&volume.blocks, &volume.geometry, inode)?
    {
        found = named(inode, "block", walk(block.data(), HEADER_BYTES, &mut find))?;
    }
    let value = match found.ok_or(Error::Refused(libc::ENODATA))? {
        Found::Here(value) => value,
        Found::InInode(number, size) => value_in_inode(volume, inode, number, size)?,
    };
    if index != INDEX_ACL_ACCESS && index != INDEX_ACL_DEFAULT {
        return Ok(value);
    }
    acl::to_linux(&value).map_or_else(|| bad_inode(inode.number, "has a malformed ACL"), Ok)
}

/// Reads a value that has an inode of its own (feature `ea_inode`).
fn value_in_inode(volume: &Volume, owner: &Inode, number: u32, size: u32) -> Result<Vec<u8>> {
    if size > MAX_VALUE_BYTES {
        return Err(Error::Refused(libc::E2BIG));
    }
    let holder = volume.inode(number)?;
    if !holder.is_xattr_value() || holder.size != u64::from(size) || holder.has_inline_data() {
        return bad_inode(
            owner.number,
            format!("refers to inode {number} for an xattr value, which it does not hold"),
        );
    }
    let mut value = vec![0; usize::try_from(size).unwrap_or(0)];
    data::read(&volume.blocks, &volume.geometry, &holder, 0, &mut value)?;
    // The access time holds the value's checksum. Values written by Lustre name their parent in the
    // modification time instead.
    let expected = crc32c(volume.geometry.checksum_seed, &value);
    let found = holder.accessed.seconds as u32;
    let is_lustre =
        holder.modified.seconds as u32 == owner.number && holder.generation == owner.generation;
    if found != expected && !is_lustre {
        return bad_inode(
            number,
            format!("xattr value checksum {found:#010x} is wrong (expected {expected:#010x})"),
        );
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indexes() {
        assert_eq!(split_name(b"user.a"), Ok((1, &b"a"[..])));
        assert_eq!(split_name(b"system.posix_acl_access"), Ok((2, &b""[..])));
        assert_eq!(
            split_name(b"system.posix_acl_access2"),
            Err(Error::Refused(libc::EOPNOTSUPP))
        );
        assert_eq!(split_name(b"user."), Err(Error::Refused(libc::EINVAL)));
        assert_eq!(split_name(b"odd"), Err(Error::Refused(libc::EOPNOTSUPP)));
        assert_eq!(full_name(6, b"selinux"), Some(b"security.selinux".to_vec()));
        assert_eq!(full_name(7, b"data"), None);
    }

    #[test]
    fn entries_out_of_range_are_refused() {
        // A user attribute "ab" whose value would lie beyond the end.
        let mut bytes = vec![0u8; 40];
        bytes[0] = 2;
        bytes[1] = 1;
        bytes[2] = 38;
        bytes[8] = 4;
        bytes[16] = b'a';
        bytes[17] = b'b';
        assert!(walk(&bytes, 0, |_| None::<()>).is_err());
        bytes[2] = 36;
        assert_eq!(
            walk(&bytes, 0, |entry| Some(entry.value.len())),
            Ok(Some(4))
        );
    }
}
