//! An index in memory for large directories that have none on disk (mke2fs -d makes such, and ext2 without
//! `dir_index`): the hash of each name with the block it is in. Built at the first use, kept while it is used.
//!
//! Names that come are added to it. Names that go stay in it: whoever finds a block looks into the block. It also
//! remembers from where on there may be room for names of each length, so that a directory with n names is not
//! looked through n times while they come.
//!
//! Lock: `later` is a leaf.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{block_count, find_in_block, is_indexed, list};
use crate::crc::crc32c;
use crate::error::Result;
use crate::inode::Inode;
use crate::volume::Volume;

/// Larger directories are scanned.
const MAX_DIRECTORY_BYTES: u64 = 8 << 20;
/// Directories of up to this many blocks are scanned.
const SCAN_BLOCKS: u64 = 2;
/// Memory for all indexes together.
pub(crate) const CACHE_BYTES: usize = 3 << 20;
/// Entries are at most 264 bytes long, in steps of 4.
const LENGTHS: usize = 67;
/// The index is built anew when more names than that have come since.
const MAX_LATER: usize = 1 << 14;

/// Hash and block of every name, sorted.
pub(crate) struct NameIndex {
    places: Vec<(u32, u32)>,
    later: Mutex<Later>,
}

struct Later {
    added: BTreeSet<(u32, u32)>,
    /// By length of an entry in steps of 4: blocks before this one have no room for it.
    full_before: [u64; LENGTHS],
}

fn key(name: &[u8]) -> u32 {
    crc32c(!0, name)
}

impl NameIndex {
    fn new(mut places: Vec<(u32, u32)>) -> Self {
        places.sort_unstable();
        places.dedup();
        places.shrink_to_fit();
        Self {
            places,
            later: Mutex::new(Later {
                added: BTreeSet::new(),
                full_before: [0; LENGTHS],
            }),
        }
    }

    /// The blocks in which the name may be.
    pub(crate) fn blocks_of(&self, name: &[u8]) -> Vec<u64> {
        let wanted = key(name);
        let first = self.places.partition_point(|(hash, _)| *hash < wanted);
        let held = self.places.get(first..).unwrap_or(&[]);
        let held = held.iter().take_while(|(hash, _)| *hash == wanted);
        let later = self.later.lock();
        let added = later.added.range((wanted, 0)..=(wanted, u32::MAX));
        held.chain(added)
            .map(|(_, block)| u64::from(*block))
            .collect()
    }

    /// The first block that may have room for an entry of `need` bytes.
    pub(crate) fn first_with_room(&self, need: usize) -> u64 {
        // What has no room for a short one has none for a longer one.
        let later = self.later.lock();
        let shorter = later.full_before.iter().take((need / 4).saturating_add(1));
        shorter.max().copied().unwrap_or(0)
    }

    /// A name of `need` bytes has come into a block, after no block before had room for it; false when the index should
    /// be given up.
    pub(crate) fn came(&self, name: &[u8], need: usize, block: u64) -> bool {
        let mut later = self.later.lock();
        let Ok(number) = u32::try_from(block) else {
            return false;
        };
        later.added.insert((key(name), number));
        if let Some(full) = later.full_before.get_mut(need / 4) {
            *full = block;
        }
        later.added.len() <= MAX_LATER
    }

    /// A name has left a block.
    pub(crate) fn went(&self, block: u64) {
        for full in &mut self.later.lock().full_before {
            *full = block.min(*full);
        }
    }
}

fn build(volume: &Volume, dir: &Inode) -> Result<NameIndex> {
    let bits = volume.geometry.block_bits;
    let mut places = Vec::new();
    list(volume, dir, 0, &mut |entry| {
        // The cookie is where the entry ends: at most the first byte of the block after its own.
        let block = entry.next.saturating_sub(1) >> bits;
        places.push((key(entry.name), u32::try_from(block).unwrap_or(u32::MAX)));
        ControlFlow::Continue(())
    })?;
    Ok(NameIndex::new(places))
}

/// The index of a directory, if it is one that should have it.
///
/// # Errors
/// The source fails.
pub(crate) fn index_of(volume: &Volume, dir: &Inode) -> Result<Option<Arc<NameIndex>>> {
    let is_wanted = block_count(volume, dir) > SCAN_BLOCKS
        && dir.size <= MAX_DIRECTORY_BYTES
        && !dir.has_inline_data()
        && !is_indexed(volume, dir);
    match is_wanted {
        true => held_or_built(volume, dir).map(Some),
        false => Ok(None),
    }
}

fn held_or_built(volume: &Volume, dir: &Inode) -> Result<Arc<NameIndex>> {
    let known = volume.names.lock().get(&dir.number);
    if let Some(index) = known {
        return Ok(index);
    }
    let index = Arc::new(build(volume, dir)?);
    let weight = index.places.len().saturating_mul(8).saturating_add(1024);
    volume
        .names
        .lock()
        .insert(dir.number, Arc::clone(&index), weight);
    Ok(index)
}

/// Whether [`lookup`] should be asked: for directories of some size, also those whose index on disk is damaged.
pub(super) fn is_worth_it(volume: &Volume, dir: &Inode) -> bool {
    block_count(volume, dir) > SCAN_BLOCKS
        && dir.size <= MAX_DIRECTORY_BYTES
        && !dir.has_inline_data()
}

/// Looks a name up through the index.
///
/// # Errors
/// EUCLEAN when the name isn't found and part of the directory can't be read.
pub(super) fn lookup(volume: &Volume, dir: &Inode, name: &[u8]) -> Result<Option<u32>> {
    for block in held_or_built(volume, dir)?.blocks_of(name) {
        if let Ok(Some(found)) = find_in_block(volume, dir, block, name) {
            return Ok(Some(found));
        }
    }
    volume.fail_if_damaged(dir)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_are_found() {
        let index = NameIndex::new(vec![(key(b"old"), 3)]);
        assert_eq!(index.blocks_of(b"old"), [3]);
        assert_eq!(index.blocks_of(b"new"), [0; 0]);
        assert!(index.came(b"new", 12, 7));
        assert_eq!(index.blocks_of(b"new"), [7]);
    }

    #[test]
    fn room_is_looked_for_where_it_may_be() {
        let index = NameIndex::new(Vec::new());
        assert_eq!(index.first_with_room(12), 0);
        index.came(b"a", 40, 7);
        // Shorter ones may have room before, longer ones not.
        assert_eq!(index.first_with_room(36), 0);
        assert_eq!(index.first_with_room(40), 7);
        assert_eq!(index.first_with_room(264), 7);
        index.came(b"b", 12, 5);
        assert_eq!(index.first_with_room(16), 5);
        index.went(2);
        assert_eq!(index.first_with_room(264), 2);
    }
}
