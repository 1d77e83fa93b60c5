//! One block of a directory: a chain of entries that fills it to the last byte, then (with checksums)
//! a tail that looks like an unused entry.

use crate::blocks::{Block, CheckedAs};
use crate::bytes::{le16, le32, span, u8_at};
use crate::crc::crc32c;
use crate::error::{Result, bad_inode};
use crate::inode::Inode;

const HEADER_BYTES: usize = 8;
/// The smallest entry, one of up to four bytes of name.
const MIN_ENTRY_BYTES: usize = 12;
const TAIL_BYTES: usize = 12;
const TAIL_KIND: u8 = 0xde;

/// An entry as it lies in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    /// Byte of the block where it starts.
    pub(crate) at: usize,
    /// Byte where the next one starts.
    pub(crate) next: usize,
    /// 0: not in use.
    pub(crate) inode: u32,
    /// The type byte.
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
}

/// The length of an entry: 16 bits that also have to say 64 KiB.
pub(crate) fn record_length(bytes: &[u8], at: usize) -> usize {
    let stored = usize::from(le16(bytes, at.saturating_add(4)));
    if bytes.len() < 65536 {
        return stored;
    }
    match stored {
        0 | 0xffff => 65536,
        _ => (stored & 0xfffc) | (stored & 3) << 16,
    }
}

/// The entries of a block (or of a part of an inline directory), in order. Ends after the first error.
pub(crate) fn entries(
    bytes: &[u8],
) -> impl Iterator<Item = std::result::Result<RawEntry<'_>, String>> {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let result = parse(bytes, at);
        at = result.as_ref().map_or(usize::MAX, |entry| entry.next);
        Some(result)
    })
}

fn parse(bytes: &[u8], at: usize) -> std::result::Result<RawEntry<'_>, String> {
    let length = record_length(bytes, at);
    let next = at.saturating_add(length);
    let name_length = usize::from(u8_at(bytes, at.saturating_add(6)));
    if length < MIN_ENTRY_BYTES || !length.is_multiple_of(4) || next > bytes.len() {
        return Err(format!(
            "has an entry at byte {at} with the length {length}"
        ));
    }
    if name_length.saturating_add(HEADER_BYTES) > length {
        return Err(format!(
            "has an entry at byte {at} whose name of {name_length} bytes exceeds its length {length}"
        ));
    }
    let name_at = at.saturating_add(HEADER_BYTES);
    Ok(RawEntry {
        at,
        next,
        inode: le32(bytes, at),
        kind: u8_at(bytes, at.saturating_add(7)),
        name: span(bytes, name_at, name_at.saturating_add(name_length)),
    })
}

/// The mark that a checked block of a directory has.
pub(crate) fn mark(directory: u32, is_root: bool) -> u64 {
    CheckedAs::Directory.of(directory, u16::from(is_root))
}

/// Checks the checksum of block `number` of a directory, which is block `place` of the file system.
pub(crate) fn check(
    dir: &Inode,
    block: &Block,
    number: u64,
    place: u64,
    is_indexed: bool,
) -> Result<()> {
    let is_root = is_indexed && number == 0;
    block.check_once(mark(dir.number, is_root), |bytes| {
        let looks_like_node = le32(bytes, 0) == 0 && record_length(bytes, 0) == bytes.len();
        let sums = if is_root {
            node_sums(dir, bytes, 32)
        } else if is_indexed && looks_like_node {
            node_sums(dir, bytes, 8)
        } else {
            leaf_sums(dir, bytes)
        };
        match sums {
            Some((found, expected)) if found == expected => Ok(()),
            Some((found, expected)) => {
                let detail = format!("checksum {found:#010x} is wrong (expected {expected:#010x})");
                bad_inode(
                    dir.number,
                    format!("directory block {number} (block {place}): {detail}"),
                )
            }
            None => bad_inode(
                dir.number,
                format!("directory block {number} (block {place}) has no checksum"),
            ),
        }
    })
}

/// The checksum in a leaf and the one it should have.
fn leaf_sums(dir: &Inode, bytes: &[u8]) -> Option<(u32, u32)> {
    let tail = bytes.len().checked_sub(TAIL_BYTES)?;
    let is_tail = le32(bytes, tail) == 0
        && usize::from(le16(bytes, tail + 4)) == TAIL_BYTES
        && le16(bytes, tail + 6) == u16::from(TAIL_KIND) << 8;
    is_tail.then(|| {
        (
            le32(bytes, tail + 8),
            crc32c(dir.checksum_seed, span(bytes, 0, tail)),
        )
    })
}

/// The same for a node of the hash tree, whose entries start at `start` with their limit and count.
fn node_sums(dir: &Inode, bytes: &[u8], start: usize) -> Option<(u32, u32)> {
    let limit = usize::from(le16(bytes, start));
    let count = usize::from(le16(bytes, start + 2));
    let tail = start.saturating_add(limit.saturating_mul(8));
    if count > limit || tail.saturating_add(8) > bytes.len() {
        return None;
    }
    let used = start.saturating_add(count.saturating_mul(8));
    let mut crc = crc32c(dir.checksum_seed, span(bytes, 0, used));
    crc = crc32c(crc, span(bytes, tail, tail + 4));
    crc = crc32c(crc, &[0; 4]);
    Some((le32(bytes, tail + 4), crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(records: &[(u32, u16, &[u8])], size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (inode, length, name) in records {
            let start = bytes.len();
            bytes.extend_from_slice(&inode.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.push(name.len() as u8);
            bytes.push(1);
            bytes.extend_from_slice(name);
            bytes.resize(start + usize::from(*length), 0);
        }
        bytes.resize(size, 0);
        bytes
    }

    #[test]
    fn entries_tile_the_block() {
        let bytes = block(&[(11, 12, b"a"), (0, 16, b""), (12, 36, b"long name")], 64);
        let found: Vec<_> = entries(&bytes).map(|entry| entry.unwrap()).collect();
        let names: Vec<_> = found
            .iter()
            .map(|entry| (entry.inode, entry.name, entry.next))
            .collect();
        assert_eq!(
            names,
            [
                (11, &b"a"[..], 12),
                (0, &b""[..], 28),
                (12, &b"long name"[..], 64)
            ]
        );
    }

    #[test]
    fn impossible_lengths_end_the_walk() {
        for (length, name) in [(8u16, &b""[..]), (13, b"a"), (68, b"a"), (12, b"too long")] {
            let bytes = block(&[(11, 12, b"a")], 64);
            let mut bytes = bytes;
            bytes[16..18].copy_from_slice(&length.to_le_bytes());
            bytes[18] = name.len() as u8;
            let results: Vec<_> = entries(&bytes).collect();
            assert_eq!(results.len(), 2, "{length}");
            assert!(results[1].is_err());
        }
    }
}
