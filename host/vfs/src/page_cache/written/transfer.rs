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
        // Zeros that somebody wrote at the end and wants to have on the disk are to have their place there, as a database
        // that makes its log so expects. Otherwise they may stay holes.
        let zeros_from = match look {
            Look::Quick => state.module_size,
            Look::Thorough => u64::MAX,
        };
        let compared = Compared {
            size: before.size,
            zeros_from,
        };
        let mapped = state.mapped.take();
        has_changed |= self.compare(state, compared, mapped.as_ref())?;
        match mapped {
            // It was cut while it was looked at.
            Some(mapped) if mapped.is_damaged() => {
                has_changed |= self.compare(state, compared, None)?;
            }
            mapped => state.mapped = mapped,
        }
        if state.module_size < before.size {
            self.sink.set_size(before.size)?;
            state.module_size = before.size;
        }
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

    /// Writes what differs. Was there anything?
    fn compare(
        &self,
        state: &mut State,
        compared: Compared,
        mapped: Option<&Mapped>,
    ) -> Result<bool, Errno> {
        let size = compared.size;
        let file = self.file();
        let mut buffer = Vec::new();
        let mut has_changed = false;
        let mut next = 0;
        let is_dense = mapped.is_some_and(|mapped| mapped.is_dense);
        let range_from = |offset| match is_dense {
            true => (offset < size).then_some((offset, size)),
            false => next_chunks(&file, offset, size),
        };
        'data: while let Some((start, end)) = range_from(next) {
            has_changed |= self.write_hole(state, next, start, size)?;
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
                has_changed |= self.write_changed(state, from, bytes, compared.zeros_from)?;
                next = from + bytes.len() as u64;
                if next < until {
                    break 'data; // cut meanwhile: the next look sees it
                }
                at = until;
            }
        }
        Ok(has_changed | self.write_hole(state, next, size, size)?)
    }

    /// Between `start` and `end` (a chunk's start, or the end of the file) the backing file has a hole.
    fn write_hole(
        &self,
        state: &mut State,
        start: u64,
        end: u64,
        size: u64,
    ) -> Result<bool, Errno> {
        static NOTHING: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
        let mut has_changed = false;
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
            self.sink
                .write(offset, NOTHING.get(..length as usize).unwrap_or_default())?;
            for index in first..next {
                state.table.set(index, ZEROS);
            }
            state.module_size = state.module_size.max(offset + length);
            has_changed = true;
        }
        Ok(has_changed)
    }

    /// Writes the chunks of `bytes` (which starts at a chunk's start) that differ, in runs as long as possible.
    fn write_changed(
        &self,
        state: &mut State,
        start: u64,
        bytes: &[u8],
        zeros_from: u64,
    ) -> Result<bool, Errno> {
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
        for (index, _) in &changed {
            state.table.set(*index, UNKNOWN);
        }
        for run in runs {
            let offset = start + run.start as u64;
            let end = start + run.end as u64;
            self.sink
                .write(offset, bytes.get(run).unwrap_or_default())?;
            state.module_size = state.module_size.max(end);
        }
        for (index, hash) in &changed {
            state.table.set(*index, *hash);
        }
        Ok(!changed.is_empty())
    }

    /// Reserves space for the data behind what is reserved already.
    pub(super) fn reserve(&self, state: &mut State, size: u64) -> Result<(), Errno> {
        let mut offset = state.reserved_to;
        state.reserved_to = size;
        while let Some((start, end)) = next_data(&self.file(), offset, size) {
            self.sink.reserve(start, end - start)?;
            offset = end;
        }
        Ok(())
    }
}
