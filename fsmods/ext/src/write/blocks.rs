//! Allocation of blocks: near a goal, in one piece if possible.
//!
//! A block that was freed in the running transaction is not given out again before that is committed: a
//! crash would bring its old owner back.

use super::groups::{blocks_in, clear_bits, has_bit, set_bits};
use super::{Op, refuse};
use crate::error::{Error, Place, Problem, Result};

/// A piece this long is taken where it is found; shorter ones only when no group has a longer one.
const GOOD_RUN: u32 = 64;
/// Groups searched for a better piece.
const MAX_GROUPS_TRIED: u32 = 16;
/// Most clusters the kernel keeps back for changes of metadata.
const MAX_KEPT: u64 = 4096;

/// What blocks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A file's content, or a directory's.
    Data,
    /// A map of either, which may use what is kept back.
    Map,
}

/// The first run of clear bits at or after `from`, at most `want` long, below `limit`.
fn next_run(
    bits: &impl Fn(u32) -> bool,
    byte: &impl Fn(u32) -> u8,
    limit: u32,
    from: u32,
    want: u32,
) -> Option<(u32, u32)> {
    let mut bit = from;
    while bit < limit {
        if bit.is_multiple_of(8) && byte(bit / 8) == 0xff {
            bit = bit.saturating_add(8);
        } else if bits(bit) {
            bit = bit.saturating_add(1);
        } else {
            break;
        }
    }
    if bit >= limit {
        return None;
    }
    let mut end = bit;
    while end < limit && end.saturating_sub(bit) < want && !bits(end) {
        end = end.saturating_add(1);
    }
    Some((bit, end.saturating_sub(bit)))
}

impl Op<'_> {
    /// Blocks that the caller may still use for `purpose`.
    pub(crate) fn available(&self, purpose: Purpose) -> u64 {
        let totals = self.writer.totals;
        let usable = totals.free_blocks.saturating_sub(totals.pending_blocks);
        let geometry = &self.volume.geometry;
        if purpose == Purpose::Map {
            return usable;
        }
        let kept = match geometry
            .features
            .incompat(crate::features::INCOMPAT_EXTENTS)
        {
            true if !self.caller.is_late => (geometry.blocks / 50).min(MAX_KEPT),
            _ => 0,
        };
        let reserved = match self.caller.uid {
            0 => 0,
            _ => self.writer.reserved_blocks,
        };
        usable.saturating_sub(kept.saturating_add(reserved))
    }

    /// Allocates up to `want` consecutive blocks, at `goal` if that is free; answers the first and how many.
    ///
    /// # Errors
    /// ENOSPC; faults of bitmaps.
    pub(crate) fn allocate(
        &mut self,
        goal: u64,
        want: u64,
        purpose: Purpose,
    ) -> Result<(u64, u64)> {
        let want = want.min(self.available(purpose));
        let Ok(want) = u32::try_from(want.min(1 << 15)) else {
            return refuse(libc::ENOSPC);
        };
        if want == 0 {
            return refuse(libc::ENOSPC);
        }
        let geometry = &self.volume.geometry;
        let goal = if geometry.holds(goal, 1) {
            goal
        } else {
            u64::from(geometry.first_data_block)
        };
        let offset = goal.saturating_sub(u64::from(geometry.first_data_block));
        let per_group = u64::from(geometry.blocks_per_group).max(1);
        let first_group = u32::try_from(offset / per_group).unwrap_or(0);
        let inside = u32::try_from(offset % per_group).unwrap_or(0);
        let mut best: Option<(u32, u32, u32)> = None;
        let mut tried = 0u32;
        for step in 0..geometry.groups {
            let number = first_group.wrapping_add(step) % geometry.groups;
            let free = self
                .writer
                .groups
                .get(number as usize)
                .map_or(0, |group| group.free_blocks);
            if free == 0 {
                continue;
            }
            let from = if step == 0 { inside } else { 0 };
            if let Some((bit, count)) = self.search(number, from, want, step == 0)? {
                let good = want.min(GOOD_RUN);
                if best.is_none_or(|(_, _, most)| count > most) {
                    best = Some((number, bit, count));
                }
                tried = tried.saturating_add(1);
                if count >= good || tried >= MAX_GROUPS_TRIED {
                    break;
                }
            }
        }
        let Some((number, bit, count)) = best else {
            return refuse(libc::ENOSPC);
        };
        self.take(number, bit, count)
    }

    /// Looks for a run in a group: at `from` itself if `is_goal`, else the first good one, else the longest.
    fn search(
        &mut self,
        number: u32,
        from: u32,
        want: u32,
        is_goal: bool,
    ) -> Result<Option<(u32, u32)>> {
        let bitmap = self.ready_blocks(number)?;
        let held = self.volume.blocks.get(bitmap)?;
        let pending = self.writer.pending.get(&number);
        let data = held.data();
        let bits = |bit: u32| has_bit(data, bit) || pending.is_some_and(|bits| has_bit(bits, bit));
        let byte = |at: u32| data.get(at as usize).copied().unwrap_or(0xff);
        let limit = blocks_in(&self.volume.geometry, number);
        if is_goal && !bits(from) && from < limit {
            return Ok(next_run(&bits, &byte, limit, from, want));
        }
        let good = want.min(GOOD_RUN);
        let mut best: Option<(u32, u32)> = None;
        for (start, end) in [(from, limit), (0, from.min(limit))] {
            let mut at = start;
            while let Some((bit, count)) = next_run(&bits, &byte, end, at, want) {
                if best.is_none_or(|(_, most)| count > most) {
                    best = Some((bit, count));
                }
                if count >= good {
                    return Ok(Some((bit, count)));
                }
                at = bit.saturating_add(count).saturating_add(1);
            }
        }
        Ok(best)
    }

    fn take(&mut self, number: u32, bit: u32, count: u32) -> Result<(u64, u64)> {
        let first = self
            .volume
            .geometry
            .group_start(number)
            .saturating_add(u64::from(bit));
        if self.writer.zones.touches(first, u64::from(count)) {
            let detail = format!(
                "the block bitmap calls block {first} free, which is the file system's own"
            );
            return Err(Error::Corrupt(Problem::new(Place::Group(number), detail)));
        }
        let bitmap = self.ready_blocks(number)?;
        self.volume
            .blocks
            .edit(bitmap, |bits| set_bits(bits, bit, count))?;
        let group = self.touch_group(number)?;
        group.free_blocks = group.free_blocks.saturating_sub(count);
        let totals = &mut self.writer.totals;
        totals.free_blocks = totals.free_blocks.saturating_sub(u64::from(count));
        Ok((first, u64::from(count)))
    }

    /// Frees blocks of a file's content, or (`is_metadata`) of its map and the like.
    ///
    /// # Errors
    /// Corrupt when they are not a file's or not in use.
    pub(crate) fn free(&mut self, first: u64, count: u64, is_metadata: bool) -> Result<()> {
        let geometry = &self.volume.geometry;
        if !geometry.holds(first, count) || self.writer.zones.touches(first, count) {
            let detail = "is the file system's own but a file uses it";
            return Err(Error::Corrupt(Problem::new(Place::Block(first), detail)));
        }
        let per_group = u64::from(geometry.blocks_per_group).max(1);
        let mut at = first;
        let end = first.saturating_add(count);
        while at < end {
            let offset = at.saturating_sub(u64::from(geometry.first_data_block));
            let number = u32::try_from(offset / per_group).unwrap_or(u32::MAX);
            let inside = offset % per_group;
            let here = end.saturating_sub(at).min(per_group.saturating_sub(inside));
            let (Ok(bit), Ok(bits)) = (u32::try_from(inside), u32::try_from(here)) else {
                return refuse(libc::EIO);
            };
            self.free_in(number, bit, bits)?;
            at = at.saturating_add(here.max(1));
        }
        if is_metadata {
            for number in first..end {
                self.volume.blocks.release(number);
            }
        }
        Ok(())
    }

    fn free_in(&mut self, number: u32, bit: u32, count: u32) -> Result<()> {
        let bitmap = self.ready_blocks(number)?;
        let held = self.volume.blocks.get(bitmap)?;
        if (bit..bit.saturating_add(count)).any(|bit| !has_bit(held.data(), bit)) {
            let detail = "the block bitmap calls a block free that a file uses";
            return Err(Error::Corrupt(Problem::new(Place::Group(number), detail)));
        }
        drop(held);
        self.volume
            .blocks
            .edit(bitmap, |bits| clear_bits(bits, bit, count))?;
        let size = self.volume.geometry.block_size;
        let pending = self
            .writer
            .pending
            .entry(number)
            .or_insert_with(|| vec![0; size]);
        set_bits(pending, bit, count);
        self.note_freed(number, bit, count);
        let group = self.touch_group(number)?;
        group.free_blocks = group.free_blocks.saturating_add(count);
        let totals = &mut self.writer.totals;
        totals.free_blocks = totals.free_blocks.saturating_add(u64::from(count));
        totals.pending_blocks = totals.pending_blocks.saturating_add(u64::from(count));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_in_a_bitmap() {
        let data = [0xff, 0xff, 0b1110_0111, 0x00];
        let bits = |bit: u32| has_bit(&data, bit);
        let byte = |at: u32| data.get(at as usize).copied().unwrap_or(0xff);
        assert_eq!(next_run(&bits, &byte, 32, 0, 9), Some((19, 2)));
        assert_eq!(next_run(&bits, &byte, 32, 21, 5), Some((24, 5)));
        assert_eq!(next_run(&bits, &byte, 32, 30, 5), Some((30, 2)));
        assert_eq!(next_run(&bits, &byte, 18, 0, 5), None);
    }
}
