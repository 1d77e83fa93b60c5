//! fallocate(2): space reserved as unwritten extents, holes punched, ranges zeroed; `shift` has the modes that move content.

use super::edit::{Edit, FLAG_APPEND};
use super::truncate::STEP_RUNS;
use super::{Op, refuse};
use crate::error::{Error, Result};
use crate::map::Content;
use crate::map::extents::Extent;

/// Most blocks that one step allocates.
const STEP_BLOCKS: u64 = 1 << 15;

impl Op<'_> {
    /// Changes the space of a range; `mode` are the `FALLOC_FL_*` of fallocate(2).
    ///
    /// # Errors
    /// EOPNOTSUPP, EINVAL, EFBIG, ENOSPC, EPERM.
    pub(crate) fn fallocate(
        &mut self,
        number: u32,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> Result<()> {
        const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;
        const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE;
        const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
        if length == 0 {
            return refuse(libc::EINVAL);
        }
        let end = offset
            .checked_add(length)
            .ok_or(Error::Refused(libc::EFBIG))?;
        if mode == libc::FALLOC_FL_COLLAPSE_RANGE {
            return self.collapse(number, offset, length);
        }
        if mode == libc::FALLOC_FL_INSERT_RANGE {
            return self.insert_range(number, offset, length);
        }
        let probe = self.edit_file(number)?;
        let has_extents = probe.has_extents()
            || self
                .volume
                .geometry
                .features
                .incompat(crate::features::INCOMPAT_EXTENTS);
        let (is_append, largest) = (probe.flags() & FLAG_APPEND != 0, self.largest_size(&probe));
        drop(probe);
        if mode & !KEEP == PUNCH && mode & KEEP != 0 {
            if is_append {
                return refuse(libc::EPERM);
            }
            return self.punch(number, offset, end);
        }
        if !matches!(mode & !KEEP, 0 | ZERO) || !has_extents {
            return refuse(libc::EOPNOTSUPP);
        }
        if end > largest {
            return refuse(libc::EFBIG);
        }
        if mode & ZERO != 0 {
            if is_append {
                return refuse(libc::EPERM);
            }
            self.punch(number, offset, end)?;
        }
        self.reserve(number, offset, end, mode & KEEP != 0)
    }

    /// Fills the holes of a range with unwritten extents.
    fn reserve(&mut self, number: u32, offset: u64, end: u64, keeps_size: bool) -> Result<()> {
        let geometry = &self.volume.geometry;
        let last = end.div_ceil(geometry.block_size as u64);
        let mut block = offset >> geometry.block_bits;
        while block < last {
            block = self.run(|op| {
                let mut edit = op.edit_file(number)?;
                op.make_plain(&mut edit)?;
                if !edit.has_extents() {
                    return refuse(libc::EOPNOTSUPP);
                }
                let run = op.run_of(&edit, block)?;
                let count = run.count.min(last.saturating_sub(block)).min(STEP_BLOCKS);
                if run.content != Content::Hole {
                    op.store(&mut edit)?;
                    return Ok(block.saturating_add(count.max(1)));
                }
                let (at, count) = op.allocate_for(&mut edit, block, count)?;
                let new = Extent {
                    start: block,
                    count,
                    at,
                    is_unwritten: true,
                };
                op.insert(&mut edit, new)?;
                edit.changed();
                op.store(&mut edit)?;
                Ok(block.saturating_add(count))
            })?;
        }
        self.run(|op| {
            let mut edit = op.edit_file(number)?;
            let size = edit.size();
            if !keeps_size && end > size {
                op.zero_tail(&edit, size)?;
                op.set_file_size(&mut edit, end)?;
            }
            edit.modified();
            op.store(&mut edit)
        })
    }

    /// Makes a range a hole; its ragged ends are zeroed.
    fn punch(&mut self, number: u32, offset: u64, end: u64) -> Result<()> {
        let size = self.volume.geometry.block_size as u64;
        self.run(|op| {
            let mut edit = op.edit_file(number)?;
            op.make_plain(&mut edit)?;
            op.zero_ends(&edit, offset, end)?;
            edit.modified();
            op.store(&mut edit)
        })?;
        let (first, last) = (offset.div_ceil(size), end / size);
        if first >= last {
            return Ok(());
        }
        loop {
            let is_done = self.run(|op| {
                let mut edit = op.edit_file(number)?;
                let is_done = op.remove(&mut edit, first, last, STEP_RUNS, false)?;
                op.store(&mut edit)?;
                Ok(is_done)
            })?;
            if is_done {
                return Ok(());
            }
        }
    }

    fn zero_ends(&self, edit: &Edit, offset: u64, end: u64) -> Result<()> {
        let size = self.volume.geometry.block_size as u64;
        let first_end = offset.next_multiple_of(size).min(end);
        if offset < first_end {
            self.zero_part(edit, offset, first_end)?;
        }
        let last = (end / size).saturating_mul(size);
        if last < end && last >= first_end && last >= offset {
            self.zero_part(edit, last, end)?;
        }
        Ok(())
    }
}
