//! Directories: listing in on-disk order with byte offsets as cookies, and lookup by name.
//!
//! | Module   | Responsibility                                                    |
//! |----------|-------------------------------------------------------------------|
//! | `block`  | one directory block: entries, checksums                           |
//! | `hash`   | the hash functions of indexed directories                         |
//! | `htree`  | lookup through the hash tree                                      |
//! | `names`  | an index in memory for large directories that have none on disk   |
//!
//! A damaged block hides only its own entries: listing goes on behind it and says at the end that the
//! directory is damaged; a name that isn't found in a damaged directory is EUCLEAN, not ENOENT.

pub(crate) mod block;
pub(crate) mod hash;
pub(crate) mod htree;
pub(crate) mod names;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::blocks::Block;
use crate::bytes::le32;
use crate::error::{Error, Place, Problem, Result};
use crate::features::INCOMPAT_FILETYPE;
use crate::inline;
use crate::inode::{Inode, Kind};
use crate::map::{Content, run_at};
use crate::volume::Volume;
use block::{RawEntry, entries};

const COMPAT_DIR_INDEX: u32 = 0x20;
const MAX_NAME_BYTES: usize = 255;
/// A listing with more faults than this ends: the directory is not one.
const MAX_FAULTS: u32 = 1024;
/// In an inline directory `.` and `..` exist only by convention; they take these cookies.
const INLINE_DOT: u64 = 12;
const INLINE_DOT_DOT: u64 = 24;

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name; never empty, no `/`, no zero byte.
    pub name: &'a [u8],
    /// The inode it names; within the file system's range.
    pub inode: u32,
    /// The kind of object, where the directory says it.
    pub kind: Option<Kind>,
    /// Where a listing goes on after this entry.
    pub next: u64,
}

/// A directory's block, or what else is at that place.
enum Piece {
    /// No block, up to this block.
    Hole(u64),
    Block(Arc<Block>),
}

fn is_indexed(volume: &Volume, dir: &Inode) -> bool {
    dir.has_index() && volume.geometry.features.compat(COMPAT_DIR_INDEX)
}

/// Reads and checks block `number` of a directory.
fn piece(volume: &Volume, dir: &Inode, number: u64) -> Result<Piece> {
    let run = run_at(&volume.blocks, &volume.geometry, dir, number)?;
    let Content::Data(at) = run.content else {
        return Ok(Piece::Hole(run.start.saturating_add(run.count)));
    };
    let left = block_count(volume, dir).saturating_sub(number);
    let block = volume.blocks.get_ahead(at, run.count.min(left))?;
    if volume.geometry.has_checksums() {
        block::check(dir, &block, number, at, is_indexed(volume, dir))?;
    }
    Ok(Piece::Block(block))
}

/// Blocks of a directory. No more than the image holds: its size alone may promise 2^48 of them.
fn block_count(volume: &Volume, dir: &Inode) -> u64 {
    let size = volume.geometry.block_size as u64;
    dir.size
        .div_ceil(size)
        .min(volume.blocks.device_bytes().div_ceil(size))
}

/// Turns a raw entry into one that can be shown; `Ok(None)` when it isn't in use.
fn entry<'a>(
    volume: &Volume,
    raw: RawEntry<'a>,
    next: u64,
) -> std::result::Result<Option<Entry<'a>>, String> {
    if raw.inode == 0 {
        return Ok(None);
    }
    let name = raw.name;
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return Err(format!(
            "has the impossible name {:?}",
            String::from_utf8_lossy(name)
        ));
    }
    if raw.inode > volume.geometry.inodes {
        let shown = String::from_utf8_lossy(name);
        return Err(format!(
            "says that {shown:?} is inode {}, which does not exist",
            raw.inode
        ));
    }
    let kind = match volume.geometry.features.incompat(INCOMPAT_FILETYPE) {
        true => Kind::from_entry(raw.kind),
        false => None,
    };
    Ok(Some(Entry {
        name,
        inode: raw.inode,
        kind,
        next,
    }))
}

/// Calls `visit` for every entry after `cookie` (0: from the start) until it breaks. Damage is reported
/// and remembered, and skipped.
///
/// # Errors
/// ENOTDIR.
pub(crate) fn list(
    volume: &Volume,
    dir: &Inode,
    cookie: u64,
    visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<()> {
    if dir.kind != Kind::Directory {
        return Err(Error::Refused(libc::ENOTDIR));
    }
    if dir.has_inline_data() {
        let _ = list_inline(volume, dir, cookie, visit);
        return Ok(());
    }
    let size = volume.geometry.block_size as u64;
    let mut number = cookie / size;
    let mut from = usize::try_from(cookie % size).unwrap_or(0);
    let faults = Cell::new(0u32);
    while number < block_count(volume, dir) && faults.get() < MAX_FAULTS {
        let after = number.saturating_add(1);
        match piece(volume, dir, number) {
            Err(error) => {
                volume.note_damage(dir, error);
                faults.set(faults.get().saturating_add(1));
                number = after;
            }
            Ok(Piece::Hole(end)) => number = end.max(after),
            Ok(Piece::Block(block)) => {
                let place = Region {
                    bytes: block.data(),
                    base: number.saturating_mul(size),
                    name: number,
                    faults: &faults,
                };
                if visit_region(volume, dir, place, from, visit).is_break() {
                    return Ok(());
                }
                number = after;
            }
        }
        from = 0;
    }
    Ok(())
}

/// A stretch of entries: a block, or a part of an inline directory.
struct Region<'a> {
    bytes: &'a [u8],
    /// Cookie of its first byte.
    base: u64,
    /// Block number in the directory, for messages.
    name: u64,
    /// Counts the faults met.
    faults: &'a Cell<u32>,
}

/// Visits the entries of a region that start at byte `from` or later.
fn visit_region(
    volume: &Volume,
    dir: &Inode,
    region: Region<'_>,
    from: usize,
    visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let damage = |detail: String| {
        region.faults.set(region.faults.get().saturating_add(1));
        let detail = format!("directory block {} {detail}", region.name);
        volume.note_damage(
            dir,
            Error::Corrupt(Problem::new(Place::Inode(dir.number), detail)),
        );
    };
    for raw in entries(region.bytes) {
        let raw = match raw {
            Ok(raw) => raw,
            Err(detail) => {
                damage(detail);
                break;
            }
        };
        if raw.at < from {
            continue;
        }
        match entry(volume, raw, region.base.saturating_add(raw.next as u64)) {
            Ok(None) => {}
            Ok(Some(entry)) => visit(entry)?,
            Err(detail) => damage(detail),
        }
    }
    ControlFlow::Continue(())
}

fn list_inline(
    volume: &Volume,
    dir: &Inode,
    cookie: u64,
    visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let directory = |name, inode, next| Entry {
        name,
        inode,
        kind: Some(Kind::Directory),
        next,
    };
    if cookie < INLINE_DOT {
        visit(directory(b".", dir.number, INLINE_DOT))?;
    }
    if cookie < INLINE_DOT_DOT {
        visit(directory(b"..", le32(&dir.block, 0), INLINE_DOT_DOT))?;
    }
    let rest = match inline::parts(&volume.geometry, dir) {
        Ok((_, rest)) => rest,
        Err(error) => {
            volume.note_damage(dir, error);
            &[]
        }
    };
    let head = crate::bytes::span(&dir.block, 4, dir.block.len());
    let faults = Cell::new(0);
    let mut base = INLINE_DOT_DOT;
    for bytes in [head, rest] {
        let from = usize::try_from(cookie.saturating_sub(base)).unwrap_or(usize::MAX);
        visit_region(
            volume,
            dir,
            Region {
                bytes,
                base,
                name: 0,
                faults: &faults,
            },
            from,
            visit,
        )?;
        base = base.saturating_add(bytes.len() as u64);
    }
    ControlFlow::Continue(())
}

/// The inode number that `name` has in a directory.
///
/// # Errors
/// ENOTDIR, ENAMETOOLONG; EUCLEAN when the name isn't found and part of the directory can't be read.
pub(crate) fn lookup(volume: &Volume, dir: &Inode, name: &[u8]) -> Result<Option<u32>> {
    if dir.kind != Kind::Directory {
        return Err(Error::Refused(libc::ENOTDIR));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::Refused(libc::ENAMETOOLONG));
    }
    let is_dots = name == b"." || name == b"..";
    if is_indexed(volume, dir) && !dir.has_inline_data() && !is_dots {
        match htree::lookup(volume, dir, name) {
            Ok(found) => return Ok(found),
            // Every entry is also in linear order: go on without the index.
            Err(error) => drop(volume.reporter.told(error)),
        }
    }
    if !is_dots && names::is_worth_it(volume, dir) {
        return names::lookup(volume, dir, name);
    }
    let mut found = None;
    list(volume, dir, 0, &mut |entry| {
        if entry.name == name {
            found = Some(entry.inode);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if found.is_none() {
        volume.fail_if_damaged(dir)?;
    }
    Ok(found)
}

/// Looks for `name` in one block of a directory. `None` when it isn't there; a hole has no names.
fn find_in_block(volume: &Volume, dir: &Inode, number: u64, name: &[u8]) -> Result<Option<u32>> {
    let Piece::Block(block) = piece(volume, dir, number)? else {
        return Ok(None);
    };
    for raw in entries(block.data()) {
        let raw = raw.or_else(|detail| {
            crate::error::bad_inode(dir.number, format!("directory block {number} {detail}"))
        })?;
        if raw.name == name && raw.inode != 0 {
            match entry(volume, raw, 0) {
                Ok(Some(entry)) => return Ok(Some(entry.inode)),
                Ok(None) => {}
                Err(detail) => {
                    return crate::error::bad_inode(
                        dir.number,
                        format!("directory block {number} {detail}"),
                    );
                }
            }
        }
    }
    Ok(None)
}
