//! What a view shows of objects of the host that it could not, or must not, really change: owner, mode, device number.
//!
//! Kept in memory by device and inode number, with the time of creation, so that another file which gets the number of
//! a removed one is not taken for it. Nothing of it outlives the view.
//!
//! Neighbours: `identity` (shows through it), `syscall::attribute` and `syscall::name` (change it). Locks: `entries` is
//! a leaf.

use parking_lot::RwLock;
use std::collections::HashMap;
use view_vfs::attributes::{Attributes, Identity, Timestamp};

/// What differs from the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differs {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Permission bits (07777).
    pub mode: Option<u32>,
    /// A device node: S_IFBLK or S_IFCHR, and the device number.
    pub device: Option<(u32, u64)>,
}

#[derive(Debug)]
struct Entry {
    created: Option<Timestamp>,
    differs: Differs,
}

/// All objects that differ.
#[derive(Debug, Default)]
pub struct Shadow {
    entries: RwLock<HashMap<Identity, Entry>>,
}

impl Shadow {
    /// What differs of the object with these attributes, as the host tells them.
    pub fn of(&self, real: &Attributes) -> Differs {
        let entries = self.entries.read();
        match entries.get(&real.identity()) {
            Some(entry) if entry.created == real.created => entry.differs,
            _ => Differs::default(),
        }
    }

    /// Changes what differs.
    pub fn change(&self, real: &Attributes, change: impl FnOnce(&mut Differs)) {
        let mut differs = self.of(real);
        change(&mut differs);
        let mut entries = self.entries.write();
        if differs == Differs::default() {
            entries.remove(&real.identity());
        } else {
            let created = real.created;
            entries.insert(real.identity(), Entry { created, differs });
        }
    }
}

impl Differs {
    /// Puts it over what the host tells.
    pub fn apply(&self, attributes: &mut Attributes) {
        attributes.uid = self.uid.unwrap_or(attributes.uid);
        attributes.gid = self.gid.unwrap_or(attributes.gid);
        if let Some(mode) = self.mode {
            attributes.mode = attributes.mode & !0o7777 | mode;
        }
        if let Some((kind, device)) = self.device {
            attributes.mode = attributes.mode & 0o7777 | kind;
            attributes.rdev = device;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_with_an_old_number_is_another() {
        let shadow = Shadow::default();
        let mut real = view_vfs::host_ops::attributes(b"/").unwrap();
        shadow.change(&real, |differs| differs.uid = Some(7));
        let mut shown = real;
        shadow.of(&real).apply(&mut shown);
        assert_eq!(shown.uid, 7);
        real.created = Some(Timestamp {
            seconds: 1,
            nanoseconds: 0,
        });
        assert_eq!(shadow.of(&real), Differs::default());
    }
}
