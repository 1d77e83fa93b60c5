//! Writing a file's content.
//!
//! Content goes to its place at once, before the transaction that makes it the file's commits (ordered
//! mode): after a crash a file never shows blocks that it has not written.

use super::edit::{Edit, FLAG_IMMUTABLE, FLAG_INLINE_DATA};
use super::{Op, refuse};
use crate::bytes::{put, span};
use crate::error::{Error, Result};
use crate::features::RO_COMPAT_LARGE_FILE;
use crate::inline;
use crate::inode::Kind;
use crate::map::Content;
use crate::map::extents::Extent;

/// Most blocks that one step of a write covers.
const STEP_BLOCKS: u64 = 1 << 14;

/// Sizes from here on need the feature `large_file`.
const LARGE_SIZE: u64 = 1 << 31;

impl Op<'_> {
    /// A regular file that may be written.
    ///
    /// # Errors
    /// EISDIR, EINVAL, EPERM.
    pub(crate) fn edit_file(&self, number: u32) -> Result<Edit> {
        let inode = self.volume.inode(number)?;
        match inode.kind {
            Kind::Regular => {}
            Kind::Directory => return refuse(libc::EISDIR),
            _ => return refuse(libc::EINVAL),
        }
        if inode.flags & FLAG_IMMUTABLE != 0 {
            return refuse(libc::EPERM);
        }
        self.edit(number)
    }

    /// Writes `data` at `offset`; answers how much was written, which is less only when something failed later on.
    ///
    /// # Errors
    /// ENOSPC, EFBIG, EPERM, EIO.
    pub(crate) fn write(
        &mut self,
        number: u32,
        offset: u64,
        data: &[u8],
        kills_ids: bool,
    ) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let probe = self.edit_file(number)?;
        let length = data.len() as u64;
        let end = offset
            .checked_add(length)
            .ok_or(Error::Refused(libc::EFBIG))?;
        if end > self.largest_size(&probe) {
            return refuse(libc::EFBIG);
        }
        drop(probe);
        let mut done = 0usize;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let step = self.run(|op| op.write_step(number, at, rest, kills_ids));
            match step {
                Ok(count) => done = done.saturating_add(count.max(1)),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done.min(data.len()))
    }

    /// Writes the beginning of `data`, as far as one run of blocks reaches.
    fn write_step(
        &mut self,
        number: u32,
        offset: u64,
        data: &[u8],
        kills_ids: bool,
    ) -> Result<usize> {
        let mut edit = self.edit_file(number)?;
        self.make_plain(&mut edit)?;
        let size = edit.size();
        if offset > size {
            self.zero_tail(&edit, size)?;
        }
        let bits = self.volume.geometry.block_bits;
        let block_size = self.volume.geometry.block_size as u64;
        let block = offset >> bits;
        let skip = offset & block_size.saturating_sub(1);
        let needed = skip
            .saturating_add(data.len() as u64)
            .div_ceil(block_size)
            .min(STEP_BLOCKS);
        let run = self.run_of(&edit, block)?;
        let mut count = run.count.min(needed);
        if let Content::Hole = run.content {
            // Do not allocate what the file can't address.
            count = count.max(1);
        }
        let (at, is_fresh) = match run.content {
            Content::Data(at) => (at, false),
            Content::Unwritten(at) => (at, true),
            Content::Hole => {
                let (at, got) = self.allocate_for(&mut edit, block, count)?;
                count = got;
                (at, true)
            }
        };
        let room = count.saturating_mul(block_size).saturating_sub(skip);
        let bytes = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
        let now = span(data, 0, bytes);
        if is_fresh {
            self.write_fresh(at, skip, now)?;
        } else {
            self.volume.blocks.write_raw(at, skip, now)?;
        }
        match run.content {
            Content::Data(_) => {}
            Content::Unwritten(_) => self.mark_written(&mut edit, block, count, at)?,
            Content::Hole => {
                let new = Extent {
                    start: block,
                    count,
                    at,
                    is_unwritten: false,
                };
                self.insert(&mut edit, new)?;
            }
        }
        let end = offset.saturating_add(bytes as u64);
        if end > size {
            self.set_file_size(&mut edit, end)?;
        }
        if kills_ids {
            drop_set_ids(&mut edit);
        }
        edit.modified();
        self.store(&mut edit)?;
        Ok(bytes)
    }

    /// Writes whole blocks that held nothing of the file: what `data` does not cover becomes zeros.
    fn write_fresh(&self, at: u64, skip: u64, data: &[u8]) -> Result<()> {
        let block_size = self.volume.geometry.block_size;
        let skip_bytes = usize::try_from(skip).unwrap_or(0);
        let whole = skip_bytes
            .saturating_add(data.len())
            .next_multiple_of(block_size.max(1));
        if skip_bytes == 0 && whole == data.len() {
            return self.volume.blocks.write_raw(at, 0, data);
        }
        let mut padded = vec![0u8; whole];
        put(&mut padded, skip_bytes, data);
        self.volume.blocks.write_raw(at, 0, &padded)
    }

    /// Makes sure that what follows byte `from` in its block reads as zeros.
    ///
    /// # Errors
    /// EIO, faults of the map.
    pub(crate) fn zero_tail(&self, edit: &Edit, from: u64) -> Result<()> {
        let block_size = self.volume.geometry.block_size as u64;
        let skip = from & block_size.saturating_sub(1);
        if skip == 0 {
            return Ok(());
        }
        self.zero_part(
            edit,
            from,
            from.saturating_add(block_size.saturating_sub(skip)),
        )
    }

    /// Zeroes bytes of a file inside one block, if that is written.
    pub(crate) fn zero_part(&self, edit: &Edit, from: u64, to: u64) -> Result<()> {
        let geometry = &self.volume.geometry;
        let run = self.run_of(edit, from >> geometry.block_bits)?;
        let Content::Data(at) = run.content else {
            return Ok(());
        };
        let skip = from & (geometry.block_size as u64).saturating_sub(1);
        let count = usize::try_from(to.saturating_sub(from))
            .unwrap_or(0)
            .min(geometry.block_size);
        self.volume.blocks.write_raw(at, skip, &vec![0; count])
    }

    /// Sets a file's size; the first large file marks the superblock.
    ///
    /// # Errors
    /// EFBIG.
    pub(crate) fn set_file_size(&mut self, edit: &mut Edit, size: u64) -> Result<()> {
        if size > self.largest_size(edit) {
            return refuse(libc::EFBIG);
        }
        edit.set_size(size);
        if size >= LARGE_SIZE
            && !self
                .volume
                .geometry
                .features
                .ro_compat(RO_COMPAT_LARGE_FILE)
        {
            super::groups::edit_superblock(self.volume, |bytes| {
                let features = crate::bytes::le32(bytes, 0x64) | RO_COMPAT_LARGE_FILE;
                crate::bytes::put32(bytes, 0x64, features);
            })?;
        }
        Ok(())
    }

    /// Moves content that lies inside the inode to a block.
    ///
    /// # Errors
    /// ENOSPC, faults of the inode.
    pub(crate) fn make_plain(&mut self, edit: &mut Edit) -> Result<()> {
        if edit.flags() & FLAG_INLINE_DATA == 0 {
            return Ok(());
        }
        let inode = edit.inode(self.volume)?;
        let content = inline::content(&self.volume.geometry, &inode)?.into_owned();
        self.drop_inline_value(edit)?;
        edit.set_flags(edit.flags() & !FLAG_INLINE_DATA);
        edit.set_block(0, &[0; 60]);
        edit.make_extents();
        // A file may be longer than what lies in the inode; the rest is a hole.
        if content.iter().any(|byte| *byte != 0) {
            let (at, count) = self.allocate_for(edit, 0, 1)?;
            let bytes = span(&content, 0, self.volume.geometry.block_size);
            self.write_fresh(at, 0, bytes)?;
            let new = Extent {
                start: 0,
                count,
                at,
                is_unwritten: false,
            };
            self.insert(edit, new)?;
        }
        Ok(())
    }
}

/// What a write or chown(2) does to set-user-id, and to set-group-id where the group may execute.
pub(crate) fn drop_set_ids(edit: &mut Edit) {
    let mode = edit.mode();
    let mut kept = mode & !0o4000;
    if mode & 0o010 != 0 {
        kept &= !0o2000;
    }
    edit.set_mode(kept);
}
