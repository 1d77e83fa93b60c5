//! Commits without a journal (ext2): blocks go home in an order in which a crash costs nothing that had been
//! synced, and e2fsck(8) can repair the rest.
//!
//! After the content of files, with a flush after each:
//!
//! 1. blocks that were free so far (maps, directory blocks, attributes), and the file system's own;
//! 2. other maps;
//! 3. inodes; but those that die stay as they were;
//! 4. directories: a block that an entry moves to before the one that it leaves, be it by a rename or by a split;
//! 5. inodes that die, and maps that have given a part away.
//!
//! So no name leads to an inode that isn't there, no inode to a map that isn't there, and what moves is
//! for a moment there twice rather than not at all. The medium has to write each block as a whole.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Op;
use super::commit::write_home;
use super::groups::{BLOCK_UNINIT, has_bit, place};
use crate::blocks::Block;
use crate::bytes::{le16, span};
use crate::dir::block::entries;
use crate::error::Result;
use crate::geometry::Checksums;

/// Directories are written in at most so many steps; longer chains of moves are not kept apart.
const MOST_STEPS: usize = 8;

type List = Vec<(u64, Arc<Block>)>;

/// Looks like a block of a directory (only a hint for the order of writing).
fn is_directory_like(data: &[u8]) -> bool {
    entries(data).all(|entry| entry.is_ok_and(|entry| entry.inode == 0 || !entry.name.is_empty()))
}

/// The names in a block, as far as it can be read.
fn names(data: &[u8]) -> HashSet<(Vec<u8>, u32)> {
    entries(data)
        .map_while(std::result::Result::ok)
        .filter(|entry| entry.inode != 0 && !matches!(entry.name, b"." | b".."))
        .map(|entry| (entry.name.to_vec(), entry.inode))
        .collect()
}

/// Whether a node of an extent tree has lost extents: it has been split.
fn has_lost_extents(old: &[u8], new: &[u8]) -> bool {
    const EXTENTS: u16 = 0xf30a;
    let (before, after) = (le16(old, 2), le16(new, 2));
    le16(old, 0) == EXTENTS && le16(new, 0) == EXTENTS && after < before
}

/// A directory's block that changes.
struct Leaf {
    number: u64,
    block: Arc<Block>,
    lost: HashSet<u32>,
    gained: HashSet<u32>,
}

#[derive(Default)]
struct Stages {
    fresh: List,
    maps: List,
    inodes: List,
    leaves: Vec<Leaf>,
    last: List,
}

impl Op<'_> {
    /// Commits the running transaction of a file system without a journal.
    pub(super) fn commit_unlogged(&mut self) -> Result<()> {
        let blocks = &self.volume.blocks;
        blocks.flush()?;
        blocks.changes.committed();
        let stages = self.stages(blocks.changes.homeless())?;
        let mut steps = vec![stages.fresh, stages.maps, stages.inodes];
        steps.extend(in_order(stages.leaves));
        steps.push(stages.last);
        for step in steps.iter().filter(|step| !step.is_empty()) {
            write_home(blocks, step)?;
            blocks.flush()?;
        }
        for (number, block) in blocks.changes.came_home() {
            blocks.came_home(number, block);
        }
        self.forget_pending();
        Ok(())
    }

    fn stages(&self, list: List) -> Result<Stages> {
        let mut stages = Stages::default();
        let mut bitmaps = HashMap::new();
        let superblock = self.volume.superblock_place().0;
        let has_orphans = !self.writer.orphans.is_empty();
        let mut old = vec![0u8; self.volume.blocks.block_size()];
        for (number, block) in list {
            if self.writer.tables.touches(number, 1) {
                self.volume.blocks.read_raw(number, 0, &mut old)?;
                match self.with_dying(&old, block.data()) {
                    Some(kept) => {
                        stages.inodes.push((number, kept));
                        stages.last.push((number, block));
                    }
                    None => stages.inodes.push((number, block)),
                }
            } else if number == superblock && !has_orphans {
                // What leaves the list of orphans has to be deleted first.
                stages.last.push((number, block));
            } else if self.writer.zones.touches(number, 1) {
                stages.fresh.push((number, block));
            } else {
                let is_fresh = self.was_free(number, &mut bitmaps)?;
                let is_leaf = is_directory_like(block.data());
                if !is_fresh {
                    self.volume.blocks.read_raw(number, 0, &mut old)?;
                }
                if is_fresh {
                    if is_leaf {
                        let gained = names(block.data()).into_iter().map(|(_, inode)| inode);
                        stages.leaves.push(Leaf {
                            number,
                            block: Arc::clone(&block),
                            lost: HashSet::new(),
                            gained: gained.collect(),
                        });
                    }
                    stages.fresh.push((number, block));
                } else if is_leaf {
                    let (before, after) = (names(&old), names(block.data()));
                    let only = |a: &HashSet<(Vec<u8>, u32)>, b: &HashSet<(Vec<u8>, u32)>| {
                        a.difference(b).map(|(_, inode)| *inode).collect()
                    };
                    stages.leaves.push(Leaf {
                        number,
                        lost: only(&before, &after),
                        gained: only(&after, &before),
                        block,
                    });
                } else if has_lost_extents(&old, block.data()) {
                    stages.last.push((number, block));
                } else {
                    stages.maps.push((number, block));
                }
            }
        }
        Ok(stages)
    }

    /// A block of the inode table in which inodes that lose their last link are still as they were; `None` when
    /// there are none.
    fn with_dying(&self, old: &[u8], new: &[u8]) -> Option<Arc<Block>> {
        let size = self.volume.geometry.inode_size.max(128);
        let mut kept: Option<Vec<u8>> = None;
        for at in (0..new.len()).step_by(size) {
            let links = |bytes: &[u8]| le16(bytes, at.saturating_add(0x1a));
            if links(old) == 0 || links(new) > 0 || le16(old, at) == 0 {
                continue;
            }
            let end = at.saturating_add(size);
            if let Some(place) = kept
                .get_or_insert_with(|| new.to_vec())
                .get_mut(at..end.min(new.len()))
            {
                place.copy_from_slice(span(old, at, end));
            }
        }
        kept.map(|bytes| Arc::new(Block::new(bytes.into())))
    }

    /// Whether the image's own bitmap, as it is on disk, calls a block free.
    fn was_free(&self, number: u64, bitmaps: &mut HashMap<u32, Option<Vec<u8>>>) -> Result<bool> {
        let geometry = &self.volume.geometry;
        let offset = number.saturating_sub(u64::from(geometry.first_data_block));
        let per_group = u64::from(geometry.blocks_per_group).max(1);
        let group = u32::try_from(offset / per_group).unwrap_or(u32::MAX);
        let bit = u32::try_from(offset % per_group).unwrap_or(u32::MAX);
        let bitmap = match bitmaps.entry(group) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => place.insert(self.written_bitmap(group)?),
        };
        // Without one all blocks of the group are free but the file system's own.
        Ok(bitmap.as_ref().is_none_or(|bits| !has_bit(bits, bit)))
    }

    /// The bitmap of a group as the image has it; `None` when it was never written.
    fn written_bitmap(&self, group: u32) -> Result<Option<Vec<u8>>> {
        let geometry = &self.volume.geometry;
        let blocks = &self.volume.blocks;
        let Some(held) = self.writer.groups.get(group as usize) else {
            return super::refuse(libc::EIO);
        };
        let (block, from) = place(geometry, group);
        let mut bytes = vec![0u8; blocks.block_size()];
        blocks.read_raw(block, 0, &mut bytes)?;
        let has_flags = geometry.checksums != Checksums::None;
        if has_flags && le16(&bytes, from.saturating_add(0x12)) & BLOCK_UNINIT != 0 {
            return Ok(None);
        }
        blocks.read_raw(held.block_bitmap, 0, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Leaves in steps: each after those that what it loses has gone to. Fresh ones (which lose nothing) are written by then.
fn in_order(leaves: Vec<Leaf>) -> Vec<List> {
    let mut gainers: HashMap<u32, Vec<u64>> = HashMap::new();
    for leaf in &leaves {
        for inode in &leaf.gained {
            gainers.entry(*inode).or_default().push(leaf.number);
        }
    }
    let mut waiting: HashSet<u64> = leaves.iter().map(|leaf| leaf.number).collect();
    let mut rest = leaves;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let is_free = |leaf: &Leaf| {
            leaf.lost
                .iter()
                .filter_map(|inode| gainers.get(inode))
                .flatten()
                .all(|number| *number == leaf.number || !waiting.contains(number))
        };
        let (mut now, mut later): (Vec<Leaf>, Vec<Leaf>) = rest.into_iter().partition(is_free);
        if now.is_empty() || steps.len() + 1 >= MOST_STEPS {
            // Moves in a circle.
            now.append(&mut later);
        }
        for leaf in &now {
            waiting.remove(&leaf.number);
        }
        steps.push(
            now.into_iter()
                .map(|leaf| (leaf.number, leaf.block))
                .collect(),
        );
        rest = later;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: u64, lost: &[u32], gained: &[u32]) -> Leaf {
        Leaf {
            number,
            block: Arc::new(Block::new(vec![0; 4].into())),
            lost: lost.iter().copied().collect(),
            gained: gained.iter().copied().collect(),
        }
    }

    fn numbers(leaves: Vec<Leaf>) -> Vec<Vec<u64>> {
        let numbers = |step: List| step.into_iter().map(|(number, _)| number).collect();
        in_order(leaves).into_iter().map(numbers).collect()
    }

    #[test]
    fn what_moves_arrives_before_it_leaves() {
        let chain = vec![
            leaf(1, &[7], &[]),
            leaf(2, &[8], &[7]),
            leaf(3, &[], &[8]),
            leaf(4, &[9], &[]),
        ];
        assert_eq!(numbers(chain), [vec![3, 4], vec![2], vec![1]]);
        let circle = vec![leaf(1, &[7], &[8]), leaf(2, &[8], &[7]), leaf(3, &[7], &[])];
        assert_eq!(numbers(circle), [[1, 2, 3]]);
    }

    #[test]
    fn maps_do_not_look_like_directories() {
        let pointers: Vec<u8> = (600..856u32).flat_map(u32::to_le_bytes).collect();
        assert!(!is_directory_like(&pointers));
        let mut empty = vec![0u8; 1024];
        empty[5] = 4;
        assert!(is_directory_like(&empty));
    }

    #[test]
    fn a_split_node_has_lost_extents() {
        let node = |count: u8| [0x0a, 0xf3, count, 0, 80, 0, 0, 0];
        assert!(has_lost_extents(&node(5), &node(3)));
        assert!(!has_lost_extents(&node(3), &node(5)));
        assert!(!has_lost_extents(&[0; 8], &node(5)));
    }
}
