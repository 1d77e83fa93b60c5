//! Looking at a backing file without reading it, for files that are synchronized again and again.
//!
//! Reading a file in memory costs four times as much as looking at it where it is: the kernel takes each page of 4 KiB
//! by itself, and the bytes go through the caches twice. A file that fsync(2) comes back to is therefore mapped, and
//! kept so while it does; chunks whose hash is what the module has are passed over. What is handed on is always read.
//!
//! Neighbours: `transfer` (looks), `written` (keeps the mapping under its state's lock). No locks.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::Stat;
use view_sys::mapping::FileMapping;

use super::State;
use super::data::BUFFER_BYTES;
use crate::page_cache::chunks::{self, CHUNK_BYTES, ChunkTable};

/// Smaller files are read: that costs less than a page fault for each 64 KiB.
const SMALLEST: u64 = 256 * 1024;
/// Larger ones are read as well: page tables and the time to fill them are not for nothing.
const LARGEST: u64 = 4 << 30;
/// A file is mapped when this many synchronizations have come, none later than [`REST`] after the last.
const ENOUGH: u32 = 3;
const REST: Duration = Duration::from_secs(10);
/// The mapping reaches further than the file, which may grow.
const STEP: u64 = 16 << 20;

/// A backing file that can be looked at.
#[derive(Debug)]
pub(super) struct Mapped {
    mapping: FileMapping,
    /// It has no holes, as far as the number of its blocks tells.
    pub(super) is_dense: bool,
}

/// How often a file is synchronized.
#[derive(Debug)]
pub(super) struct Synchronized {
    times: u32,
    last: Instant,
}

impl Default for Synchronized {
    fn default() -> Synchronized {
        Synchronized {
            times: 0,
            last: Instant::now(),
        }
    }
}

impl State {
    /// Somebody waits for the file, which looks like `stat`, to be synchronized.
    pub(super) fn is_synchronized(&mut self, file: &OwnedFd, stat: &Stat) {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if !(SMALLEST..=LARGEST).contains(&size) {
            self.mapped = None;
            return;
        }
        if self.synchronized.last.elapsed() > REST {
            self.synchronized.times = 0;
        }
        self.synchronized.times = self.synchronized.times.saturating_add(1);
        self.synchronized.last = Instant::now();
        if self.synchronized.times < ENOUGH {
            return;
        }
        if self
            .mapped
            .as_ref()
            .is_none_or(|mapped| (mapped.mapping.length() as u64) < size)
        {
            self.mapped = None;
            let length = size.next_multiple_of(STEP) as usize;
            self.mapped = FileMapping::new(file, length).ok().map(|mapping| Mapped {
                mapping,
                is_dense: false,
            });
        }
        if let Some(mapped) = &mut self.mapped {
            let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
            mapped.is_dense = blocks.saturating_mul(512) >= size;
        }
    }

    /// The tick of the clock: what nobody comes back to is mapped no more.
    pub(super) fn unmap_resting(&mut self) {
        if self.mapped.is_some() && self.synchronized.last.elapsed() > REST {
            self.mapped = None;
        }
    }
}

impl Mapped {
    /// Was the file cut while it was looked at? What was found counts for nothing then.
    pub(super) fn is_damaged(&self) -> bool {
        self.mapping.is_damaged()
    }

    /// The first run of chunks between `start` and `end` (a chunk's start, or the end of the file) that differ from what
    /// the module has, as far as can be seen here; it is empty, at `end`, when all are alike.
    pub(super) fn next_change(&self, table: &ChunkTable, start: u64, end: u64) -> (u64, u64) {
        let chunk = CHUNK_BYTES as u64;
        let seen = self.mapping.pages();
        let whole = chunks::chunk_of(end);
        let hash = |index: u64| match seen.get(index as usize) {
            Some(page) if index < whole => Some(chunks::hash_mapped(page)),
            // What is left behind the last whole chunk is read.
            _ => None,
        };
        let chunks = chunks::chunk_of(start)..end.div_ceil(chunk);
        let Some(first) = table.find(chunks.clone(), false, hash) else {
            return (end, end);
        };
        let most = chunks.end.min(first + BUFFER_BYTES as u64 / chunk);
        let after = table.find(first + 1..most, true, hash).unwrap_or(most);
        (first * chunk, (after * chunk).min(end))
    }
}
