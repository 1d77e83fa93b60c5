//! A file that is open for writing, or has changes that its module has not seen.
//!
//! Tracees write natively into the backing file; [`WrittenFile::write_back`] finds what differs from what the module
//! has (see `chunks`) and hands it on. The module's file is made shorter before, and longer after, the writes; the time
//! of the last change follows. A change that comes while a write-back runs is found by the next one: hashes are always
//! those of the bytes that were sent.
//!
//! What failed stays changed and is tried again; nothing is dropped until the last drain gives up. Every error is kept
//! in [`Errors`] until each open file description has been told once.
//!
//! | Module        | Responsibility                                      |
//! |---------------|-----------------------------------------------------|
//! | `synchronize` | when it is written back: fsync(2), the clock        |
//! | `transfer`    | one write-back                                      |
//! | `view`        | looking at files that are synchronized often        |
//! | `data`        | reading where there is data                         |
//! | `own_changes` | the times that are true meanwhile                   |
//! | `errors`      | what went wrong, and who has been told              |
//! | `released`    | what stands for it when it was let go               |
//! | `sink`        | the module's side                                   |
//!
//! Locks: `state` is held while the module works. It is taken after `CachedFile::content`, never before.

mod data;
mod errors;
mod own_changes;
mod released;
mod sink;
mod synchronize;
mod transfer;
mod view;

pub(super) use data::{for_each_data, next_data};
pub use errors::{Descriptor, Reporter};
pub(crate) use own_changes::ChangeTimes;
pub(super) use own_changes::OwnChanges;
pub(crate) use sink::ContentSink;

use errors::Errors;
use released::Released;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use view::{Mapped, Synchronized};

use parking_lot::{Mutex, MutexGuard, RwLock};
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::FileKey;
use super::chunks::{self, CHUNK_BYTES, ChunkTable};
use super::relocation::Growth;
use crate::attributes::{Attributes, Timestamp};

/// A time of change this close to the moment of looking does not prove that nothing changed since: times have the
/// grain of a clock tick.
const CLOCK_GRAIN: Duration = Duration::from_millis(50);
/// Stores through a mapping do not move the time of a file in memory, so files that may be mapped for writing are
/// read this often though nothing tells of a change.
const MAPPED_PERIOD: Duration = Duration::from_secs(30);
/// Looking at a file takes at most one part in this many of the time.
const IDLE_SHARE: u32 = 20;

/// How closely a write-back looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Trusts the times of the backing file where they can be trusted.
    Quick,
    /// Compares the contents.
    Thorough,
}

/// The backing file as it was when it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    size: u64,
    modified: Timestamp,
    changed: Timestamp,
}

impl Seen {
    fn of(stat: &Stat) -> Seen {
        let attributes = Attributes::from_stat(stat);
        Seen {
            size: attributes.size,
            modified: attributes.modified,
            changed: attributes.changed,
        }
    }

    /// Was the last change long enough before `now` that a later one would show?
    fn is_proof(&self, now: Timestamp) -> bool {
        let last = SystemTime::from(self.modified.max(self.changed));
        SystemTime::from(now)
            .duration_since(last)
            .is_ok_and(|age| age > CLOCK_GRAIN)
    }
}

/// What is known of the module's side.
pub(super) struct State {
    table: ChunkTable,
    module_size: u64,
    module_modified: Timestamp,
    /// That time was asked for, and writes are not to move it: the module's time of the last change of the inode then.
    time_set: Option<Timestamp>,
    /// Space is reserved up to here.
    reserved_to: u64,
    /// The part of it that nobody asked for but the view, for what was written natively.
    held_to: u64,
    /// The backing file has been read in this state, and all that differed was written.
    seen: Option<Seen>,
    /// The module was given bytes or a size since it was last given times.
    is_changed: bool,
    last_look: Instant,
    /// How long the last look took.
    cost: Duration,
    is_failing: bool,
    errors: Errors,
    synchronized: Synchronized,
    /// A view of the backing file, while it is synchronized often.
    mapped: Option<Mapped>,
}

impl State {
    /// The module's file has this size now.
    pub(super) fn resized(&mut self, size: u64) {
        self.table.resize(size);
        self.module_size = size;
        self.reserved_to = self.reserved_to.min(size);
        self.seen = None;
    }

    /// The same, if that is news.
    pub(super) fn resized_to(&mut self, size: u64) {
        if size != self.module_size {
            self.resized(size);
        }
    }

    /// The module has reserved space for these bytes.
    pub(super) fn reserved(&mut self, start: u64, end: u64) {
        if start <= self.reserved_to {
            self.reserved_to = self.reserved_to.max(end);
        }
    }

    /// The hash of a chunk that the module has.
    pub(super) fn chunk(&self, index: u64) -> u64 {
        self.table.get(index)
    }

    /// The module has this chunk now.
    pub(super) fn set_chunk(&mut self, index: u64, hash: u64) {
        self.table.set(index, hash);
        self.seen = None;
    }

    /// Is more reserved than a file of this size needs?
    pub(super) fn holds_behind(&self, size: u64) -> bool {
        self.held_to > size
    }

    /// Forgets all chunks from this one on; answers which were not known to be zeros.
    pub(super) fn take_chunks_from(&mut self, first: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut next = first;
        while let Some(index) = self.table.next_data(next, u64::MAX) {
            found.push(index);
            next = index + 1;
        }
        self.table.clear_from(first);
        found
    }

    /// Bytes that the module's file is known to have.
    pub(super) fn module_size(&self) -> u64 {
        self.module_size
    }

    /// The first chunk from `from` on and before `to` that is not known to be zeros.
    pub(super) fn next_chunk(&self, from: u64, to: u64) -> Option<u64> {
        self.table.next_data(from, to)
    }

    /// The module has this time.
    fn set_modified(&mut self, modified: Timestamp, changed: Timestamp) {
        self.module_modified = modified;
        self.time_set = Some(changed);
        self.seen = None;
    }
}

/// A file with a writer, or with changes to be written.
pub(crate) struct WrittenFile {
    pub(super) key: FileKey,
    /// Path in the view when it was opened, for messages.
    pub(super) path: Vec<u8>,
    /// The same open file description that the cache has. Another one after the file has moved (see `relocation`). A
    /// leaf.
    descriptor: RwLock<Arc<OwnedFd>>,
    /// The file at the module; let go when the file is clean. A leaf.
    sink: RwLock<Arc<dyn ContentSink>>,
    /// That has happened. Changed under `state`.
    is_released: AtomicBool,
    /// Somebody could map it for writing (opened for reading and writing).
    is_mappable: AtomicBool,
    /// O_SYNC and O_DSYNC as far as it was opened with them: it is made durable when it is written to, and looked at on every tick.
    prompt_flags: AtomicI32,
    /// How often it was opened for writing.
    opens: AtomicU64,
    /// The time of the last change when the mode was set: a later one is a write, which takes set-id bits away. A leaf.
    mode_set_at: Mutex<Timestamp>,
    /// When it grew last, as far as somebody looked.
    pub(super) growth: Growth,
    own_changes: own_changes::Keeper,
    /// Nothing is written to the module any more.
    is_abandoned: AtomicBool,
    state: Mutex<State>,
}

impl WrittenFile {
    /// A file whose backing file `descriptor` has what the module has.
    ///
    /// # Errors
    /// Those of reading the backing file.
    pub(super) fn new(
        key: FileKey,
        path: &[u8],
        descriptor: Arc<OwnedFd>,
        sink: Arc<dyn ContentSink>,
    ) -> Result<WrittenFile, Errno> {
        let seen = Seen::of(&fstat(&descriptor)?);
        let mut table = ChunkTable::default();
        let mut buffer = Vec::new();
        for_each_data(&descriptor, seen.size, &mut buffer, |offset, bytes| {
            for (index, chunk) in (chunks::chunk_of(offset)..).zip(bytes.chunks(CHUNK_BYTES)) {
                table.set(index, chunks::hash(chunk));
            }
            Ok(())
        })?;
        Ok(WrittenFile {
            key,
            path: path.to_vec(),
            descriptor: RwLock::new(descriptor),
            sink: RwLock::new(sink),
            is_released: AtomicBool::new(false),
            is_mappable: AtomicBool::new(false),
            prompt_flags: AtomicI32::new(0),
            opens: AtomicU64::new(0),
            mode_set_at: Mutex::new(seen.modified),
            growth: Growth::default(),
            own_changes: own_changes::Keeper::default(),
            is_abandoned: AtomicBool::new(false),
            state: Mutex::new(State {
                table,
                module_size: seen.size,
                module_modified: seen.modified,
                time_set: None,
                reserved_to: seen.size,
                held_to: 0,
                seen: None,
                is_changed: false,
                last_look: Instant::now(),
                cost: Duration::ZERO,
                is_failing: false,
                errors: Errors::default(),
                synchronized: Synchronized::default(),
                mapped: None,
            }),
        })
    }

    /// The backing file, open for reading.
    pub(super) fn file(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.descriptor.read())
    }

    /// The contents are in another backing file now, which differs in nothing but its time of change. `state`: of this
    /// file.
    pub(super) fn moved(&self, state: &mut State, descriptor: Arc<OwnedFd>) {
        *self.descriptor.write() = descriptor;
        state.seen = None;
        state.mapped = None;
    }

    /// As [`WrittenFile::state`], but waits no longer than this.
    pub(super) fn state_within(&self, limit: Duration) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock_for(limit)
    }

    /// Somebody opens it with these flags of open(2).
    pub(super) fn opened(&self, flags: i32) {
        self.opens.fetch_add(1, Ordering::AcqRel);
        if flags & libc::O_ACCMODE != libc::O_WRONLY {
            self.is_mappable.store(true, Ordering::Release);
        }
        // The first bit is also in the second.
        let prompt_flags = flags & (libc::O_DSYNC | libc::O_SYNC);
        self.prompt_flags.fetch_or(prompt_flags, Ordering::AcqRel);
    }

    /// Size and times as they are, and whether somebody wrote after the mode was set.
    pub(super) fn attributes(&self) -> Option<(Attributes, bool)> {
        let attributes = Attributes::from_stat(&fstat(&*self.file()).ok()?);
        let drops_set_ids = attributes.modified != *self.mode_set_at.lock();
        Some((attributes, drops_set_ids))
    }

    /// The mode was set.
    pub(super) fn mode_set(&self) {
        if let Ok(stat) = fstat(&*self.file()) {
            *self.mode_set_at.lock() = Seen::of(&stat).modified;
        }
    }

    /// The module has these times of the last change (of the contents, of the inode): the backing file gets it as well.
    ///
    /// # Errors
    /// Those of futimens(2).
    pub(super) fn set_modified(
        &self,
        state: &mut State,
        time: Timestamp,
        changed: Timestamp,
    ) -> Result<(), Errno> {
        let before = Seen::of(&fstat(&*self.file())?).modified;
        set_times(&self.file(), time)?;
        let mut mode_set_at = self.mode_set_at.lock();
        if *mode_set_at == before {
            *mode_set_at = time;
        }
        drop(mode_set_at);
        state.set_modified(time, changed);
        self.own_changes.settle();
        Ok(())
    }

    /// The module is to be let go: whoever is writing to it stops.
    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    /// How often it was opened for writing.
    pub(super) fn opens(&self) -> u64 {
        self.opens.load(Ordering::Acquire)
    }

    /// Has nobody looked at it for this long?
    pub(super) fn is_due(&self, limit: Duration) -> bool {
        let Some(state) = self.state.try_lock() else {
            return false;
        };
        let wait = limit.max(state.cost.saturating_mul(IDLE_SHARE));
        state.last_look.elapsed() >= wait
    }

    /// What the module is known to have. Held over a change of both sides.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The module's file has this size, and space that was reserved behind is needed no more: setting the size once more gives
    /// it back, as ftruncate(2) does.
    ///
    /// # Errors
    /// Those of the module.
    pub(super) fn give_up_behind(&self, state: &mut State, size: u64) -> Result<(), Errno> {
        if state.holds_behind(size) {
            state.held_to = size;
            state.reserved_to = state.reserved_to.min(size);
            self.changing_sink().set_size(size)?;
        }
        Ok(())
    }

    pub(super) fn sink(&self) -> Arc<dyn ContentSink> {
        Arc::clone(&self.sink.read())
    }

    /// The module's side, for writing to it: the times that it has so far stay true until they are set.
    pub(super) fn changing_sink(&self) -> Arc<dyn ContentSink> {
        let sink = self.sink();
        if self.own_changes.get().instead.is_none()
            && let Ok(times) = sink.times()
        {
            self.own_changes.begin(times);
        }
        sink
    }

    /// What is true of the module's times.
    pub(super) fn own_changes(&self) -> OwnChanges {
        self.own_changes.get()
    }

    /// A caller changed the inode, at this time.
    pub(super) fn changed_by_caller(&self, time: Timestamp) {
        self.own_changes.changed_by_caller(time);
    }

    /// The file is clean: lets the module's file go. Who still holds this does not keep it, so that the module can give the
    /// space of a removed file away at once. What was opened with O_SYNC keeps it: somebody may be about to make it durable.
    pub(super) fn release(&self) {
        let state = self.state.lock(); // nobody uses it
        if self.prompt_flags.load(Ordering::Acquire) != 0 {
            return;
        }
        self.is_released.store(true, Ordering::Release);
        let sink = std::mem::replace(&mut *self.sink.write(), Arc::new(Released));
        drop(state);
        drop(sink);
    }

    /// Is anybody able to write to it? What the kernel cannot tell counts as yes.
    pub(super) fn has_writer(&self) -> bool {
        view_sys::file::is_written_elsewhere(&*self.file()).unwrap_or(true)
    }
}

impl std::fmt::Debug for WrittenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrittenFile")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Sets the time of the last change of a file that this process owns.
pub(super) fn set_times(descriptor: &OwnedFd, modified: Timestamp) -> Result<(), Errno> {
    let omit = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    };
    let times = rustix::fs::Timestamps {
        last_access: omit,
        last_modification: rustix::fs::Timespec {
            tv_sec: modified.seconds,
            tv_nsec: i64::from(modified.nanoseconds),
        },
    };
    rustix::fs::futimens(descriptor, &times)
}

#[cfg(test)]
mod tests;
