//! Trees of extents that change: leaves split, merge with their neighbours in the leaf, and vanish; the tree
//! grows and shrinks at its root.
//!
//! Every change works on a path from the root to one leaf, whose nodes are taken apart into entries and
//! put together again from the leaf up.

use super::blocks::Purpose;
use super::edit::Edit;
use super::{Op, refuse};
use crate::bytes::{put, put16, put32};
use crate::crc::crc32c;
use crate::error::{Result, bad_inode};
use crate::map::extents::{
    END_OF_FILE, ENTRY_BYTES, Extent, HEADER_BYTES, MAGIC, MAX_DEPTH, MAX_WRITTEN, Node, check,
    load,
};

const ROOT_ENTRIES: usize = 4;
type Entry = [u8; ENTRY_BYTES];

/// A node on the way to a leaf.
struct Step {
    /// Its block; 0 for the root.
    block: u64,
    entries: Vec<Entry>,
    /// The entry that leads on.
    index: usize,
}

/// Blocks that left a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) at: u64,
    pub(crate) count: u64,
}

fn key(entry: &Entry) -> u64 {
    u64::from(crate::bytes::le32(entry, 0))
}

fn extent_entry(extent: &Extent) -> Entry {
    let mut entry = [0u8; ENTRY_BYTES];
    let flag = if extent.is_unwritten { MAX_WRITTEN } else { 0 };
    put32(&mut entry, 0, extent.start as u32);
    put16(&mut entry, 4, (extent.count as u16).wrapping_add(flag));
    put16(&mut entry, 6, (extent.at >> 32) as u16);
    put32(&mut entry, 8, extent.at as u32);
    entry
}

fn index_entry(key: u64, block: u64) -> Entry {
    let mut entry = [0u8; ENTRY_BYTES];
    put32(&mut entry, 0, key as u32);
    put32(&mut entry, 4, block as u32);
    put16(&mut entry, 8, (block >> 32) as u16);
    entry
}

fn parse(entry: &Entry) -> Extent {
    let mut bytes = [0u8; HEADER_BYTES + ENTRY_BYTES];
    put(&mut bytes, HEADER_BYTES, entry);
    Node { bytes: &bytes }.extent(0)
}

fn entries_of(node: Node<'_>) -> Vec<Entry> {
    (0..node.entries())
        .map(|index| crate::bytes::array(node.entry(index), 0))
        .collect()
}

/// Most blocks in one extent.
fn longest(is_unwritten: bool) -> u64 {
    u64::from(MAX_WRITTEN) - u64::from(is_unwritten)
}

/// Appends an extent to a list in order, joined with the last where it continues that.
fn push(list: &mut Vec<Extent>, extent: Extent) {
    if let Some(last) = list.last_mut()
        && last.start.saturating_add(last.count) == extent.start
        && last.at.saturating_add(last.count) == extent.at
        && last.is_unwritten == extent.is_unwritten
        && last.count.saturating_add(extent.count) <= longest(extent.is_unwritten)
    {
        last.count = last.count.saturating_add(extent.count);
        return;
    }
    list.push(extent);
}

impl Op<'_> {
    /// The nodes from the root to the leaf for `block`, and the first block of the leaf after it.
    fn extent_path(&self, edit: &Edit, block: u64) -> Result<(Vec<Step>, u64)> {
        let inode = edit.inode(self.volume)?;
        let geometry = &self.volume.geometry;
        let root = Node {
            bytes: edit.block(),
        };
        check(geometry, &inode, root, "extent root")?;
        let mut depth = root.depth();
        if depth > MAX_DEPTH {
            return bad_inode(edit.number, format!("extent root has depth {depth}"));
        }
        let mut high = END_OF_FILE;
        let mut steps = vec![Step {
            block: 0,
            entries: entries_of(root),
            index: 0,
        }];
        while depth > 0 {
            let Some(step) = steps.last_mut() else { break };
            let after = step.entries.partition_point(|entry| key(entry) <= block);
            step.index = after.saturating_sub(1);
            if let Some(next) = step.entries.get(after.max(1)) {
                high = high.min(key(next));
            }
            let Some(entry) = step.entries.get(step.index) else {
                return bad_inode(edit.number, "has an empty node of extents");
            };
            let mut bytes = [0u8; HEADER_BYTES + ENTRY_BYTES];
            put(&mut bytes, HEADER_BYTES, entry);
            let child = Node { bytes: &bytes }.child(0);
            depth = depth.saturating_sub(1);
            let held = load(&self.volume.blocks, geometry, &inode, child, depth)?;
            steps.push(Step {
                block: child,
                entries: entries_of(Node { bytes: held.data() }),
                index: 0,
            });
        }
        Ok((steps, high))
    }

    fn node_capacity(&self) -> usize {
        self.volume.geometry.block_size.saturating_sub(HEADER_BYTES) / ENTRY_BYTES
    }

    fn write_root(&self, edit: &mut Edit, entries: &[Entry], depth: u16) {
        let mut bytes = [0u8; 60];
        put16(&mut bytes, 0, MAGIC);
        put16(&mut bytes, 2, entries.len() as u16);
        put16(&mut bytes, 4, ROOT_ENTRIES as u16);
        put16(&mut bytes, 6, depth);
        for (index, entry) in entries.iter().enumerate() {
            put(
                &mut bytes,
                HEADER_BYTES.saturating_add(index.saturating_mul(ENTRY_BYTES)),
                entry,
            );
        }
        edit.set_block(0, &bytes);
    }

    fn write_node(&self, edit: &Edit, block: u64, entries: &[Entry], depth: u16) -> Result<()> {
        let mut bytes = vec![0u8; self.volume.geometry.block_size];
        let capacity = self.node_capacity();
        put16(&mut bytes, 0, MAGIC);
        put16(&mut bytes, 2, entries.len() as u16);
        put16(&mut bytes, 4, capacity as u16);
        put16(&mut bytes, 6, depth);
        for (index, entry) in entries.iter().enumerate() {
            put(
                &mut bytes,
                HEADER_BYTES.saturating_add(index.saturating_mul(ENTRY_BYTES)),
                entry,
            );
        }
        if self.volume.geometry.has_checksums() {
            let tail = HEADER_BYTES.saturating_add(capacity.saturating_mul(ENTRY_BYTES));
            let sum = crc32c(edit.seed, crate::bytes::span(&bytes, 0, tail));
            put32(&mut bytes, tail, sum);
        }
        self.volume.blocks.replace(block, bytes.into())
    }

    fn node_block(&mut self, edit: &mut Edit, near: u64) -> Result<u64> {
        let goal = if near == 0 {
            self.goal_of(edit.number)
        } else {
            near
        };
        let (block, _) = self.allocate(goal, 1, Purpose::Map)?;
        edit.add_blocks(self.volume, 1)?;
        Ok(block)
    }

    fn drop_node(&mut self, edit: &mut Edit, block: u64) -> Result<()> {
        self.free(block, 1, true)?;
        edit.add_blocks(self.volume, -1)
    }

    /// Puts the changed entries of `steps[level]` back, and what follows from that above it.
    fn put_node(&mut self, edit: &mut Edit, steps: &mut [Step], level: usize) -> Result<()> {
        let depth = steps.len().saturating_sub(1).saturating_sub(level);
        let depth = u16::try_from(depth).unwrap_or(u16::MAX);
        let Some((step, above)) = steps
            .get_mut(..=level)
            .and_then(|steps| steps.split_last_mut())
        else {
            return refuse(libc::EIO);
        };
        let Some(parent) = above.last_mut() else {
            return self.put_root(edit, &step.entries, depth);
        };
        let at = parent.index;
        // The only child of the root, small enough to become the root.
        if level == 1 && parent.entries.len() == 1 && step.entries.len() <= ROOT_ENTRIES {
            self.drop_node(edit, step.block)?;
            return self.put_root(edit, &step.entries, depth);
        }
        if step.entries.is_empty() {
            self.drop_node(edit, step.block)?;
            parent
                .entries
                .remove(at.min(parent.entries.len().saturating_sub(1)));
        } else if step.entries.len() <= self.node_capacity() {
            self.write_node(edit, step.block, &step.entries, depth)?;
            let first = step.entries.first().map_or(0, key);
            match parent.entries.get_mut(at) {
                Some(entry) if key(entry) == first => return Ok(()),
                Some(entry) => *entry = index_entry(first, step.block),
                None => return refuse(libc::EIO),
            }
        } else {
            // A full node of a file that grows at its end stays full.
            let is_tail = at.saturating_add(1) == parent.entries.len();
            let middle = match is_tail {
                true => step.entries.len().saturating_sub(2).max(1),
                false => step.entries.len() / 2,
            };
            let right = step.entries.split_off(middle);
            let block = self.node_block(edit, step.block)?;
            self.write_node(edit, step.block, &step.entries, depth)?;
            self.write_node(edit, block, &right, depth)?;
            let (left_key, right_key) = (
                step.entries.first().map_or(0, key),
                right.first().map_or(0, key),
            );
            if let Some(entry) = parent.entries.get_mut(at) {
                *entry = index_entry(left_key, step.block);
            }
            let place = at.saturating_add(1).min(parent.entries.len());
            parent.entries.insert(place, index_entry(right_key, block));
        }
        let Some(above) = level.checked_sub(1) else {
            return refuse(libc::EIO);
        };
        self.put_node(edit, steps, above)
    }

    fn put_root(&mut self, edit: &mut Edit, entries: &[Entry], depth: u16) -> Result<()> {
        if entries.is_empty() {
            self.write_root(edit, &[], 0);
        } else if entries.len() <= ROOT_ENTRIES {
            self.write_root(edit, entries, depth);
        } else {
            if depth >= MAX_DEPTH {
                return refuse(libc::EFBIG);
            }
            // The root becomes a node of its own. (It has few entries more than its room: they fit.)
            let block = self.node_block(edit, 0)?;
            self.write_node(edit, block, entries, depth)?;
            let first = entries.first().map_or(0, key);
            self.write_root(edit, &[index_entry(first, block)], depth.saturating_add(1));
        }
        Ok(())
    }

    /// Maps `count` blocks from `start` on, which must be a hole, to those from `at` on.
    ///
    /// # Errors
    /// ENOSPC, faults of the tree.
    pub(crate) fn insert_extents(&mut self, edit: &mut Edit, new: Extent) -> Result<()> {
        let mut left = new;
        while left.count > 0 {
            let count = left.count.min(longest(left.is_unwritten));
            let piece = Extent { count, ..left };
            let (mut steps, _) = self.extent_path(edit, piece.start)?;
            let level = steps.len().saturating_sub(1);
            if let Some(leaf) = steps.last_mut() {
                let mut list = Vec::with_capacity(leaf.entries.len().saturating_add(1));
                let place = leaf
                    .entries
                    .partition_point(|entry| key(entry) < piece.start);
                for (index, entry) in leaf.entries.iter().enumerate() {
                    if index == place {
                        push(&mut list, piece);
                    }
                    push(&mut list, parse(entry));
                }
                if place >= leaf.entries.len() {
                    push(&mut list, piece);
                }
                leaf.entries = list.iter().map(extent_entry).collect();
            }
            self.put_node(edit, &mut steps, level)?;
            left.start = left.start.saturating_add(count);
            left.at = left.at.saturating_add(count);
            left.count = left.count.saturating_sub(count);
        }
        Ok(())
    }

    /// Unmaps the blocks from `start` to before `end`, at most `budget` extents of them; answers what they
    /// were mapped to, and whether all is done.
    ///
    /// # Errors
    /// ENOSPC (a split may need a node), faults of the tree.
    pub(crate) fn remove_extents(
        &mut self,
        edit: &mut Edit,
        start: u64,
        end: u64,
        budget: usize,
    ) -> Result<(Vec<Removed>, bool)> {
        let mut removed = Vec::new();
        let end = end.min(END_OF_FILE);
        let mut at = start;
        while at < end {
            let (mut steps, high) = self.extent_path(edit, at)?;
            let level = steps.len().saturating_sub(1);
            let mut has_changed = false;
            let mut is_cut = false;
            if let Some(leaf) = steps.last_mut() {
                let mut list = Vec::with_capacity(leaf.entries.len());
                for extent in leaf.entries.iter().map(parse) {
                    let extent_end = extent.start.saturating_add(extent.count);
                    let from = extent.start.max(start);
                    let to = extent_end.min(end);
                    if from >= to {
                        list.push(extent);
                        continue;
                    }
                    if removed.len() >= budget {
                        is_cut = true;
                        list.push(extent);
                        continue;
                    }
                    has_changed = true;
                    if extent.start < from {
                        list.push(Extent {
                            count: from.saturating_sub(extent.start),
                            ..extent
                        });
                    }
                    let skipped = from.saturating_sub(extent.start);
                    removed.push(Removed {
                        at: extent.at.saturating_add(skipped),
                        count: to.saturating_sub(from),
                    });
                    if to < extent_end {
                        let skipped = to.saturating_sub(extent.start);
                        list.push(Extent {
                            start: to,
                            count: extent_end.saturating_sub(to),
                            at: extent.at.saturating_add(skipped),
                            ..extent
                        });
                    }
                }
                leaf.entries = list.iter().map(extent_entry).collect();
            }
            if has_changed {
                self.put_node(edit, &mut steps, level)?;
            }
            if is_cut {
                return Ok((removed, false));
            }
            at = high.max(at.saturating_add(1));
        }
        Ok((removed, true))
    }
}
