//! Who can write to a filesystem: what /proc tells of descriptors.
//!
//! Neighbours: `relocation::holders` (of one file), `space` (asks). No locks.

use super::call::Descriptor;
use crate::relocation::numbers;
use crate::view::{Backed, View};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::object::Dentry;
use view_vfs::place::Place;

/// The file of a module that a kernel object stands for.
pub(super) fn file_of(view: &View, identity: Identity) -> Option<Arc<Dentry>> {
    match &*view.backings.find(identity)? {
        Backed::File(Place::Node { dentry, .. }) if dentry.kind() == Kind::RegularFile => {
            Some(Arc::clone(dentry))
        }
        _ => None,
    }
}

/// Has anybody a file of one of these filesystems open for writing?
pub(super) fn any(view: &View, devices: &HashSet<u64>) -> bool {
    !of(view, devices).is_empty()
}

/// The processes that have a file of one of these filesystems open for writing.
pub(super) fn of(view: &View, devices: &HashSet<u64>) -> BTreeSet<u32> {
    let own = std::process::id();
    let mut found = BTreeSet::new();
    for process in numbers("/proc").filter(|process| *process != own) {
        for number in numbers(&format!("/proc/{process}/fd")) {
            let Ok(stat) = rustix::fs::stat(format!("/proc/{process}/fd/{number}")) else {
                continue;
            };
            let identity = Identity {
                device: stat.st_dev,
                inode: stat.st_ino,
            };
            let is_theirs = file_of(view, identity)
                .is_some_and(|dentry| devices.contains(&dentry.instance().device()));
            if is_theirs
                && Descriptor::of(process, number as i32).is_some_and(|one| one.is_writable())
            {
                found.insert(process);
                break;
            }
        }
    }
    found
}
