//! One write-back: what differs from what the module has goes to it.
//!
//! Locks: the file's state, held by the caller.

use rustix::fs::Stat;
use rustix::io::Errno;

use super::data::{BUFFER_BYTES, next_chunks, next_data, read_range};
use super::view::Mapped;
use super::{Look, Seen, State, WrittenFile, set_times};
use crate::attributes::Timestamp;
use crate::page_cache::chunks::{self, CHUNK_BYTES, UNKNOWN, ZEROS};

/// Zeros that are written at once.
const ZEROS_BYTES: usize = 16 * CHUNK_BYTES;

/// What is looked at.
#[derive(Clone, Copy)]
struct Compared {
    /// The first byte, a chunk's start.
    start: u64,
    /// The end, that of a chunk or of the file.
    end: u64,
    /// Bytes of the file.
    size: u64,
    /// From here on zeros that are no hole are written.
    zeros_from: u64,
}

impl WrittenFile {
    pub(super) fn transfer(&self, state: &mut State, stat: &Stat, look: Look) -> Result<(), Errno> {
        let before = Seen::of(stat);
        let looked_at = Timestamp::now();
        state.seen = None;
        state.is_changed |= before.size != state.module_size;
        if before.size < state.module_size {
            self.changing_sink().set_size(before.size)?;
            state.resized(before.size);
        }
        let news = before.size.saturating_sub(state.reserved_to);
        if news > BUFFER_BYTES as u64 {
            // Whether there is room, the writes will tell; here it keeps them together, where they are several.
            let _ = self.reserve(state, before.size);
        }
        // Zeros that somebody wrote at the end and wants to have on the disk are to have their place there, as a database
        // that makes its log so expects. Otherwise they may stay holes.
        let zeros_from = match look {
            Look::Quick => state.module_size,
            Look::Thorough => u64::MAX,
        };
        let whole = Compared {
            start: 0,
            end: before.size,
            size: before.size,
            zeros_from,
        };
        self.compare(state, whole)?;
        if state.module_size < before.size {
            self.changing_sink().set_size(before.size)?;
            state.module_size = before.size;
        }
        self.give_up_behind(state, before.size)?;
        state.reserved_to = state.reserved_to.max(before.size);
        self.set_times_of(state, before, looked_at)
    }

    /// Gives the module the times of the last change, and looks whether the backing file can have changed since.
    fn set_times_of(
        &self,
        state: &mut State,
        before: Seen,
        looked_at: Timestamp,
    ) -> Result<(), Errno> {
        let by_caller = self.own_changes().instead.map(|times| times.changed);
        let mut modified = before.modified;
        if state.is_changed && modified == state.module_modified && state.time_set.is_none() {
            // Changed through a mapping, which moves no time.
            modified = looked_at;
            set_times(&self.file(), modified)?;
        }
        let is_changed = state.is_changed || modified != state.module_modified;
        if is_changed || by_caller.is_some() {
            let drops_set_ids = before.modified != *self.mode_set_at.lock();
            // A time that was set moved the backing file's own time of change a little later than the module's.
            let changed = match state.time_set {
                Some(changed) if modified == state.module_modified => changed,
                _ if is_changed => before.changed,
                _ => by_caller.unwrap_or(before.changed),
            };
            let changed = by_caller.map_or(changed, |by_caller| changed.max(by_caller));
            self.sink().set_times(modified, changed, drops_set_ids)?;
            self.own_changes.settle();
            state.module_modified = modified;
            state.is_changed = false;
        }
        state.time_set = None;
        state.seen =
            Some(before).filter(|seen| seen.is_proof(looked_at) && modified == seen.modified);
        Ok(())
    }

    /// Writes what differs between two places, as far as the module's file reaches; its size and times stay as they are.
    ///
    /// # Errors
    /// Those of the module and of reading the backing file.
    pub(super) fn transfer_range(
        &self,
        state: &mut State,
        stat: &Stat,
        start: u64,
        end: u64,
    ) -> Result<(), Errno> {
        let chunk = CHUNK_BYTES as u64;
        let size = Seen::of(stat).size.min(state.module_size);
        let last = end.min(size).div_ceil(chunk).saturating_mul(chunk);
        let part = Compared {
            start: start / chunk * chunk,
            end: last.min(size),
            size,
            zeros_from: u64::MAX,
        };
        if start >= end || part.start >= part.end {
            return Ok(());
        }
        state.seen = None;
        self.compare(state, part)
    }

    /// Writes what differs.
    fn compare(&self, state: &mut State, compared: Compared) -> Result<(), Errno> {
        let mapped = state.mapped.take();
        self.compare_with(state, compared, mapped.as_ref())?;
        match mapped {
            // It was cut while it was looked at.
            Some(mapped) if mapped.is_damaged() => self.compare_with(state, compared, None),
            mapped => {
                state.mapped = mapped;
                Ok(())
            }
        }
    }

    fn compare_with(
        &self,
        state: &mut State,
        compared: Compared,
        mapped: Option<&Mapped>,
    ) -> Result<(), Errno> {
        let last = compared.end;
        let file = self.file();
        let mut buffer = Vec::new();
        let mut next = compared.start;
        let is_dense = mapped.is_some_and(|mapped| mapped.is_dense);
        let range_from = |offset| match is_dense {
            true => (offset < last).then_some((offset, last)),
            false => next_chunks(&file, offset, last),
        };
        'data: while let Some((start, end)) = range_from(next) {
            self.write_hole(state, next, start, compared.size)?;
            let mut at = start;
            while at < end {
                if self.is_abandoned() {
                    return Err(Errno::CANCELED);
                }
                let (from, until) = match mapped {
                    Some(mapped) if end <= compared.zeros_from => {
                        mapped.next_change(&state.table, at, end)
                    }
                    _ => (at, end.min(at + BUFFER_BYTES as u64)),
                };
                let bytes = read_range(&file, &mut buffer, from, until)?;
                self.write_changed(state, from, bytes, compared.zeros_from)?;
                next = from + bytes.len() as u64;
                if next < until {
                    break 'data; // cut meanwhile: the next look sees it
                }
                at = until;
            }
        }
        self.write_hole(state, next, last, compared.size)
    }

    /// Between `start` and `end` (a chunk's start, or the end of the file) the backing file has a hole.
    fn write_hole(&self, state: &mut State, start: u64, end: u64, size: u64) -> Result<(), Errno> {
        static NOTHING: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
        let mut next = start.div_ceil(CHUNK_BYTES as u64);
        let end = end.div_ceil(CHUNK_BYTES as u64);
        while let Some(first) = state.table.next_data(next, end) {
            next = first + 1;
            let most = end.min(first + (ZEROS_BYTES / CHUNK_BYTES) as u64);
            while next < most && state.table.get(next) != ZEROS {
                next += 1;
            }
            let offset = first * CHUNK_BYTES as u64;
            let length = (size - offset).min((next - first) * CHUNK_BYTES as u64);
            self.changing_sink()
                .write(offset, NOTHING.get(..length as usize).unwrap_or_default())?;
            for index in first..next {
                state.table.set(index, ZEROS);
            }
            state.module_size = state.module_size.max(offset + length);
        }
        Ok(())
    }

    /// Writes the chunks of `bytes` (which starts at a chunk's start) that differ, in runs as long as possible.
    fn write_changed(
        &self,
        state: &mut State,
        start: u64,
        bytes: &[u8],
        zeros_from: u64,
    ) -> Result<(), Errno> {
        let mut changed: Vec<(u64, u64)> = Vec::new();
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        let mut position = 0;
        for (index, chunk) in (chunks::chunk_of(start)..).zip(bytes.chunks(CHUNK_BYTES)) {
            let end = position + chunk.len();
            let hash = chunks::hash(chunk);
            let is_wanted = start + position as u64 >= zeros_from;
            if hash != state.table.get(index) || is_wanted {
                // Of a chunk that was cut meanwhile the module still has what lay behind.
                let is_cut = chunk.len() < CHUNK_BYTES && start + (end as u64) < state.module_size;
                changed.push((index, if is_cut { UNKNOWN } else { hash }));
                match runs.last_mut() {
                    Some(last) if last.end == position => last.end = end,
                    _ => runs.push(position..end),
                }
            }
            position = end;
        }
        state.is_changed |= !changed.is_empty();
        for (index, _) in &changed {
            state.table.set(*index, UNKNOWN);
        }
        for run in runs {
            let offset = start + run.start as u64;
            let end = start + run.end as u64;
            self.changing_sink()
                .write(offset, bytes.get(run).unwrap_or_default())?;
            state.module_size = state.module_size.max(end);
        }
        for (index, hash) in &changed {
            state.table.set(*index, *hash);
        }
        Ok(())
    }

    /// Reserves space for the data behind what is reserved already.
    pub(super) fn reserve(&self, state: &mut State, size: u64) -> Result<(), Errno> {
        let mut offset = state.reserved_to;
        state.reserved_to = size;
        state.held_to = size;
        while let Some((start, end)) = next_data(&self.file(), offset, size) {
            self.changing_sink().reserve(start, end - start)?;
            offset = end;
        }
        Ok(())
    }
}
