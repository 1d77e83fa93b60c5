//! Direct and indirect blocks that change (ext2 and ext3, and old files of ext4).

use super::blocks::Purpose;
use super::edit::Edit;
use super::extents::Removed;
use super::{Op, refuse};
use crate::bytes::{le32, put32};
use crate::error::{Result, bad_inode};

const DIRECT: u64 = 12;

/// A stretch of a file's blocks below one pointer.
#[derive(Clone, Copy)]
struct Branch {
    /// First block of the file below the pointer.
    base: u64,
    /// Blocks below it.
    span: u64,
    /// Levels of pointer blocks below it.
    levels: u32,
}

/// The pointers of an inode and what is below each.
fn roots(per_block: u64) -> Vec<Branch> {
    let mut list: Vec<Branch> = (0..DIRECT)
        .map(|base| Branch {
            base,
            span: 1,
            levels: 0,
        })
        .collect();
    let mut base = DIRECT;
    let mut span = 1u64;
    for levels in 1..=3u32 {
        span = span.saturating_mul(per_block);
        list.push(Branch { base, span, levels });
        base = base.saturating_add(span);
    }
    list
}

/// Blocks a file can have.
pub(crate) fn most_blocks(per_block: u64) -> u64 {
    roots(per_block)
        .last()
        .map_or(0, |last| last.base.saturating_add(last.span))
}

/// A removal in progress.
struct Removal {
    start: u64,
    end: u64,
    budget: usize,
    removed: Vec<Removed>,
    /// The budget did not suffice.
    is_cut: bool,
}

impl Removal {
    fn push(&mut self, at: u64) {
        match self.removed.last_mut() {
            Some(last) if last.at.saturating_add(last.count) == at => {
                last.count = last.count.saturating_add(1);
            }
            _ => self.removed.push(Removed { at, count: 1 }),
        }
    }

    fn is_full(&self) -> bool {
        self.removed.len() >= self.budget
    }
}

impl Op<'_> {
    fn pointers_per_block(&self) -> u64 {
        (self.volume.geometry.block_size / 4) as u64
    }

    fn pointer_block(&mut self, edit: &mut Edit, near: u64) -> Result<u32> {
        let goal = if near == 0 {
            self.goal_of(edit.number)
        } else {
            near
        };
        let (block, _) = self.allocate(goal, 1, Purpose::Map)?;
        edit.add_blocks(self.volume, 1)?;
        let empty = vec![0; self.volume.geometry.block_size].into();
        self.volume.blocks.replace(block, empty)?;
        u32::try_from(block).or_else(|_| refuse(libc::EFBIG))
    }

    /// Maps one block, which must be a hole.
    ///
    /// # Errors
    /// ENOSPC, EFBIG, faults of the map.
    pub(crate) fn insert_pointer(&mut self, edit: &mut Edit, block: u64, at: u64) -> Result<()> {
        let per_block = self.pointers_per_block();
        let list = roots(per_block);
        let slot = list
            .iter()
            .position(|branch| block < branch.base.saturating_add(branch.span));
        let Some((slot, branch)) = slot.and_then(|slot| Some((slot, *list.get(slot)?))) else {
            return refuse(libc::EFBIG);
        };
        let Ok(value) = u32::try_from(at) else {
            return refuse(libc::EFBIG);
        };
        if branch.levels == 0 {
            edit.set_block(slot.saturating_mul(4), &value.to_le_bytes());
            return Ok(());
        }
        let mut pointer = le32(edit.block(), slot.saturating_mul(4));
        if pointer == 0 {
            pointer = self.pointer_block(edit, at)?;
            edit.set_block(slot.saturating_mul(4), &pointer.to_le_bytes());
        }
        let mut index = block.saturating_sub(branch.base);
        let mut span = branch.span;
        for level in (0..branch.levels).rev() {
            self.check_pointer(edit, pointer)?;
            span = (span / per_block.max(1)).max(1);
            let place = usize::try_from(index / span)
                .unwrap_or(usize::MAX)
                .saturating_mul(4);
            index %= span;
            let held = u64::from(pointer);
            if level == 0 {
                self.volume
                    .blocks
                    .edit(held, |bytes| put32(bytes, place, value))?;
                break;
            }
            let below = le32(self.volume.blocks.get(held)?.data(), place);
            pointer = match below {
                0 => {
                    let new = self.pointer_block(edit, at)?;
                    self.volume
                        .blocks
                        .edit(held, |bytes| put32(bytes, place, new))?;
                    new
                }
                below => below,
            };
        }
        Ok(())
    }

    fn check_pointer(&self, edit: &Edit, pointer: u32) -> Result<()> {
        let at = u64::from(pointer);
        if !self.volume.geometry.holds(at, 1) || self.writer.zones.touches(at, 1) {
            return bad_inode(
                edit.number,
                format!("uses block {pointer}, which is not a file's"),
            );
        }
        Ok(())
    }

    /// Unmaps the blocks from `start` to before `end`, at most about `budget` runs of them; answers what they were, and
    /// whether all is done.
    ///
    /// # Errors
    /// Faults of the map.
    pub(crate) fn remove_pointers(
        &mut self,
        edit: &mut Edit,
        start: u64,
        end: u64,
        budget: usize,
    ) -> Result<(Vec<Removed>, bool)> {
        let mut removal = Removal {
            start,
            end,
            budget,
            removed: Vec::new(),
            is_cut: false,
        };
        for (slot, branch) in roots(self.pointers_per_block()).into_iter().enumerate() {
            let place = slot.saturating_mul(4);
            let pointer = le32(edit.block(), place);
            if pointer != 0 && self.remove_branch(edit, pointer, branch, &mut removal)? {
                edit.set_block(place, &[0; 4]);
            }
        }
        Ok((removal.removed, !removal.is_cut))
    }

    /// Removes what a pointer leads to, as far as asked; answers whether the pointer itself is to be cleared.
    fn remove_branch(
        &mut self,
        edit: &mut Edit,
        pointer: u32,
        branch: Branch,
        removal: &mut Removal,
    ) -> Result<bool> {
        let branch_end = branch.base.saturating_add(branch.span);
        if branch.base >= removal.end || branch_end <= removal.start {
            return Ok(false);
        }
        if removal.is_full() {
            removal.is_cut = true;
            return Ok(false);
        }
        self.check_pointer(edit, pointer)?;
        if branch.levels == 0 {
            removal.push(u64::from(pointer));
            return Ok(true);
        }
        let per_block = self.pointers_per_block();
        let span = (branch.span / per_block.max(1)).max(1);
        let held = self.volume.blocks.get(u64::from(pointer))?;
        let mut words: Vec<u32> = held
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word))
            .collect();
        drop(held);
        let mut has_changed = false;
        let mut base = branch.base;
        for word in &mut words {
            let below = Branch {
                base,
                span,
                levels: branch.levels.saturating_sub(1),
            };
            if *word != 0 && self.remove_branch(edit, *word, below, removal)? {
                *word = 0;
                has_changed = true;
            }
            base = base.saturating_add(span);
        }
        if words.iter().all(|word| *word == 0) {
            self.free(u64::from(pointer), 1, true)?;
            edit.add_blocks(self.volume, -1)?;
            return Ok(true);
        }
        if has_changed {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.volume
                .blocks
                .replace(u64::from(pointer), bytes.into())?;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointers_cover_the_file_without_gaps() {
        let list = roots(256);
        assert_eq!(list.len(), 15);
        for pair in list.windows(2) {
            assert_eq!(pair[0].base + pair[0].span, pair[1].base);
        }
        assert_eq!(most_blocks(256), 12 + 256 + 65_536 + 16_777_216);
    }
}
