//! Inodes without names, and files being truncated: the superblock's list of orphans, linked through
//! `i_dtime`, which says after a crash what was not finished.

use std::collections::HashSet;

use super::edit::Edit;
use super::truncate::STEP_RUNS;
use super::{Op, now};
use crate::bytes::le32;
use crate::error::Result;
use crate::inode::Kind;

impl Op<'_> {
    /// Puts an inode on the list. The caller stores it.
    ///
    /// # Errors
    /// Faults of the inode.
    pub(crate) fn add_orphan(&mut self, edit: &mut Edit) -> Result<()> {
        if self.writer.orphans.contains(&edit.number) {
            return Ok(());
        }
        self.save_orphans();
        let head = self.writer.orphans.last().copied().unwrap_or(0);
        edit.set_deletion(head);
        self.writer.orphans.push(edit.number);
        Ok(())
    }

    /// Takes an inode off the list. The caller stores it.
    ///
    /// # Errors
    /// Faults of the inode before it in the list.
    pub(crate) fn remove_orphan(&mut self, edit: &mut Edit) -> Result<()> {
        let Some(place) = self
            .writer
            .orphans
            .iter()
            .rposition(|ino| *ino == edit.number)
        else {
            return Ok(());
        };
        self.save_orphans();
        let next = place
            .checked_sub(1)
            .and_then(|below| self.writer.orphans.get(below))
            .copied()
            .unwrap_or(0);
        if let Some(before) = self.writer.orphans.get(place.saturating_add(1)).copied() {
            let mut holder = self.edit(before)?;
            holder.set_deletion(next);
            self.store(&mut holder)?;
        }
        self.writer.orphans.remove(place);
        edit.set_deletion(0);
        Ok(())
    }

    /// Frees an inode that has no names and that nobody refers to.
    ///
    /// # Errors
    /// EIO, faults of its map.
    pub(crate) fn delete_inode(&mut self, number: u32) -> Result<()> {
        loop {
            let is_done = self.run(|op| op.delete_step(number))?;
            if is_done {
                return Ok(());
            }
        }
    }

    fn delete_step(&mut self, number: u32) -> Result<bool> {
        let mut edit = self.edit(number)?;
        let inode = edit.inode(self.volume)?;
        let has_map = match inode.kind {
            Kind::Regular | Kind::Directory => !inode.has_inline_data(),
            Kind::Symlink => !inode.has_inline_data() && !self.volume.is_fast_link(&inode),
            _ => false,
        };
        if has_map {
            let is_metadata = inode.kind == Kind::Directory;
            if !self.remove(&mut edit, 0, u64::MAX, STEP_RUNS, is_metadata)? {
                self.store(&mut edit)?;
                return Ok(false);
            }
        }
        self.release_xattr_block(&mut edit)?;
        self.remove_orphan(&mut edit)?;
        edit.set_size(0);
        edit.set_links(0);
        let seconds = u32::try_from(now().seconds).unwrap_or(u32::MAX);
        edit.set_deletion(seconds);
        self.free_inode(number, inode.kind == Kind::Directory)?;
        self.store(&mut edit)?;
        self.volume.forget_directory(number);
        Ok(true)
    }

    /// Deletes an inode without names if the host has no reference on it.
    ///
    /// # Errors
    /// As [`Op::delete_inode`].
    pub(crate) fn delete_if_unused(&mut self, number: u32) -> Result<()> {
        let is_used = {
            let references = self.writer.references.lock();
            references.get(&number).is_some_and(|count| *count > 0)
        };
        if is_used {
            return Ok(());
        }
        let inode = self.volume.inode(number)?;
        if inode.links == 0 && self.writer.orphans.contains(&number) {
            return self.delete_inode(number);
        }
        Ok(())
    }

    /// The host hands references back; with the last, an inode without names goes.
    ///
    /// # Errors
    /// As [`Op::delete_inode`].
    pub(crate) fn forget(&mut self, number: u32, references: u64) -> Result<()> {
        {
            let mut held = self.writer.references.lock();
            let left = held
                .get(&number)
                .map_or(0, |count| count.saturating_sub(references));
            if left > 0 {
                held.insert(number, left);
                return Ok(());
            }
            held.remove(&number);
        }
        match self.writer.orphans.contains(&number) {
            true => self.delete_if_unused(number),
            false => Ok(()),
        }
    }

    /// Finishes what the list says was not finished, after a crash or at the end.
    pub(crate) fn clean_orphans(&mut self) {
        let list = self.writer.orphans.clone();
        for number in list.into_iter().rev() {
            let result = self
                .volume
                .inode(number)
                .and_then(|inode| match inode.links {
                    0 => self.delete_inode(number),
                    _ => self.finish_truncate(number),
                });
            if let Err(error) = result {
                drop(self.volume.told(error));
                break;
            }
        }
    }

    /// Reads the list from the image: head first on disk, last here. A list that is broken ends where it is.
    pub(crate) fn load_orphans(&self) -> Result<Vec<u32>> {
        let (block, from) = self.volume.superblock_place();
        let head = {
            let held = self.volume.blocks.get(block)?;
            le32(held.data(), from.saturating_add(0xe8))
        };
        let mut list = Vec::new();
        let mut seen = HashSet::new();
        let mut next = head;
        while next != 0 {
            let geometry = &self.volume.geometry;
            if next < geometry.first_inode || next > geometry.inodes || !seen.insert(next) {
                self.volume
                    .reporter
                    .note("the list of orphaned inodes is damaged: e2fsck(8) is recommended");
                break;
            }
            list.push(next);
            next = self.edit(next)?.deletion();
        }
        list.reverse();
        Ok(list)
    }
}
