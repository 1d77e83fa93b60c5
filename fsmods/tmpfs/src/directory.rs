//! The names of one directory.
//!
//! Each name has a position that never changes while the name exists; positions grow and are not used again. A listing
//! continues "after position N", so names that come and go meanwhile neither hide nor repeat the others.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::ops::Bound;
use std::sync::Arc;

use fuse_compat::INodeNo;

/// Position of `.` in a listing.
pub(crate) const POSITION_DOT: u64 = 1;
/// Position of `..` in a listing.
pub(crate) const POSITION_DOT_DOT: u64 = 2;

#[derive(Debug, Clone, Copy)]
struct Entry {
    ino: INodeNo,
    position: u64,
}

#[derive(Debug)]
pub(crate) struct Directory {
    /// The directory this one is in; itself for the root.
    pub(crate) parent: INodeNo,
    by_name: HashMap<Arc<OsStr>, Entry>,
    by_position: BTreeMap<u64, Arc<OsStr>>,
    next_position: u64,
}

impl Directory {
    pub(crate) fn new(parent: INodeNo) -> Directory {
        Directory {
            parent,
            by_name: HashMap::new(),
            by_position: BTreeMap::new(),
            next_position: POSITION_DOT_DOT + 1,
        }
    }

    pub(crate) fn get(&self, name: &OsStr) -> Option<INodeNo> {
        self.by_name.get(name).map(|entry| entry.ino)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Adds a name. An existing one is made to mean `ino` and keeps its position; its old inode is answered.
    pub(crate) fn insert(&mut self, name: &OsStr, ino: INodeNo) -> Option<INodeNo> {
        if let Some(entry) = self.by_name.get_mut(name) {
            return Some(std::mem::replace(&mut entry.ino, ino));
        }
        let position = self.next_position;
        self.next_position += 1;
        let name: Arc<OsStr> = name.into();
        self.by_position.insert(position, Arc::clone(&name));
        self.by_name.insert(name, Entry { ino, position });
        None
    }

    pub(crate) fn remove(&mut self, name: &OsStr) -> Option<INodeNo> {
        let entry = self.by_name.remove(name)?;
        self.by_position.remove(&entry.position);
        Some(entry.ino)
    }

    /// Names after `position`, in order of position.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = (u64, &OsStr, INodeNo)> {
        let range = (Bound::Excluded(position), Bound::Unbounded);
        self.by_position
            .range(range)
            .filter_map(|(position, name)| {
                let entry = self.by_name.get(name)?;
                Some((*position, name.as_ref(), entry.ino))
            })
    }
}
