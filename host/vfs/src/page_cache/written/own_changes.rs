//! Writing to the module moves the times of its file. Until they are set to what they are to be, here are those that the
//! file would have if only callers had changed it.
//!
//! Neighbours: `transfer` (writes, then sets the times), `object::inode` (shows them). Locks: a leaf.

use parking_lot::Mutex;

use crate::attributes::Timestamp;

/// The times of the last changes, of the contents and of the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangeTimes {
    /// `st_mtime`
    pub(crate) modified: Timestamp,
    /// `st_ctime`
    pub(crate) changed: Timestamp,
}

/// What is true of the module's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnChanges {
    /// What is true while the module's own times are not; `None`: they are.
    pub(crate) instead: Option<ChangeTimes>,
    /// How often they were set right: who finds another number has to ask the module once more.
    pub(crate) settled: u64,
}

#[derive(Debug, Default)]
pub(super) struct Keeper(Mutex<OwnChanges>);

impl Keeper {
    pub(super) fn get(&self) -> OwnChanges {
        *self.0.lock()
    }

    /// The module is about to be written to, and has these times so far.
    pub(super) fn begin(&self, times: ChangeTimes) {
        self.0.lock().instead.get_or_insert(times);
    }

    /// A caller changed the inode, at this time.
    pub(super) fn changed_by_caller(&self, time: Timestamp) {
        if let Some(times) = &mut self.0.lock().instead {
            times.changed = times.changed.max(time);
        }
    }

    /// The module's times are right.
    pub(super) fn settle(&self) {
        let mut own = self.0.lock();
        own.instead = None;
        own.settled = own.settled.wrapping_add(1);
    }
}
