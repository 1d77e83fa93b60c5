//! Allocation of inodes: files beside their directory, directories of the root spread over the groups.

use super::edit::Edit;
use super::groups::{clear_bits, has_bit, set_bits};
use super::{Op, refuse};
use crate::error::{Error, Place, Problem, Result, bad_inode};
use crate::geometry::ROOT_INODE;

impl Op<'_> {
    /// Takes a free inode near the directory `parent`. Its bytes on disk are as they were left.
    ///
    /// # Errors
    /// ENOSPC; faults of bitmaps.
    pub(crate) fn allocate_inode(&mut self, parent: u32, is_directory: bool) -> Result<u32> {
        let geometry = &self.volume.geometry;
        let home = parent.saturating_sub(1) / geometry.inodes_per_group.max(1);
        let mut start = home;
        if is_directory && parent == ROOT_INODE {
            // The group with the most free inodes; the first of several.
            let best = (0u32..)
                .zip(&self.writer.groups)
                .filter(|(_, group)| group.free_blocks > 0)
                .max_by_key(|(number, group)| (group.free_inodes, std::cmp::Reverse(*number)));
            start = best.map_or(home, |(number, _)| number);
        }
        for step in 0..geometry.groups {
            let number = start.wrapping_add(step) % geometry.groups;
            let free = self
                .writer
                .groups
                .get(number as usize)
                .map_or(0, |group| group.free_inodes);
            if free > 0
                && let Some(ino) = self.take_inode(number, is_directory)?
            {
                return Ok(ino);
            }
        }
        refuse(libc::ENOSPC)
    }

    fn take_inode(&mut self, number: u32, is_directory: bool) -> Result<Option<u32>> {
        let bitmap = self.ready_inodes(number)?;
        let geometry = &self.volume.geometry;
        let per_group = geometry.inodes_per_group;
        let held = self.volume.blocks.get(bitmap)?;
        let from = if number == 0 {
            geometry.first_inode.saturating_sub(1)
        } else {
            0
        };
        let first = number.saturating_mul(per_group).saturating_add(1);
        let is_free = |bit: &u32| {
            let ino = first.saturating_add(*bit);
            !has_bit(held.data(), *bit) && !self.writer.freed_inodes.contains(&ino)
        };
        let Some(bit) = (from..per_group).find(is_free) else {
            return Ok(None);
        };
        // Where no other inode of the table's block is in use the block may never have been written.
        let per_block = u32::try_from(geometry.block_size / geometry.inode_size.max(1))
            .unwrap_or(1)
            .max(1);
        let first = bit / per_block * per_block;
        let is_fresh = (first..first.saturating_add(per_block).min(per_group))
            .all(|bit| !has_bit(held.data(), bit));
        drop(held);
        let table = self
            .writer
            .groups
            .get(number as usize)
            .map_or(0, |group| group.inode_table);
        if is_fresh {
            let block = table.saturating_add(u64::from(bit / per_block));
            let empty = vec![0; geometry.block_size].into();
            self.volume.blocks.replace(block, empty)?;
        }
        self.volume
            .blocks
            .edit(bitmap, |bits| set_bits(bits, bit, 1))?;
        let group = self.touch_group(number)?;
        group.free_inodes = group.free_inodes.saturating_sub(1);
        group.unused_inodes = group
            .unused_inodes
            .min(per_group.saturating_sub(bit.saturating_add(1)));
        let totals = &mut self.writer.totals;
        totals.free_inodes = totals.free_inodes.saturating_sub(1);
        if is_directory {
            let group = self.touch_group(number)?;
            group.directories = group.directories.saturating_add(1);
        }
        Ok(Some(
            number
                .saturating_mul(per_group)
                .saturating_add(bit)
                .saturating_add(1),
        ))
    }

    /// Gives an inode back.
    ///
    /// # Errors
    /// Corrupt when it is reserved or free already.
    pub(crate) fn free_inode(&mut self, ino: u32, is_directory: bool) -> Result<()> {
        let geometry = &self.volume.geometry;
        if ino < geometry.first_inode || ino > geometry.inodes {
            return bad_inode(ino, "is reserved");
        }
        let per_group = geometry.inodes_per_group.max(1);
        let number = ino.saturating_sub(1) / per_group;
        let bit = ino.saturating_sub(1) % per_group;
        let bitmap = self.ready_inodes(number)?;
        if !has_bit(self.volume.blocks.get(bitmap)?.data(), bit) {
            let detail = format!("the inode bitmap calls inode {ino} free, which is in use");
            return Err(Error::Corrupt(Problem::new(Place::Group(number), detail)));
        }
        self.volume
            .blocks
            .edit(bitmap, |bits| clear_bits(bits, bit, 1))?;
        self.note_freed_inode(ino);
        let group = self.touch_group(number)?;
        group.free_inodes = group.free_inodes.saturating_add(1);
        if is_directory {
            group.directories = group.directories.saturating_sub(1);
        }
        let totals = &mut self.writer.totals;
        totals.free_inodes = totals.free_inodes.saturating_add(1);
        Ok(())
    }

    /// Makes an inode: allocated, with owner and times, not stored yet.
    ///
    /// # Errors
    /// As [`Op::allocate_inode`].
    pub(crate) fn new_inode(&mut self, parent: u32, mode: u16, uid: u32, gid: u32) -> Result<Edit> {
        let is_directory = mode & 0xf000 == 0x4000;
        let ino = self.allocate_inode(parent, is_directory)?;
        self.writer.generation = self
            .writer
            .generation
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        Ok(Edit::new(
            self.volume,
            ino,
            mode,
            uid,
            gid,
            self.writer.generation,
        ))
    }
}
