//! Changes to a mounted image.
//!
//! | Module     | Responsibility                                                        |
//! |------------|-----------------------------------------------------------------------|
//! | `mount`    | whether and how a volume becomes writable; clean unmount              |
//! | `commit`   | the running transaction: seal, commit, checkpoint                     |
//! | `unlogged` | the same without a journal                                           |
//! | `groups`   | descriptors and bitmaps in memory, zones that are never data          |
//! | `blocks`, `inodes` | allocation                                                    |
//! | `edit`     | an inode's bytes being changed                                        |
//! | `extents`, `indirect`, `map` | maps that change                                    |
//! | `file`, `truncate`, `allocate`, `shift` | content                                  |
//! | `entries`, `directory`, `htree` | names in directories                             |
//! | `names`, `rename`, `create` | operations on names                                  |
//! | `attributes`, `flags`, `xattrs` | owner, mode, times; inode flags; extended attributes |
//! | `orphans`  | inodes without names                                                  |
//!
//! Every operation runs as [`Op::run`]: it either happens as a whole or leaves no trace, and its changes
//! belong to one transaction. Many operations share a transaction; it is committed by fsync and the
//! like, and when it grows large.
//!
//! Lock order: the [`Writer`] is behind the volume's write lock, above all locks of the reading side.

pub(crate) mod allocate;
pub(crate) mod attributes;
pub(crate) mod blocks;
pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod directory;
pub(crate) mod edit;
pub(crate) mod entries;
pub(crate) mod extents;
pub(crate) mod file;
pub(crate) mod flags;
pub(crate) mod groups;
pub(crate) mod htree;
pub(crate) mod indirect;
pub(crate) mod inodes;
pub(crate) mod map;
pub(crate) mod mount;
pub(crate) mod names;
pub(crate) mod orphans;
pub(crate) mod rename;
pub(crate) mod shift;
pub(crate) mod truncate;
mod unlogged;
pub(crate) mod xattrs;

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use foldhash::{HashMap, HashSet};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::inode::Time;
use crate::journal;
use crate::volume::Volume;
use groups::{Group, Zones};

/// The state of a writable volume.
pub(crate) struct Writer {
    pub(crate) journal: Option<journal::Writer>,
    pub(crate) groups: Vec<Group>,
    pub(crate) totals: Totals,
    pub(crate) zones: Zones,
    /// The inode tables, which are a part of the zones.
    pub(crate) tables: Zones,
    /// Groups whose descriptor differs from the one on disk.
    pub(crate) touched: BTreeSet<u32>,
    /// Freed blocks, as bitmaps by group, that must not be used before the running transaction commits.
    pub(crate) pending: HashMap<u32, Vec<u8>>,
    /// Without a journal: inodes freed in the running transaction, which must not be used before it commits.
    pub(crate) freed_inodes: HashSet<u32>,
    /// References that the host holds. A leaf lock: readers count too.
    pub(crate) references: Mutex<HashMap<u32, u64>>,
    /// Inodes on the orphan list, the head last.
    pub(crate) orphans: Vec<u32>,
    /// A write failed: nothing is written any more.
    pub(crate) has_failed: bool,
    /// Blocks that only root may use.
    pub(crate) reserved_blocks: u64,
    /// `s_def_hash_version`.
    pub(crate) hash_version: u8,
    /// When the running transaction's first change may have been made.
    pub(crate) committed: Instant,
    /// Number for the next inode's generation.
    pub(crate) generation: u32,
    undo: Undo,
}

/// Sums over the groups.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
    pub(crate) directories: u64,
    /// Free, but not before the next commit.
    pub(crate) pending_blocks: u64,
}

/// What the current operation has changed in memory.
#[derive(Default)]
struct Undo {
    groups: HashMap<u32, Group>,
    totals: Totals,
    /// Group, first bit, count.
    freed: Vec<(u32, u32, u32)>,
    freed_inodes: Vec<u32>,
    orphans: Option<Vec<u32>>,
}

/// Who asks for an operation.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// What it writes was accepted before, when there was room: it may have what the filesystem keeps back (Linux:
    /// `EXT4_MB_DELALLOC_RESERVED`).
    pub(crate) is_late: bool,
}

/// One operation: the volume and its writable state.
pub(crate) struct Op<'a> {
    pub(crate) volume: &'a Volume,
    pub(crate) writer: &'a mut Writer,
    pub(crate) caller: Caller,
}

/// The time of now.
pub(crate) fn now() -> Time {
    time(SystemTime::now())
}

/// A time as inodes have it.
pub(crate) fn time(time: SystemTime) -> Time {
    let (seconds, nanoseconds) = fuse_compat::time::seconds_nanoseconds(time);
    Time {
        seconds,
        nanoseconds,
    }
}

/// `Err` with an errno.
pub(crate) fn refuse<T>(errno: i32) -> Result<T> {
    Err(Error::Refused(errno))
}

impl Writer {
    /// Counts a reference that the host gets.
    pub(crate) fn refer(&self, number: u32) {
        let mut references = self.references.lock();
        let count = references.entry(number).or_insert(0);
        *count = count.saturating_add(1);
    }
}

impl Op<'_> {
    /// Runs `change` as a whole: when it fails, nothing of it stays. Commits when the transaction is large.
    /// When blocks or inodes are only missing until a commit, commits and tries again.
    ///
    /// # Errors
    /// Those of `change`; EROFS after a failed write; EIO when the commit fails.
    pub(crate) fn run<T>(&mut self, mut change: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        if self.writer.has_failed {
            return refuse(libc::EROFS);
        }
        let mut result = self.attempt(&mut change);
        if matches!(result, Err(Error::Refused(libc::ENOSPC)))
            && (self.writer.totals.pending_blocks > 0 || !self.writer.freed_inodes.is_empty())
        {
            self.commit()?;
            result = self.attempt(&mut change);
        }
        if result.is_ok() && (self.is_transaction_large() || self.is_transaction_old()) {
            self.commit()?;
        }
        result
    }

    fn attempt<T>(&mut self, change: &mut impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        self.volume.blocks.changes.begin();
        self.writer.undo = Undo {
            totals: self.writer.totals,
            ..Undo::default()
        };
        let result = change(self);
        match &result {
            Ok(_) => self.volume.blocks.changes.keep(),
            Err(_) => self.take_back(),
        }
        result
    }

    fn take_back(&mut self) {
        let undo = std::mem::take(&mut self.writer.undo);
        for (group, first, count) in undo.freed {
            if let Some(bits) = self.writer.pending.get_mut(&group) {
                groups::clear_bits(bits, first, count);
            }
        }
        for number in undo.freed_inodes {
            self.writer.freed_inodes.remove(&number);
        }
        for (number, group) in undo.groups {
            if let Some(place) = self.writer.groups.get_mut(number as usize) {
                *place = group;
            }
        }
        self.writer.totals = undo.totals;
        if let Some(orphans) = undo.orphans {
            self.writer.orphans = orphans;
        }
        self.volume.blocks.changes.take_back();
        self.volume.forget_inodes();
    }

    /// Remembers the orphan list before it changes.
    pub(crate) fn save_orphans(&mut self) {
        if self.writer.undo.orphans.is_none() {
            self.writer.undo.orphans = Some(self.writer.orphans.clone());
        }
    }

    /// Remembers a group before it changes, and that its descriptor has to be written.
    pub(crate) fn touch_group(&mut self, number: u32) -> Result<&mut Group> {
        let Some(group) = self.writer.groups.get_mut(number as usize) else {
            return refuse(libc::EIO);
        };
        self.writer
            .undo
            .groups
            .entry(number)
            .or_insert_with(|| group.clone());
        self.writer.touched.insert(number);
        Ok(group)
    }

    /// Remembers an inode that was freed.
    pub(crate) fn note_freed_inode(&mut self, number: u32) {
        if self.writer.journal.is_none() && self.writer.freed_inodes.insert(number) {
            self.writer.undo.freed_inodes.push(number);
        }
    }

    /// Remembers blocks that were freed.
    pub(crate) fn note_freed(&mut self, group: u32, first: u32, count: u32) {
        self.writer.undo.freed.push((group, first, count));
    }
}
