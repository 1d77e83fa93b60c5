//! Truncation, in steps that each fit in a transaction. While it goes on the inode is on the orphan list, so
//! that a crash in between ends with the new size and all blocks accounted for.

use super::edit::{Edit, FLAG_APPEND, FLAG_INLINE_DATA};
use super::{Op, refuse};
use crate::error::Result;

/// Runs of blocks freed in one step.
pub(crate) const STEP_RUNS: usize = 256;

impl Op<'_> {
    /// Sets a file's size.
    ///
    /// # Errors
    /// EISDIR, EINVAL, EFBIG, EPERM, ENOSPC, EIO.
    pub(crate) fn truncate(&mut self, number: u32, size: u64) -> Result<()> {
        let is_done = self.run(|op| op.begin_truncate(number, size))?;
        if !is_done {
            self.finish_truncate(number)?;
        }
        Ok(())
    }

    fn begin_truncate(&mut self, number: u32, size: u64) -> Result<bool> {
        let mut edit = self.edit_file(number)?;
        let before = edit.size();
        // A host that appends may tell the size first.
        if edit.flags() & FLAG_APPEND != 0 && size < before {
            return refuse(libc::EPERM);
        }
        if size != before {
            self.make_plain(&mut edit)?;
        }
        self.set_file_size(&mut edit, size)?;
        edit.modified();
        let mut is_done = true;
        // The same size once more gives back what is reserved behind it, as Linux does.
        if size <= before && edit.flags() & FLAG_INLINE_DATA == 0 {
            if size < before {
                self.zero_tail(&edit, size)?;
            }
            is_done = self.cut(&mut edit)?;
            if !is_done {
                self.add_orphan(&mut edit)?;
            }
        } else if size > before {
            self.zero_tail(&edit, before)?;
        }
        self.store(&mut edit)?;
        Ok(is_done)
    }

    /// Frees some of the blocks behind a file's end; answers whether none are left.
    pub(crate) fn cut(&mut self, edit: &mut Edit) -> Result<bool> {
        let first = edit.size().div_ceil(self.volume.geometry.block_size as u64);
        let is_metadata = edit.is_directory();
        self.remove(edit, first, u64::MAX, STEP_RUNS, is_metadata)
    }

    /// Goes on with a truncation whose inode is on the orphan list.
    ///
    /// # Errors
    /// EIO, faults of the map.
    pub(crate) fn finish_truncate(&mut self, number: u32) -> Result<()> {
        loop {
            let is_done = self.run(|op| {
                let mut edit = op.edit(number)?;
                let is_done = op.cut(&mut edit)?;
                // Without names it stays on the list.
                if is_done && edit.links() > 0 {
                    op.remove_orphan(&mut edit)?;
                }
                op.store(&mut edit)?;
                Ok(is_done)
            })?;
            if is_done {
                return Ok(());
            }
        }
    }
}
