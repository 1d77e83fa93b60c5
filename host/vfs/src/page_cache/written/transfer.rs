//! One write-back: what differs from what the module has goes to it.
//!
//! Locks: the file's state, held by the caller.

use rustix::fs::Stat;
use rustix::io::Errno;

use super::data::{BUFFER_BYTES, for_each_data, next_data};
use super::{Seen, State, WrittenFile, set_times};
use crate::attributes::Timestamp;
use crate::page_cache::chunks::{self, BLOCK_BYTES, BlockMask, CHUNK_BYTES, UNKNOWN, ZEROS};

impl WrittenFile {
    pub(super) fn transfer(&self, state: &mut State, stat: &Stat) -> Result<(), Errno> {
        let before = Seen::of(stat);
        let looked_at = Timestamp::now();
        state.seen = None;
        let mut has_changed = before.size != state.module_size;
        if before.size < state.module_size {
            self.sink.set_size(before.size)?;
            state.resized(before.size);
        }
        let news = before.size.saturating_sub(state.reserved_to);
        if news > BUFFER_BYTES as u64 {
            // Whether there is room, the writes will tell; here it keeps them together, where they are several.
            let _ = self.reserve(state, before.size);
        }
        let mut buffer = Vec::new();
        let mut next = 0;
        for_each_data(&self.file(), before.size, &mut buffer, |offset, bytes| {
            if self.is_abandoned() {
                return Err(Errno::CANCELED);
            }
            has_changed |= self.write_hole(state, next, offset, before.size)?;
            has_changed |= self.write_changed(state, offset, bytes)?;
            next = offset + bytes.len() as u64;
            Ok(())
        })?;
        has_changed |= self.write_hole(state, next, before.size, before.size)?;
        if state.module_size < before.size {
            self.sink.set_size(before.size)?;
            state.module_size = before.size;
        }
        self.give_up_behind(state, before.size)?;
        state.reserved_to = state.reserved_to.max(before.size);
        let mut modified = before.modified;
        if has_changed && modified == state.module_modified && state.time_set.is_none() {
            // Changed through a mapping, which moves no time.
            modified = looked_at;
            set_times(&self.file(), modified)?;
        }
        if has_changed || modified != state.module_modified {
            let drops_set_ids = before.modified != *self.mode_set_at.lock();
            // A time that was set moved the backing file's own time of change a little later than the module's.
            let changed = match state.time_set {
                Some(changed) if modified == state.module_modified => changed,
                _ => before.changed,
            };
            self.sink.set_times(modified, changed, drops_set_ids)?;
            state.module_modified = modified;
        }
        state.time_set = None;
        state.seen =
            Some(before).filter(|seen| seen.is_proof(looked_at) && modified == seen.modified);
        Ok(())
    }

    /// Between `start` and `end` (a chunk's start, or the end of the file) the backing file has a hole.
    fn write_hole(
        &self,
        state: &mut State,
        start: u64,
        end: u64,
        size: u64,
    ) -> Result<bool, Errno> {
        static NOTHING: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
        let mut has_changed = false;
        let mut next = start.div_ceil(CHUNK_BYTES as u64);
        let end = end.div_ceil(CHUNK_BYTES as u64);
        while let Some(index) = state.table.next_data(next, end) {
            next = index + 1;
            let offset = index * CHUNK_BYTES as u64;
            let length = (size - offset).min(CHUNK_BYTES as u64) as usize;
            self.sink
                .write(offset, NOTHING.get(..length).unwrap_or_default())?;
            state.table.set(index, ZEROS);
            state.module_size = state.module_size.max(offset + length as u64);
            has_changed = true;
        }
        Ok(has_changed)
    }

    /// Writes the chunks of `bytes` (which starts at a chunk's start) that differ, in runs as long as possible.
    fn write_changed(&self, state: &mut State, start: u64, bytes: &[u8]) -> Result<bool, Errno> {
        let mut written: Vec<(u64, u64, BlockMask)> = Vec::new();
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        let mut add = |range: std::ops::Range<usize>| match runs.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => runs.push(range),
        };
        let mut position = 0;
        for (index, chunk) in (chunks::chunk_of(start)..).zip(bytes.chunks(CHUNK_BYTES)) {
            let (hash, (known, held)) = (chunks::hash(chunk), state.table.entry(index));
            if hash != known {
                let blocks = chunks::blocks(chunk);
                let end = start + (position + chunk.len()) as u64;
                // Of a file that was cut meanwhile the module still has what lay behind.
                let behind = match end < state.module_size {
                    true => held & !chunks::blocks_within(chunk.len()),
                    false => 0,
                };
                written.push((index, hash, blocks | behind));
                // Zeros that the module has already are left out: they may be a hole.
                let mut place = position;
                for (number, block) in chunk.chunks(BLOCK_BYTES).enumerate() {
                    if (blocks | held) >> number & 1 == 1 {
                        add(place..place + block.len());
                    }
                    place += block.len();
                }
            }
            position += chunk.len();
        }
        for (index, ..) in &written {
            state.table.set(*index, UNKNOWN);
        }
        for run in runs {
            let offset = start + run.start as u64;
            let end = start + run.end as u64;
            self.sink
                .write(offset, bytes.get(run).unwrap_or_default())?;
            state.module_size = state.module_size.max(end);
        }
        for (index, hash, blocks) in &written {
            state.table.set_entry(*index, *hash, *blocks);
        }
        Ok(!written.is_empty())
    }

    /// Reserves space for the data behind what is reserved already.
    pub(super) fn reserve(&self, state: &mut State, size: u64) -> Result<(), Errno> {
        let mut offset = state.reserved_to;
        state.reserved_to = size;
        state.held_to = size;
        while let Some((start, end)) = next_data(&self.file(), offset, size) {
            self.sink.reserve(start, end - start)?;
            offset = end;
        }
        Ok(())
    }
}
