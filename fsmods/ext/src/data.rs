//! The content of files: ranges read with as few reads of the source as the map allows, holes found
//! without reading at all.

use crate::blocks::Blocks;
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::inline;
use crate::inode::Inode;
use crate::map::{Content, Run, run_at};

/// Runs looked at by one seek; a map can have billions that are all holes.
const MAX_SEEK_RUNS: u32 = 1 << 16;

/// What a program seeks, lseek(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`.
    Hole,
}

/// Reads from `offset` on; answers how much of `buf` was filled, which is all of it unless the file ends.
pub(crate) fn read(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize> {
    let left = usize::try_from(inode.size.saturating_sub(offset)).unwrap_or(usize::MAX);
    let length = left.min(buf.len());
    let Some(buf) = buf.get_mut(..length) else {
        return Ok(0);
    };
    if length == 0 {
        return Ok(0);
    }
    if inode.has_inline_data() {
        let content = inline::content(geometry, inode)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let held = content.get(from..).unwrap_or(&[]).iter().copied();
        for (to, byte) in buf.iter_mut().zip(held.chain(std::iter::repeat(0))) {
            *to = byte;
        }
        return Ok(length);
    }
    let mut rest = buf;
    let mut place = offset;
    while !rest.is_empty() {
        let block = place >> geometry.block_bits;
        let skip = place & (geometry.block_size as u64 - 1);
        let needed = (skip.saturating_add(rest.len() as u64)).div_ceil(geometry.block_size as u64);
        let run = joined_run(blocks, geometry, inode, block, needed)?;
        let bytes = run
            .count
            .saturating_mul(geometry.block_size as u64)
            .saturating_sub(skip);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(rest.len());
        let (now, later) = rest.split_at_mut(bytes);
        match run.content {
            Content::Data(at) => blocks.read_data(at, skip, now)?,
            Content::Hole | Content::Unwritten(_) => now.fill(0),
        }
        place = place.saturating_add(bytes as u64);
        rest = later;
    }
    Ok(length)
}

/// The run at `block`, joined with the runs after it while they continue it on disk and less than
/// `needed` blocks are covered.
fn joined_run(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    block: u64,
    needed: u64,
) -> Result<Run> {
    let mut run = run_at(blocks, geometry, inode, block)?;
    while let Content::Data(at) = run.content {
        if run.count >= needed {
            break;
        }
        // A fault in the next run is met again, and then answered, when its own bytes are asked for.
        match run_at(blocks, geometry, inode, block.saturating_add(run.count)) {
            Ok(next) if next.content == Content::Data(at.saturating_add(run.count)) => {
                run.count = run.count.saturating_add(next.count);
            }
            _ => break,
        }
    }
    Ok(run)
}

/// Where the next data, or the next hole, begins at or after `offset`. The file's end counts as a hole.
///
/// # Errors
/// ENXIO beyond the end, or when no data follows; faults of the map.
pub(crate) fn seek(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    offset: u64,
    what: Seek,
) -> Result<u64> {
    if offset >= inode.size {
        return Err(Error::Refused(libc::ENXIO));
    }
    if inode.has_inline_data() {
        let held = inline::content(geometry, inode)?.len() as u64;
        return match what {
            Seek::Data if offset < held => Ok(offset),
            Seek::Data => Err(Error::Refused(libc::ENXIO)),
            Seek::Hole => Ok(offset.max(held)),
        };
    }
    let mut place = offset;
    for _ in 0..MAX_SEEK_RUNS {
        if place >= inode.size {
            break;
        }
        let run = run_at(blocks, geometry, inode, place >> geometry.block_bits)?;
        if matches!(run.content, Content::Data(_)) == (what == Seek::Data) {
            return Ok(place);
        }
        let end = run
            .start
            .saturating_add(run.count)
            .saturating_mul(geometry.block_size as u64);
        place = end.max(place.saturating_add(1));
    }
    match what {
        // Not known to be a hole: zeros may be called data.
        Seek::Data if place < inode.size => Ok(place),
        Seek::Data => Err(Error::Refused(libc::ENXIO)),
        Seek::Hole => Ok(inode.size),
    }
}
