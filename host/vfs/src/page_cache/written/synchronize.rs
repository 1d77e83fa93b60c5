//! When a written file is looked at: on fsync(2) and its like, by the clock, and when somebody needs the module to have it.
//!
//! Neighbours: `transfer` (one write-back), `write_back` and `watcher` of the page cache (ask). Locks: `state`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::{IDLE_SHARE, Look, MAPPED_PERIOD, Reporter, Seen, State, WrittenFile};

impl WrittenFile {
    /// Writes what changed. An error is remembered as well as answered.
    ///
    /// # Errors
    /// Those of the module and of reading the backing file.
    pub(in crate::page_cache) fn write_back(&self, look: Look) -> Result<(), Errno> {
        self.write_back_locked(&mut self.state.lock(), look)
    }

    /// Writes what changed between two places, as far as the module's file reaches. An error is remembered as well as
    /// answered.
    ///
    /// # Errors
    /// Those of the module and of reading the backing file.
    pub(in crate::page_cache) fn write_back_range(
        &self,
        start: u64,
        end: u64,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if self.is_abandoned() || !self.sink().has_name() {
            return Ok(());
        }
        let stat = fstat(&*self.file())?;
        let result = self.transfer_range(&mut state, &stat, start, end);
        if let Err(error) = result {
            state.is_failing = true;
            state.errors.note(error, self.opens());
        }
        result
    }

    /// fsync(2), or fdatasync(2) when `data_only`: writes what changed and makes it durable. `None`: it is clean by now, and
    /// the module's file has to be asked for again.
    ///
    /// # Errors
    /// Those of writing back, now or at any time since `reporter` was last told.
    pub(in crate::page_cache) fn synchronize(
        &self,
        reporter: &dyn Reporter,
        data_only: bool,
    ) -> Option<Result<(), Errno>> {
        let mut state = self.state.lock();
        if self.is_released.load(Ordering::Acquire) {
            return None;
        }
        let result = self.synchronize_locked(&mut state, data_only);
        match state.errors.take(reporter, self.opens()) {
            Some(error) => Some(Err(error)),
            None => Some(result),
        }
    }

    /// Somebody wrote who asked by O_SYNC or O_DSYNC that it be durable at once.
    ///
    /// # Errors
    /// Those of writing back, which are remembered as well.
    pub(in crate::page_cache) fn make_durable(&self) -> Result<(), Errno> {
        let flags = self.prompt_flags.load(Ordering::Acquire);
        let data_only = flags & libc::O_SYNC != libc::O_SYNC;
        self.synchronize_locked(&mut self.state.lock(), data_only)
    }

    fn synchronize_locked(&self, state: &mut State, data_only: bool) -> Result<(), Errno> {
        self.write_back_locked(state, Look::Quick)?;
        if self.is_abandoned() || !self.sink().has_name() {
            return Ok(());
        }
        let result = self.sink().synchronize(data_only);
        if let Err(error) = result {
            state.errors.note(error, self.opens());
        }
        result
    }

    /// Was it ever opened with O_SYNC or O_DSYNC?
    pub(in crate::page_cache) fn is_prompt(&self) -> bool {
        self.prompt_flags.load(Ordering::Acquire) != 0
    }

    /// The tick of the clock: reserves space for what was added, and writes what has waited long enough.
    pub(in crate::page_cache) fn tick(&self, limit: Duration) {
        if self.is_abandoned() {
            return;
        }
        let Some(mut state) = self.state.try_lock() else {
            return; // somebody is at it
        };
        state.unmap_resting();
        let Ok(stat) = fstat(&*self.file()) else {
            return;
        };
        let size = Seen::of(&stat).size;
        if size > state.reserved_to
            && self.sink().has_name()
            && self.reserve(&mut state, size).is_err()
        {
            // What fits is written now, and what does not is known to the next fsync.
            let _ = self.write_back_locked(&mut state, Look::Thorough);
            return;
        }
        let elapsed = state.last_look.elapsed();
        if elapsed < state.cost.saturating_mul(IDLE_SHARE) {
            return;
        }
        let is_mappable = self.is_mappable.load(Ordering::Acquire);
        let may_be_mapped = is_mappable && elapsed >= MAPPED_PERIOD;
        let is_due = self.is_prompt() || elapsed >= limit;
        if may_be_mapped || is_due && !self.looks_unchanged(&state, &stat) {
            let _ = self.write_back_locked(&mut state, Look::Thorough);
        }
    }

    /// Does the backing file look as it did when it was last read?
    fn looks_unchanged(&self, state: &State, stat: &Stat) -> bool {
        state.seen == Some(Seen::of(stat)) && !state.is_failing
    }

    /// The same, for who holds the state.
    pub(in crate::page_cache) fn write_back_locked(
        &self,
        state: &mut State,
        look: Look,
    ) -> Result<(), Errno> {
        let start = Instant::now();
        let stat = fstat(&*self.file())?;
        let may_trust = look == Look::Quick && !self.is_mappable.load(Ordering::Acquire);
        if may_trust && self.looks_unchanged(state, &stat) {
            return Ok(());
        }
        if self.is_abandoned() || !self.sink().has_name() {
            return Ok(());
        }
        if look == Look::Quick {
            state.is_synchronized(&self.file(), &stat);
        }
        let result = self.transfer(state, &stat, look);
        state.is_failing = result.is_err();
        match result {
            Ok(()) => state.errors.has_recovered = true,
            Err(error) => state.errors.note(error, self.opens()),
        }
        state.last_look = Instant::now();
        state.cost = start.elapsed();
        result
    }
}
