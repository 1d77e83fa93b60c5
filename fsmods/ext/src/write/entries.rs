//! Changes inside one block of a directory, as bytes: entries come into the slack of others and leave it to
//! the one before.

use crate::bytes::{put, put16, put32};
use crate::dir::block::{RawEntry, entries};

const HEADER_BYTES: usize = 8;

/// Bytes that an entry with this name needs.
pub(crate) fn needed(name: &[u8]) -> usize {
    HEADER_BYTES.saturating_add(name.len()).next_multiple_of(4)
}

/// A name with what it leads to.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) inode: u32,
    /// The type byte; 0 without the feature `filetype`.
    pub(crate) kind: u8,
}

fn set_record_length(bytes: &mut [u8], at: usize, length: usize) {
    let size = bytes.len();
    let stored = match length {
        length if size < 65536 => length,
        65536 => 0xffff,
        length => (length & 0xfffc) | (length >> 16 & 3),
    };
    put16(bytes, at.saturating_add(4), stored as u16);
}

/// Writes an entry of `length` bytes at `at`.
pub(crate) fn write_entry(bytes: &mut [u8], at: usize, length: usize, target: Target<'_>) {
    put32(bytes, at, target.inode);
    set_record_length(bytes, at, length);
    put(
        bytes,
        at.saturating_add(6),
        &[target.name.len() as u8, target.kind],
    );
    put(bytes, at.saturating_add(HEADER_BYTES), target.name);
}

/// The entries before `end`, where the checksum's tail may follow.
pub(crate) fn used(bytes: &[u8], end: usize) -> impl Iterator<Item = Result<RawEntry<'_>, String>> {
    entries(bytes)
        .take_while(move |entry| entry.as_ref().is_ok_and(|entry| entry.at < end) || entry.is_err())
}

/// Whether a block has a name.
///
/// # Errors
/// What is wrong with the block.
pub(crate) fn has(bytes: &[u8], end: usize, name: &[u8]) -> Result<bool, String> {
    for entry in used(bytes, end) {
        let entry = entry?;
        if entry.inode != 0 && entry.name == name {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fits an entry in; answers whether there was room.
///
/// # Errors
/// What is wrong with the block.
pub(crate) fn insert(bytes: &mut [u8], end: usize, target: Target<'_>) -> Result<bool, String> {
    let need = needed(target.name);
    let mut found = None;
    for entry in used(bytes, end) {
        let entry = entry?;
        let length = entry.next.saturating_sub(entry.at);
        let own = match entry.inode {
            0 => 0,
            _ => needed(entry.name),
        };
        if length.saturating_sub(own) >= need && entry.next <= end {
            found = Some((entry.at, own, length));
            break;
        }
    }
    let Some((at, own, length)) = found else {
        return Ok(false);
    };
    if own > 0 {
        set_record_length(bytes, at, own);
    }
    write_entry(
        bytes,
        at.saturating_add(own),
        length.saturating_sub(own),
        target,
    );
    Ok(true)
}

/// Takes an entry out; answers the inode it named.
///
/// # Errors
/// What is wrong with the block.
pub(crate) fn remove(bytes: &mut [u8], end: usize, name: &[u8]) -> Result<Option<u32>, String> {
    let mut before: Option<usize> = None;
    let mut found = None;
    for entry in used(bytes, end) {
        let entry = entry?;
        if entry.inode != 0 && entry.name == name {
            found = Some((before, entry.at, entry.next, entry.inode));
            break;
        }
        before = Some(entry.at);
    }
    let Some((before, at, next, inode)) = found else {
        return Ok(None);
    };
    match before {
        Some(before) => set_record_length(bytes, before, next.saturating_sub(before)),
        None => put32(bytes, at, 0),
    }
    Ok(Some(inode))
}

/// Lets an entry name another inode; answers the one before.
///
/// # Errors
/// What is wrong with the block.
pub(crate) fn replace(
    bytes: &mut [u8],
    end: usize,
    target: Target<'_>,
) -> Result<Option<u32>, String> {
    let mut found = None;
    for entry in used(bytes, end) {
        let entry = entry?;
        if entry.inode != 0 && entry.name == target.name {
            found = Some((entry.at, entry.inode));
            break;
        }
    }
    let Some((at, inode)) = found else {
        return Ok(None);
    };
    put32(bytes, at, target.inode);
    put(bytes, at.saturating_add(7), &[target.kind]);
    Ok(Some(inode))
}

/// A block of these entries, packed; `end` is where they have to end.
pub(crate) fn pack(size: usize, end: usize, list: &[(u32, u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0u8; size];
    let mut at = 0usize;
    for (index, (inode, kind, name)) in list.iter().enumerate() {
        let is_last = index.saturating_add(1) == list.len();
        let length = if is_last {
            end.saturating_sub(at)
        } else {
            needed(name)
        };
        let target = Target {
            name,
            inode: *inode,
            kind: *kind,
        };
        write_entry(&mut bytes, at, length, target);
        at = at.saturating_add(length);
    }
    if list.is_empty() {
        set_record_length(&mut bytes, 0, end);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8], end: usize) -> Vec<(u32, Vec<u8>)> {
        used(bytes, end)
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.inode != 0)
            .map(|entry| (entry.inode, entry.name.to_vec()))
            .collect()
    }

    #[test]
    fn entries_come_and_go() {
        let end = 64 - 12;
        let mut bytes = pack(64, end, &[]);
        write_entry(
            &mut bytes,
            end,
            12,
            Target {
                name: b"",
                inode: 0,
                kind: 0xde,
            },
        );
        let add = |bytes: &mut [u8], name: &[u8], inode| {
            insert(
                bytes,
                end,
                Target {
                    name,
                    inode,
                    kind: 1,
                },
            )
            .unwrap()
        };
        assert!(add(&mut bytes, b"a", 11));
        assert!(add(&mut bytes, b"bb", 12));
        assert!(add(&mut bytes, b"name-of-16-bytes", 13));
        assert!(!add(&mut bytes, b"c", 14));
        assert_eq!(remove(&mut bytes, end, b"bb"), Ok(Some(12)));
        assert_eq!(remove(&mut bytes, end, b"bb"), Ok(None));
        assert!(add(&mut bytes, b"c", 14));
        assert_eq!(remove(&mut bytes, end, b"a"), Ok(Some(11)));
        assert!(add(&mut bytes, b"d", 15));
        assert_eq!(
            replace(
                &mut bytes,
                end,
                Target {
                    name: b"c",
                    inode: 20,
                    kind: 2
                }
            ),
            Ok(Some(14))
        );
        assert_eq!(
            names(&bytes, end),
            [
                (15, b"d".to_vec()),
                (20, b"c".to_vec()),
                (13, b"name-of-16-bytes".to_vec())
            ]
        );
    }
}
