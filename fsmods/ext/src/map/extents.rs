//! Extent trees. The root lies in the inode, every other node fills a block.
//!
//! A node is checked in full once per stay in the cache (order, ranges, checksum); that it fits below
//! its parent is checked at every visit. The depth falls at each step, so no cycle can hold a reader.

use std::sync::Arc;

use super::{Content, Run};
use crate::blocks::{Block, Blocks, CheckedAs};
use crate::bytes::{le16, le32, span};
use crate::crc::crc32c;
use crate::error::{Result, bad_inode};
use crate::geometry::Geometry;
use crate::inode::Inode;

pub(crate) const MAGIC: u16 = 0xf30a;
pub(crate) const HEADER_BYTES: usize = 12;
pub(crate) const ENTRY_BYTES: usize = 12;
pub(crate) const MAX_DEPTH: u16 = 5;
/// One past the last block a file can have.
pub(crate) const END_OF_FILE: u64 = 1 << 32;
/// Lengths above this mean "unwritten".
pub(crate) const MAX_WRITTEN: u16 = 0x8000;

/// One extent of a leaf.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) count: u64,
    pub(crate) at: u64,
    pub(crate) is_unwritten: bool,
}

/// A node's bytes, seen as a header and entries.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> Node<'a> {
    pub(crate) fn entries(self) -> usize {
        usize::from(le16(self.bytes, 2))
    }

    fn max(self) -> usize {
        usize::from(le16(self.bytes, 4))
    }

    pub(crate) fn depth(self) -> u16 {
        le16(self.bytes, 6)
    }

    pub(crate) fn entry(self, index: usize) -> &'a [u8] {
        let at = HEADER_BYTES.saturating_add(index.saturating_mul(ENTRY_BYTES));
        span(self.bytes, at, at.saturating_add(ENTRY_BYTES))
    }

    /// The first file block that entry `index` (of a leaf or an index) stands for.
    pub(crate) fn key(self, index: usize) -> u64 {
        u64::from(le32(self.entry(index), 0))
    }

    pub(crate) fn child(self, index: usize) -> u64 {
        let entry = self.entry(index);
        u64::from(le32(entry, 4)) | u64::from(le16(entry, 8)) << 32
    }

    pub(crate) fn extent(self, index: usize) -> Extent {
        let entry = self.entry(index);
        let length = le16(entry, 4);
        let is_unwritten = length > MAX_WRITTEN;
        Extent {
            start: u64::from(le32(entry, 0)),
            count: u64::from(if is_unwritten {
                length - MAX_WRITTEN
            } else {
                length
            }),
            at: u64::from(le32(entry, 8)) | u64::from(le16(entry, 6)) << 32,
            is_unwritten,
        }
    }

    /// The last entry that starts at or before `block`.
    fn find(self, block: u64) -> Option<usize> {
        let (mut low, mut high) = (0usize, self.entries());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) <= block {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

/// Checks all of a node that doesn't depend on its parent. `name` says which node, for messages.
pub(crate) fn check(geometry: &Geometry, inode: &Inode, node: Node<'_>, name: &str) -> Result<()> {
    let bad = |detail: String| bad_inode(inode.number, format!("{name} {detail}"));
    let room = node.bytes.len().saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
    let (entries, max) = (node.entries(), node.max());
    if le16(node.bytes, 0) != MAGIC {
        return bad(format!(
            "has the magic {:#06x} (expected {MAGIC:#06x})",
            le16(node.bytes, 0)
        ));
    }
    if max > room || entries > max || max == 0 {
        return bad(format!(
            "has {entries} entries, {max} at most, and room for {room}"
        ));
    }
    let mut end = 0;
    for index in 0..entries {
        let (start, next) = if node.depth() == 0 {
            let extent = node.extent(index);
            if extent.count == 0 || !geometry.holds(extent.at, extent.count) {
                let Extent {
                    start, count, at, ..
                } = extent;
                return bad(format!(
                    "maps {count} blocks from {start} to block {at}, outside the file system"
                ));
            }
            (extent.start, extent.start + extent.count)
        } else {
            if !geometry.holds(node.child(index), 1) {
                return bad(format!(
                    "points to block {}, outside the file system",
                    node.child(index)
                ));
            }
            (node.key(index), node.key(index) + 1)
        };
        if start < end || next > END_OF_FILE {
            return bad(format!("has entry {index} out of order"));
        }
        end = next;
    }
    Ok(())
}

/// The checksum at the end of a node's block.
fn check_sum(inode: &Inode, bytes: &[u8], number: u64) -> Result<()> {
    let tail = HEADER_BYTES.saturating_add(Node { bytes }.max().saturating_mul(ENTRY_BYTES));
    let found = le32(bytes, tail);
    let expected = crc32c(inode.checksum_seed, span(bytes, 0, tail));
    if found != expected {
        let detail = format!(
            "extent block {number}: checksum {found:#010x} is wrong (expected {expected:#010x})"
        );
        return bad_inode(inode.number, detail);
    }
    Ok(())
}

/// Reads the child of a node and checks it.
pub(crate) fn load(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    number: u64,
    depth: u16,
) -> Result<Arc<Block>> {
    let block = blocks.get(number)?;
    block.check_once(CheckedAs::Extents.of(inode.number, depth), |bytes| {
        let node = Node { bytes };
        check(geometry, inode, node, &format!("extent block {number}"))?;
        if node.depth() != depth {
            let detail = format!(
                "extent block {number} has depth {} (expected {depth})",
                node.depth()
            );
            return bad_inode(inode.number, detail);
        }
        if geometry.has_checksums() {
            check_sum(inode, bytes, number)
        } else {
            Ok(())
        }
    })?;
    Ok(block)
}

/// The run that starts at `block`.
pub(super) fn run_at(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    block: u64,
) -> Result<Run> {
    let root = Node {
        bytes: &inode.block,
    };
    check(geometry, inode, root, "extent root")?;
    if root.depth() > MAX_DEPTH {
        return bad_inode(
            inode.number,
            format!("extent root has depth {}", root.depth()),
        );
    }
    let hole = |end: u64| Run {
        start: block,
        count: end.saturating_sub(block).max(1),
        content: Content::Hole,
    };
    if block >= END_OF_FILE {
        return Ok(hole(u64::MAX));
    }
    // All that this part of the tree may hold lies in low..high.
    let (mut low, mut high) = (0u64, END_OF_FILE);
    let mut held: Option<Arc<Block>> = None;
    let mut depth = root.depth();
    loop {
        let node = Node {
            bytes: held.as_ref().map_or(&inode.block[..], |block| block.data()),
        };
        let entries = node.entries();
        if let Some(last) = entries.checked_sub(1) {
            let end = if depth == 0 {
                node.extent(last).start + node.extent(last).count
            } else {
                node.key(last) + 1
            };
            if node.key(0) < low || end > high {
                return bad_inode(
                    inode.number,
                    format!("extents of depth {depth} for block {block} leave {low}..{high}"),
                );
            }
        }
        let found = node.find(block);
        let next = found.map_or(0, |index| index + 1);
        if next < entries {
            high = node.key(next);
        }
        let Some(index) = found else {
            return Ok(hole(high));
        };
        if depth == 0 {
            let extent = node.extent(index);
            let skipped = block - extent.start;
            let Some(count) = extent.count.checked_sub(skipped).filter(|count| *count > 0) else {
                return Ok(hole(high));
            };
            let at = extent.at + skipped;
            let content = if extent.is_unwritten {
                Content::Unwritten(at)
            } else {
                Content::Data(at)
            };
            return Ok(Run {
                start: block,
                count,
                content,
            });
        }
        low = node.key(index);
        depth -= 1;
        held = Some(load(blocks, geometry, inode, node.child(index), depth)?);
    }
}
