//! A file's map, whichever kind it has.

use super::blocks::Purpose;
use super::edit::Edit;
use super::{Op, indirect, refuse};
use crate::error::{Result, bad_inode};
use crate::inode::Inode;
use crate::map::extents::Extent;
use crate::map::{Content, Run, run_at};

impl Op<'_> {
    /// The run at a block of a file.
    ///
    /// # Errors
    /// Faults of the map; Corrupt when it leads into the file system's own blocks.
    pub(crate) fn run_of(&self, edit: &Edit, block: u64) -> Result<Run> {
        let inode = edit.inode(self.volume)?;
        let run = run_at(&self.volume.blocks, &self.volume.geometry, &inode, block)?;
        if let Content::Data(at) | Content::Unwritten(at) = run.content
            && self.writer.zones.touches(at, run.count)
        {
            return bad_inode(
                edit.number,
                format!("uses block {at}, which is the file system's own"),
            );
        }
        Ok(run)
    }

    /// Where a file's first block should go: the group of its inode.
    pub(crate) fn goal_of(&self, number: u32) -> u64 {
        let geometry = &self.volume.geometry;
        Inode::place(geometry, number).map_or(0, |(group, ..)| geometry.group_start(group))
    }

    /// Where a file's block should go: behind the one before it.
    pub(crate) fn goal(&self, edit: &Edit, block: u64) -> u64 {
        let before = block
            .checked_sub(1)
            .and_then(|before| self.run_of(edit, before).ok());
        match before.map(|run| run.content) {
            Some(Content::Data(at) | Content::Unwritten(at)) => at.saturating_add(1),
            _ => self.goal_of(edit.number),
        }
    }

    /// Allocates up to `want` blocks for the hole at `block` of a file, without mapping them yet; they count
    /// as the file's.
    ///
    /// # Errors
    /// ENOSPC, EFBIG.
    pub(crate) fn allocate_for(
        &mut self,
        edit: &mut Edit,
        block: u64,
        want: u64,
    ) -> Result<(u64, u64)> {
        let goal = self.goal(edit, block);
        let (at, count) = self.allocate(goal, want, Purpose::Data)?;
        let blocks = i64::try_from(count).unwrap_or(0);
        edit.add_blocks(self.volume, blocks)?;
        Ok((at, count))
    }

    /// Maps blocks of a file that are a hole.
    ///
    /// # Errors
    /// ENOSPC, EFBIG, faults of the map.
    pub(crate) fn insert(&mut self, edit: &mut Edit, new: Extent) -> Result<()> {
        if edit.has_extents() {
            return self.insert_extents(edit, new);
        }
        if new.is_unwritten {
            return refuse(libc::EOPNOTSUPP);
        }
        for step in 0..new.count {
            let (block, at) = (new.start.saturating_add(step), new.at.saturating_add(step));
            self.insert_pointer(edit, block, at)?;
        }
        Ok(())
    }

    /// Unmaps and frees blocks of a file, at most about `budget` runs; answers whether all is done.
    ///
    /// # Errors
    /// ENOSPC, faults of the map.
    pub(crate) fn remove(
        &mut self,
        edit: &mut Edit,
        start: u64,
        end: u64,
        budget: usize,
        is_metadata: bool,
    ) -> Result<bool> {
        let (removed, is_done) = match edit.has_extents() {
            true => self.remove_extents(edit, start, end, budget)?,
            false => self.remove_pointers(edit, start, end, budget)?,
        };
        for run in removed {
            self.free(run.at, run.count, is_metadata)?;
            let blocks = i64::try_from(run.count).unwrap_or(0);
            edit.add_blocks(self.volume, blocks.saturating_neg())?;
        }
        Ok(is_done)
    }

    /// Turns allocated but unwritten blocks into written ones. Their content is in place.
    ///
    /// # Errors
    /// ENOSPC, faults of the tree.
    pub(crate) fn mark_written(
        &mut self,
        edit: &mut Edit,
        start: u64,
        count: u64,
        at: u64,
    ) -> Result<()> {
        let end = start.saturating_add(count);
        self.remove_extents(edit, start, end, usize::MAX)?;
        self.insert_extents(
            edit,
            Extent {
                start,
                count,
                at,
                is_unwritten: false,
            },
        )
    }

    /// The largest size a file can have, in bytes.
    pub(crate) fn largest_size(&self, edit: &Edit) -> u64 {
        let geometry = &self.volume.geometry;
        let blocks = match edit.has_extents() || edit.flags() & super::edit::FLAG_INLINE_DATA != 0 {
            true => (1u64 << 32) - 1,
            false => indirect::most_blocks((geometry.block_size / 4) as u64).min((1 << 32) - 1),
        };
        (blocks << geometry.block_bits).min(i64::MAX as u64)
    }
}
