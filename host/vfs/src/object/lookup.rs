//! From a name in a directory to its dentry: the table of known names of a directory, and the question to the module.
//!
//! An answer of the module is recorded only when no name of the directory changed while the module was thinking
//! (`Table::version`); so no lock is held over the module, and a name just removed does not come back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Weak};

use foldhash::HashMap;
use fuse_compat::{EntryOut, sync};
use parking_lot::RwLock;
use rustix::io::Errno;

use super::clock::{self, Expiry};
use super::dentry::Dentry;
use super::inode::Inode;
use super::{NAME_MAX, module_error};
use crate::attributes::Kind;

/// Negative entries kept for one directory.
const MOST_ABSENT: usize = 1024;
/// How often an answer that a change overtook is asked for again before it is used without being recorded.
const MOST_RETRIES: u32 = 8;

/// Bytes as a module's name.
pub(super) fn os_str(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

/// The known names of a directory.
#[derive(Default)]
pub(super) struct Children {
    table: RwLock<Table>,
}

/// What is known about the names, and how many changes there were.
#[derive(Default)]
pub(super) struct Table {
    names: HashMap<Arc<[u8]>, Slot>,
    absent: usize,
    version: u64,
}

enum Slot {
    Present(Weak<Dentry>),
    Absent(Expiry),
}

impl Children {
    pub(super) fn write(&self) -> parking_lot::RwLockWriteGuard<'_, Table> {
        self.table.write()
    }

    /// The number of changes so far.
    pub(super) fn version(&self) -> u64 {
        self.table.read().version
    }

    /// A dentry went: removes its slot, unless a new one took it.
    pub(super) fn remove_dead(&self, name: &[u8]) {
        let mut table = self.table.write();
        if let Some(Slot::Present(dentry)) = table.names.get(name)
            && dentry.strong_count() == 0
        {
            table.names.remove(name);
        }
    }
}

impl Table {
    /// The live dentry of this name. The caller drops it after unlocking.
    pub(super) fn live(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        match self.names.get(name) {
            Some(Slot::Present(dentry)) => dentry.upgrade(),
            _ => None,
        }
    }

    /// Counts a change.
    pub(super) fn changed(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// The name means `dentry`.
    pub(super) fn set_present(&mut self, name: &Arc<[u8]>, dentry: &Arc<Dentry>) {
        let slot = Slot::Present(Arc::downgrade(dentry));
        if let Some(Slot::Absent(_)) = self.names.insert(Arc::clone(name), slot) {
            self.absent = self.absent.saturating_sub(1);
        }
    }

    /// Nothing is known about the name.
    pub(super) fn set_unknown(&mut self, name: &[u8]) {
        if let Some(Slot::Absent(_)) = self.names.remove(name) {
            self.absent = self.absent.saturating_sub(1);
        }
    }

    /// The name does not exist until `expiry`.
    pub(super) fn set_absent(&mut self, name: &[u8], expiry: Expiry) {
        if expiry == clock::EXPIRED {
            self.set_unknown(name);
            return;
        }
        if self.absent >= MOST_ABSENT {
            self.names
                .retain(|_, slot| !matches!(slot, Slot::Absent(_)));
            self.absent = 0;
        }
        if let Some(slot) = self.names.get_mut(name) {
            if matches!(slot, Slot::Present(_)) {
                self.absent += 1;
            }
            *slot = Slot::Absent(expiry);
        } else {
            self.names.insert(Arc::from(name), Slot::Absent(expiry));
            self.absent += 1;
        }
    }
}

impl Dentry {
    /// The dentry of `name` in this directory. `.` and `..` are the caller's, permissions as well.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`; those of the module.
    pub fn lookup(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        match self.lookup_cached(name) {
            Some(answer) => answer,
            None => self.lookup_in_module(name),
        }
    }

    /// The answer of [`Dentry::lookup`], if the cache has it (openat2's `RESOLVE_CACHED`).
    pub fn lookup_cached(self: &Arc<Self>, name: &[u8]) -> Option<Result<Arc<Dentry>, Errno>> {
        if self.kind() != Kind::Directory {
            return Some(Err(Errno::NOTDIR));
        }
        if name.len() > NAME_MAX {
            return Some(Err(Errno::NAMETOOLONG));
        }
        let children = self.known_children()?;
        let found = {
            let table = children.table.read();
            match table.names.get(name)? {
                Slot::Present(dentry) => dentry.upgrade()?,
                Slot::Absent(expiry) => {
                    return clock::is_fresh(*expiry).then_some(Err(Errno::NOENT));
                }
            }
        };
        if !clock::is_fresh(found.expiry()) {
            return None;
        }
        self.instance().names.touch(&found);
        Some(Ok(found))
    }

    fn lookup_in_module(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        if self.is_deleted() {
            return Err(Errno::NOENT);
        }
        let instance = self.instance();
        let mut retries = 0;
        loop {
            let version = self.children().version();
            let seen = instance.changes();
            let answer = sync::lookup(
                instance.module(),
                &instance.own_request(),
                self.inode().number(),
                os_str(name),
            );
            let entry = match answer {
                Ok(entry) => entry,
                Err(fuse_compat::Errno::ENOENT) => {
                    self.record_absent(name, instance.negative_expiry(), version);
                    return Err(Errno::NOENT);
                }
                Err(error) => return Err(module_error(error)),
            };
            if entry.attr.ino.0 == 0 {
                self.record_absent(name, instance.expiry(entry.entry_ttl), version);
                return Err(Errno::NOENT);
            }
            let inode = instance.adopt(&entry, seen);
            let expiry = instance.expiry(entry.entry_ttl);
            if let Some(dentry) = self.record_present(name, &inode, expiry, Some(version)) {
                return Ok(dentry);
            }
            retries += 1;
            if retries > MOST_RETRIES {
                // Names change faster than the module answers: the answer was true when it was given.
                let parent = Some(Arc::clone(self));
                return Ok(Dentry::new(inode, parent, Arc::from(name), clock::EXPIRED));
            }
        }
    }

    /// Records a new name that an operation just made, with the reference that the answer carries.
    pub(super) fn record_created(
        self: &Arc<Self>,
        name: &[u8],
        entry: &EntryOut,
        seen: u64,
    ) -> Result<Arc<Dentry>, Errno> {
        if entry.attr.ino.0 == 0 {
            return Err(Errno::IO);
        }
        let inode = self.instance().adopt(entry, seen);
        let expiry = self.instance().expiry(entry.entry_ttl);
        self.inode().directory_changed();
        self.record_present(name, &inode, expiry, None)
            .ok_or(Errno::IO)
    }

    /// Records that `name` means `inode`. `None` when there was a change since `version`; without a version the
    /// record is itself a change.
    pub(super) fn record_present(
        self: &Arc<Self>,
        name: &[u8],
        inode: &Arc<Inode>,
        expiry: Expiry,
        version: Option<u64>,
    ) -> Option<Arc<Dentry>> {
        let mut displaced = None;
        let recorded = {
            let mut table = self.children().write();
            match version {
                Some(version) if version != table.version => return None,
                Some(_) => {}
                None => table.changed(),
            }
            match table.live(name) {
                Some(known) if Arc::ptr_eq(known.inode(), inode) => {
                    known.set_expiry(expiry);
                    known
                }
                other => {
                    displaced = other;
                    let name: Arc<[u8]> = Arc::from(name);
                    let parent = Some(Arc::clone(self));
                    let dentry = Dentry::new(Arc::clone(inode), parent, Arc::clone(&name), expiry);
                    table.set_present(&name, &dentry);
                    dentry
                }
            }
        };
        if let Some(old) = displaced {
            // The name means something else now, and we did not do that.
            old.set_deleted();
        }
        self.instance().names.touch(&recorded);
        Some(recorded)
    }

    /// Records the module's word that `name` does not exist.
    fn record_absent(&self, name: &[u8], expiry: Expiry, version: u64) {
        let displaced = {
            let mut table = self.children().write();
            if table.version != version {
                return;
            }
            let old = table.live(name);
            table.set_absent(name, expiry);
            old
        };
        if let Some(old) = displaced {
            old.set_deleted();
        }
    }

    /// Records that an operation removed `name`.
    pub(super) fn record_removed(&self, name: &[u8]) {
        let displaced = {
            let mut table = self.children().write();
            table.changed();
            let old = table.live(name);
            table.set_absent(name, self.instance().negative_expiry());
            old
        };
        if let Some(old) = displaced {
            old.set_deleted();
        }
        self.inode().directory_changed();
    }

    /// Nothing is known about `name` any more; a dentry in use stays what it is.
    pub(super) fn forget_name(&self, name: &[u8]) {
        let Some(children) = self.known_children() else {
            return;
        };
        let old = {
            let mut table = children.write();
            table.changed();
            let old = table.live(name);
            if old.is_none() {
                table.set_unknown(name);
            }
            old
        };
        if let Some(old) = old {
            old.set_expiry(clock::EXPIRED);
        }
    }
}
