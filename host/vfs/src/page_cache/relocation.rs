//! Written files begin in memory and move to the spool when they outgrow it.
//!
//! A writer is given a memfd: making one costs a few microseconds, and write(2) runs at the speed of tmpfs. Memory that
//! only a file holds cannot be given back, and nothing stops a native writer from making its file longer than the
//! budget. So somebody who can replace descriptors of other processes (`view-core`'s `relocation`) asks
//! [`PageCache::wait_for_growth`] which files have become too large, stops those who have one open, and has
//! [`PageCache::move_to_spool`] copy it to a file on disk, which takes its place under every descriptor. Without such
//! a caller files for writing are on disk from the start.
//!
//! Too large is: more than 64 MiB or an eighth of the budget, or the largest of those that together have more than half of it.
//! Growth is looked at every 10 ms, so a writer is ahead by what it writes in that time.
//!
//! A file stays in memory, whatever its size, while it is mapped, locked, or open in a process that cannot be stopped;
//! it is tried again from time to time, and new writers go to the spool meanwhile.
//!
//! Locks: as in `page_cache`; `Relocation::rest` and `Growth` are leaves.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::fs::fstat;
use rustix::io::Errno;

use super::is_opened_elsewhere;
use super::written::{WrittenFile, set_times};
use super::{BackingStyle, Content, FileKey, Filled, PageCache, fill, spool};
use crate::attributes::{Attributes, Identity};

/// With a smaller budget every writer goes to the spool.
const SMALLEST_BUDGET: u64 = 16 << 20;
/// Part of the budget that one written file may have in memory, and part that all of them may.
const FILE_SHARE: u64 = 8;
const WRITTEN_SHARE: u64 = 2;
/// Most bytes of one, whatever the budget: larger files are written and read in large pieces, which a disk's filesystem
/// with large folios does faster than memory's (Linux 6.18: ext4 takes half of tmpfs's time to write 1 MiB, a fifth to
/// read it).
const LARGEST_WRITTEN: u64 = 64 << 20;
/// Between two looks while something grows.
const QUICK_LOOK: Duration = Duration::from_millis(10);
/// Between two looks otherwise.
const SLOW_LOOK: Duration = Duration::from_millis(50);
/// A file that has not grown for this long is expected to rest.
const RESTING: Duration = Duration::from_millis(500);
/// Longest wait for a lock while processes stand still.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// First and longest wait after a file could not be moved.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The processes that have a backing file open. They stand still.
pub trait Holders {
    /// Replaces every descriptor of the file `old` (a description of it comes along) by one of `new`, with the same access mode, flags and position;
    /// descriptors that shared a description share one again.
    ///
    /// # Errors
    /// Any: nothing has changed then.
    fn replace(
        &mut self,
        old: (Identity, &OwnedFd),
        new: (Identity, &OwnedFd),
    ) -> Result<(), Errno>;
}

/// A written file that is too large for memory.
#[derive(Clone, Copy, Debug)]
pub struct Outgrown {
    key: FileKey,
    /// Its backing file.
    pub identity: Identity,
}

/// What the page cache knows of all of them.
#[derive(Debug, Default)]
pub(super) struct Relocation {
    is_possible: AtomicBool,
    /// Bytes of all written files in memory, at the last look.
    written_bytes: AtomicU64,
    /// Nobody looks, since nothing can grow.
    rest: Mutex<bool>,
    wake: Condvar,
    /// The pace of looking, in milliseconds.
    pace: AtomicU64,
}

/// What is known of one file's growth.
#[derive(Debug, Default)]
pub(super) struct Growth(Mutex<Option<InMemory>>);

/// A written file in memory.
#[derive(Debug)]
struct InMemory {
    bytes: u64,
    grew_at: Instant,
    retry_at: Instant,
    retry_wait: Duration,
}

impl Growth {
    /// The file is in memory, and somebody begins to write.
    fn begin(&self) {
        let now = Instant::now();
        *self.0.lock() = Some(InMemory {
            bytes: 0,
            grew_at: now,
            retry_at: now,
            retry_wait: FIRST_RETRY,
        });
    }

    /// Records a size. Has it grown lately, and may the file be moved? `None` when it is not in memory.
    fn look(&self, bytes: u64, now: Instant) -> Option<(bool, bool)> {
        let mut state = self.0.lock();
        let state = state.as_mut()?;
        if bytes > state.bytes {
            state.grew_at = now;
        }
        state.bytes = bytes;
        let is_growing = now.saturating_duration_since(state.grew_at) < RESTING;
        Some((is_growing, now >= state.retry_at))
    }

    fn is_in_memory(&self) -> bool {
        self.0.lock().is_some()
    }

    fn postpone(&self) {
        if let Some(state) = self.0.lock().as_mut() {
            state.retry_at = Instant::now() + state.retry_wait;
            state.retry_wait = (state.retry_wait * 2).min(LONGEST_RETRY);
        }
    }
}

impl PageCache {
    /// From now on somebody calls [`PageCache::wait_for_growth`], so that writers may begin in memory.
    pub fn begin_in_memory(&self) {
        let is_possible = self.budget.total_bytes() >= SMALLEST_BUDGET;
        self.relocation
            .is_possible
            .store(is_possible, Ordering::Release);
    }

    fn largest_written(&self) -> u64 {
        (self.budget.total_bytes() / FILE_SHARE).min(LARGEST_WRITTEN)
    }

    /// May a file of this size be written to in memory?
    pub(super) fn admits_writer(&self, bytes: u64) -> bool {
        let written = self.relocation.written_bytes.load(Ordering::Relaxed);
        self.relocation.is_possible.load(Ordering::Acquire)
            && bytes <= self.largest_written()
            && written.saturating_add(bytes) <= self.budget.total_bytes() / WRITTEN_SHARE
    }

    /// A file has its first writer.
    pub(super) fn watch_growth(&self, written: &WrittenFile, is_in_memory: bool) {
        if !is_in_memory {
            return;
        }
        written.growth.begin();
        let mut rest = self.relocation.rest.lock();
        if *rest {
            *rest = false;
            self.relocation.wake.notify_one();
        }
    }

    /// Waits for the next look, at most `limit`, and answers which files have to leave memory now.
    pub fn wait_for_growth(&self, limit: Duration) -> Vec<Outgrown> {
        let mut rest = self.relocation.rest.lock();
        if *rest {
            self.relocation.wake.wait_for(&mut rest, limit);
            if *rest {
                return Vec::new();
            }
        }
        *rest = true;
        drop(rest);
        let pace = Duration::from_millis(self.relocation.pace.load(Ordering::Relaxed));
        std::thread::sleep(pace.clamp(QUICK_LOOK, SLOW_LOOK).min(limit));
        let (found, any) = self.outgrown();
        if any {
            *self.relocation.rest.lock() = false;
        }
        found
    }

    /// Files that have to go, and whether there are any in memory that could grow.
    fn outgrown(&self) -> (Vec<Outgrown>, bool) {
        let now = Instant::now();
        let files: Vec<Arc<WrittenFile>> = self
            .written
            .lock()
            .values()
            .filter(|written| written.growth.is_in_memory())
            .cloned()
            .collect();
        let any = !files.is_empty();
        let mut total = 0;
        // The next that comes may grow at once.
        let mut pace = if any { SLOW_LOOK } else { QUICK_LOOK };
        let mut sizes = Vec::with_capacity(files.len());
        for written in files {
            let Ok(stat) = fstat(&*written.file()) else {
                continue;
            };
            let attributes = Attributes::from_stat(&stat);
            let bytes = attributes.blocks.saturating_mul(512);
            let Some((is_growing, may_move)) = written.growth.look(bytes, now) else {
                continue;
            };
            total += bytes;
            if is_growing {
                pace = QUICK_LOOK;
                self.charge_again(written.key);
            }
            if may_move {
                let identity = Identity {
                    device: stat.st_dev,
                    inode: stat.st_ino,
                };
                let key = written.key;
                sizes.push((bytes, Outgrown { key, identity }));
            }
        }
        let relocation = &self.relocation;
        relocation.written_bytes.store(total, Ordering::Relaxed);
        relocation
            .pace
            .store(pace.as_millis() as u64, Ordering::Relaxed);
        if self.budget.used_bytes() > self.budget.total_bytes() {
            self.evict_until(|budget| budget.used_bytes() <= budget.total_bytes());
        }
        sizes.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut found = Vec::new();
        for (bytes, file) in sizes {
            let is_crowded = total > self.budget.total_bytes() / WRITTEN_SHARE;
            if bytes <= self.largest_written() && !(is_crowded && bytes > 0) {
                break;
            }
            total -= bytes;
            found.push(file);
        }
        (found, any)
    }

    /// It could not be tried: the next look at this file is later.
    pub fn postpone_move(&self, file: &Outgrown) {
        if let Some(written) = self.written.lock().get(&file.key) {
            written.growth.postpone();
        }
    }

    /// Moves a file to the spool. All who have it open stand still until this returns. Answers the old backing file: its
    /// memory is freed when that is dropped, for which nobody has to wait.
    ///
    /// # Errors
    /// `EBUSY` when somebody else has it open or mapped, or it is being worked on; `ENOENT` when it is not in memory any
    /// more; `ENOSPC` and the like when the spool does not take it; those of replacing descriptors. Everything is as it
    /// was then.
    pub fn move_to_spool(
        &self,
        file: &Outgrown,
        holders: &mut dyn Holders,
    ) -> Result<Arc<OwnedFd>, Errno> {
        let cached = self.files.lock().get(&file.key).cloned();
        let cached = cached.ok_or(Errno::NOENT)?;
        let mut content = cached.content.try_lock_for(LOCK_WAIT).ok_or(Errno::BUSY)?;
        let Content::Filled(filled) = &mut *content else {
            return Err(Errno::NOENT);
        };
        let Some(written) = filled.written.clone() else {
            return Err(Errno::NOENT);
        };
        if !filled.is_in_memory || filled.identity != file.identity {
            return Err(Errno::NOENT);
        }
        let mut state = written.state_within(LOCK_WAIT).ok_or(Errno::BUSY)?;
        let (copy, identity) = self.copy_on_disk(filled)?;
        let (old, new) = (filled.identity, identity);
        holders.replace((old, &filled.descriptor), (new, &copy))?;
        if is_opened_elsewhere(filled) {
            // A mapping, or a descriptor that nobody could see: one on its way through a socket, say.
            let undone = holders.replace((new, &copy), (old, &filled.descriptor));
            if let Some(release) = self.release.0.get() {
                release(new);
            }
            undone?;
            return Err(Errno::BUSY);
        }
        let copy = Arc::new(copy);
        written.moved(&mut state, Arc::clone(&copy));
        *written.growth.0.lock() = None;
        let memory = std::mem::replace(&mut filled.descriptor, copy);
        filled.identity = new;
        filled.is_idle.store(false, Ordering::Release);
        filled.is_in_memory = false;
        filled.charge.set(0);
        self.watch_instead(&written);
        if let Some(release) = self.release.0.get() {
            release(old);
        }
        Ok(memory)
    }

    /// A copy of a backing file in the spool.
    fn copy_on_disk(&self, filled: &Filled) -> Result<(OwnedFd, Identity), Errno> {
        let stat = fstat(&filled.descriptor)?;
        let attributes = Attributes::from_stat(&stat);
        let style = BackingStyle {
            is_executable: attributes.mode & 0o111 != 0,
            is_sealed: false,
            name: b"",
        };
        let (writable, is_in_memory) = self.spool.create(&style, false)?;
        if is_in_memory {
            return Err(Errno::NOSPC);
        }
        fill::copy_as_it_is(&writable, &filled.descriptor, attributes.size)?;
        set_times(&writable, attributes.modified)?;
        let copy = spool::publish(&writable, &style, false)?;
        drop(writable);
        let stat = fstat(&copy)?;
        let identity = Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
        };
        Ok((copy, identity))
    }
}
