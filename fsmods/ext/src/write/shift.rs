//! fallocate(2) with `FALLOC_FL_COLLAPSE_RANGE` and `FALLOC_FL_INSERT_RANGE`: content moves by its map, no block is copied.
//!
//! The whole move is one operation: after a crash the file is as before or as after. (Linux's ext4 may stop half-way.)
//! Reference: fallocate(2); the checks are those of `ext4_collapse_range` and `ext4_insert_range` of fs/ext4/extents.c.

use super::edit::{Edit, FLAG_APPEND};
use super::{Op, refuse};
use crate::error::Result;
use crate::map::Content;
use crate::map::extents::{END_OF_FILE, Extent};

impl Op<'_> {
    /// Takes a range out of a file; what follows it moves down.
    ///
    /// # Errors
    /// EINVAL when the range is not of whole blocks or reaches the end of the file; EOPNOTSUPP without extents; EPERM.
    pub(crate) fn collapse(&mut self, number: u32, offset: u64, length: u64) -> Result<()> {
        self.run(|op| {
            let (mut edit, start, count) = op.edit_range(number, offset, length)?;
            let size = edit.size();
            let end = start.saturating_add(count);
            if offset.saturating_add(length) >= size {
                return refuse(libc::EINVAL);
            }
            op.remove(&mut edit, start, end, usize::MAX, false)?;
            for extent in op.extents_from(&edit, end)? {
                let to = extent.start.saturating_sub(count);
                op.move_extent(&mut edit, extent, to)?;
            }
            op.set_file_size(&mut edit, size.saturating_sub(length))?;
            edit.modified();
            op.store(&mut edit)
        })
    }

    /// Puts a hole into a file; what follows moves up.
    ///
    /// # Errors
    /// EINVAL when the range is not of whole blocks or begins at or behind the end of the file; EFBIG; EOPNOTSUPP
    /// without extents; EPERM; ENOSPC (the tree may need nodes).
    pub(crate) fn insert_range(&mut self, number: u32, offset: u64, length: u64) -> Result<()> {
        self.run(|op| {
            let (mut edit, start, count) = op.edit_range(number, offset, length)?;
            let size = edit.size();
            if size.saturating_add(length) > op.largest_size(&edit) {
                return refuse(libc::EFBIG);
            }
            if offset >= size {
                return refuse(libc::EINVAL);
            }
            let extents = op.extents_from(&edit, start)?;
            let last = extents
                .last()
                .map_or(0, |last| last.start.saturating_add(last.count));
            // Preallocated blocks may lie far behind the end of the file.
            if last.saturating_add(count) > END_OF_FILE {
                return refuse(libc::EFBIG);
            }
            for extent in extents.into_iter().rev() {
                let to = extent.start.saturating_add(count);
                op.move_extent(&mut edit, extent, to)?;
            }
            op.set_file_size(&mut edit, size.saturating_add(length))?;
            edit.modified();
            op.store(&mut edit)
        })
    }

    /// A file whose map may be moved, and a range in blocks: the first and how many.
    fn edit_range(&mut self, number: u32, offset: u64, length: u64) -> Result<(Edit, u64, u64)> {
        let mut edit = self.edit_file(number)?;
        if edit.flags() & FLAG_APPEND != 0 {
            return refuse(libc::EPERM);
        }
        self.make_plain(&mut edit)?;
        if !edit.has_extents() {
            return refuse(libc::EOPNOTSUPP);
        }
        let size = self.volume.geometry.block_size as u64;
        if !offset.is_multiple_of(size) || !length.is_multiple_of(size) {
            return refuse(libc::EINVAL);
        }
        Ok((edit, offset / size, length / size))
    }

    /// What of a file is mapped from a block on, in order.
    fn extents_from(&self, edit: &Edit, start: u64) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        let mut block = start;
        while block < END_OF_FILE {
            let run = self.run_of(edit, block)?;
            let (at, is_unwritten) = match run.content {
                Content::Data(at) => (at, false),
                Content::Unwritten(at) => (at, true),
                Content::Hole => {
                    block = block.saturating_add(run.count.max(1));
                    continue;
                }
            };
            extents.push(Extent {
                start: block,
                count: run.count,
                at,
                is_unwritten,
            });
            block = block.saturating_add(run.count.max(1));
        }
        Ok(extents)
    }

    fn move_extent(&mut self, edit: &mut Edit, extent: Extent, to: u64) -> Result<()> {
        let end = extent.start.saturating_add(extent.count);
        self.remove_extents(edit, extent.start, end, usize::MAX)?;
        self.insert_extents(
            edit,
            Extent {
                start: to,
                ..extent
            },
        )
    }
}
