//! ext2's map: twelve direct blocks, then trees of pointer blocks one, two and three levels deep.

use super::{Content, Run};
use crate::blocks::Blocks;
use crate::bytes::le32;
use crate::error::{Result, bad_inode};
use crate::geometry::Geometry;
use crate::inode::Inode;

const DIRECT: u64 = 12;

/// The run that starts at `block`.
pub(super) fn run_at(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    block: u64,
) -> Result<Run> {
    let per_block = (geometry.block_size / 4) as u64;
    if block < DIRECT {
        return gather(geometry, inode, &inode.block[..48], block, block);
    }
    // `index` counts within a tree of `span` blocks, whose root is pointer `slot` of the inode.
    let mut index = block - DIRECT;
    let mut span = per_block;
    for slot in 12..15usize {
        if index < span {
            return descend(
                blocks,
                geometry,
                inode,
                le32(&inode.block, slot * 4),
                span,
                index,
                block,
            );
        }
        index -= span;
        // At most 2^42: 16384 pointers in a 64 KiB block, three times.
        span *= per_block;
    }
    Ok(Run {
        start: block,
        count: u64::MAX - block,
        content: Content::Hole,
    })
}

/// Walks down one tree of `span` blocks to the pointer block that covers `index`.
fn descend(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    root: u32,
    mut span: u64,
    mut index: u64,
    block: u64,
) -> Result<Run> {
    let per_block = (geometry.block_size / 4) as u64;
    let mut pointer = root;
    loop {
        if pointer == 0 {
            return Ok(Run {
                start: block,
                count: span - index,
                content: Content::Hole,
            });
        }
        if !geometry.holds(u64::from(pointer), 1) {
            return bad_inode(
                inode.number,
                format!("indirect block {pointer} is outside the file system"),
            );
        }
        let held = blocks.get(u64::from(pointer))?;
        span /= per_block;
        if span <= 1 {
            return gather(geometry, inode, held.data(), index, block);
        }
        let slot = usize::try_from(index / span).unwrap_or(usize::MAX);
        pointer = le32(held.data(), slot.saturating_mul(4));
        index %= span;
    }
}

/// Gathers the pointers of one pointer block, from `index` on, that continue each other.
fn gather(
    geometry: &Geometry,
    inode: &Inode,
    pointers: &[u8],
    index: u64,
    block: u64,
) -> Result<Run> {
    let from = usize::try_from(index)
        .unwrap_or(usize::MAX)
        .saturating_mul(4);
    let words = pointers.get(from..).unwrap_or(&[]).as_chunks::<4>().0;
    let mut numbers = words
        .iter()
        .map(|word| u64::from(u32::from_le_bytes(*word)));
    let first = numbers.next().unwrap_or(0);
    let mut count = 1u64;
    for number in numbers {
        let expected = if first == 0 { 0 } else { first + count };
        if number != expected {
            break;
        }
        count += 1;
    }
    if first == 0 {
        return Ok(Run {
            start: block,
            count,
            content: Content::Hole,
        });
    }
    if !geometry.holds(first, 1) {
        return bad_inode(
            inode.number,
            format!("maps block {block} to block {first}, outside the file system"),
        );
    }
    // Pointers that run past the end are refused when they are asked for.
    Ok(Run {
        start: block,
        count: count.min(geometry.blocks - first),
        content: Content::Data(first),
    })
}
