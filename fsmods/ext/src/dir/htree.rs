//! Lookup through the hash tree of an indexed directory.
//!
//! The root lies in block 0, behind the entries for `.` and `..`. A node is a sorted list of hashes, each
//! with the block below it; an odd hash says that names of that hash continue from the block before.
//! The depth is fixed by the root, and a search only moves on to the right: it always ends.

use std::sync::Arc;

use super::hash::{Function, hash};
use super::{Piece, block_count, find_in_block, piece};
use crate::blocks::Block;
use crate::bytes::{le16, le32, u8_at};
use crate::error::{Result, bad_inode};
use crate::features::INCOMPAT_LARGEDIR;
use crate::inode::Inode;
use crate::volume::Volume;

/// Where the root's list and an inner node's list start.
const ROOT_ENTRIES_AT: usize = 32;
const NODE_ENTRIES_AT: usize = 8;
const INFO_BYTES: u8 = 8;
const BLOCK_MASK: u32 = 0x0fff_ffff;

/// A node and a place in its list of hashes.
struct Level {
    block: Arc<Block>,
    start: usize,
    count: usize,
    position: usize,
}

impl Level {
    /// The list: pairs of hash and block. The first pair's hash is not stored (limit and count are in its
    /// place) and counts as 0.
    fn pairs(&self) -> &[[u8; 8]] {
        let pairs = self
            .block
            .data()
            .get(self.start..)
            .unwrap_or(&[])
            .as_chunks::<8>()
            .0;
        pairs.get(..self.count).unwrap_or(pairs)
    }

    /// The hash at the current position.
    fn hash(&self) -> Option<u32> {
        self.pairs().get(self.position).map(|pair| le32(pair, 0))
    }
}

/// The inode number of `name`, found through the tree.
///
/// # Errors
/// Any fault in the tree or in the block that should hold the name: the caller then searches without it.
pub(super) fn lookup(volume: &Volume, dir: &Inode, name: &[u8]) -> Result<Option<u32>> {
    let bad = |detail: String| bad_inode(dir.number, format!("directory index: {detail}"));
    let Piece::Block(block) = piece(volume, dir, 0)? else {
        return bad("the root is missing".to_owned());
    };
    let root = block.data();
    let (version, info_bytes, depth) = (u8_at(root, 28), u8_at(root, 29), u8_at(root, 30));
    let most = if volume.geometry.features.incompat(INCOMPAT_LARGEDIR) {
        3
    } else {
        2
    };
    if info_bytes != INFO_BYTES || u8_at(root, 31) & 1 != 0 || le32(root, 24) != 0 || depth >= most
    {
        return bad(format!(
            "the root has {depth} levels and an information block of {info_bytes} bytes"
        ));
    }
    let Some((function, is_unsigned)) =
        Function::from_number(version, volume.geometry.is_hash_unsigned)
    else {
        return bad(format!("the hash function {version} is unknown"));
    };
    let wanted = hash(function, is_unsigned, &volume.geometry.hash_seed, name);
    let mut levels = vec![level(dir, block, ROOT_ENTRIES_AT, 0, wanted)?];
    while levels.len() <= usize::from(depth) {
        let below = child(&levels);
        levels.push(node(volume, dir, below, wanted)?);
    }
    // Names of one hash fill some blocks at most, never more than there are.
    for _ in 0..=block_count(volume, dir) {
        if let Some(found) = find_in_block(volume, dir, child(&levels), name)? {
            return Ok(Some(found));
        }
        if !advance(volume, dir, &mut levels, wanted)? {
            return Ok(None);
        }
    }
    bad("it goes round in circles".to_owned())
}

/// The block below the current position of the lowest level.
fn child(levels: &[Level]) -> u64 {
    let pair = levels
        .last()
        .and_then(|level| level.pairs().get(level.position));
    pair.map_or(0, |pair| u64::from(le32(pair, 4) & BLOCK_MASK))
}

fn node(volume: &Volume, dir: &Inode, number: u64, wanted: u32) -> Result<Level> {
    match piece(volume, dir, number)? {
        Piece::Block(block) => level(dir, block, NODE_ENTRIES_AT, number, wanted),
        Piece::Hole(_) => bad_inode(
            dir.number,
            format!("directory index: block {number} is missing"),
        ),
    }
}

/// Checks a node's list and finds the last hash in it that is not above the wanted one.
fn level(dir: &Inode, block: Arc<Block>, start: usize, number: u64, wanted: u32) -> Result<Level> {
    let bytes = block.data();
    let limit = usize::from(le16(bytes, start));
    let count = usize::from(le16(bytes, start.saturating_add(2)));
    let room = bytes.len().saturating_sub(start) / 8;
    if count == 0 || count > limit || limit > room {
        let detail = format!(
            "directory index: block {number} has {count} entries, at most {limit}, room for {room}"
        );
        return bad_inode(dir.number, detail);
    }
    let mut level = Level {
        block,
        start,
        count,
        position: 0,
    };
    let stored = level.pairs().get(1..).unwrap_or(&[]);
    if !stored.is_sorted_by_key(|pair| le32(pair, 0))
        || level.pairs().iter().any(|pair| le32(pair, 4) == 0)
    {
        return bad_inode(
            dir.number,
            format!("directory index: block {number} is not in order"),
        );
    }
    level.position = stored.partition_point(|pair| le32(pair, 0) <= wanted);
    Ok(level)
}

/// Moves to the next leaf if names of the wanted hash continue there.
fn advance(volume: &Volume, dir: &Inode, levels: &mut Vec<Level>, wanted: u32) -> Result<bool> {
    let depth = levels.len();
    // Up to the first level that has a next entry.
    while let Some(level) = levels.last_mut() {
        level.position = level.position.saturating_add(1);
        match level.hash() {
            Some(hash) if hash == wanted | 1 => break,
            Some(_) => return Ok(false),
            None => drop(levels.pop()),
        }
    }
    if levels.is_empty() {
        return Ok(false);
    }
    // And down again along the left edge.
    while levels.len() < depth {
        let mut below = node(volume, dir, child(levels), wanted)?;
        below.position = 0;
        levels.push(below);
    }
    Ok(true)
}
