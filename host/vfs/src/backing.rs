//! Which kernel object stands for which object of the view: the table behind "what is this descriptor?".
//!
//! A descriptor of a tracee is identified by the device and inode number of what the kernel opened for it (a memfd, a
//! marker directory); never by its number. The value is the caller's type, so this table knows nothing of mounts.
//!
//! Neighbours: filled by the operations that hand out descriptors, read by everything that gets one. Collected with
//! [`Backings::retain`], since nobody tells when a tracee closes a file.
//!
//! Lock order: shards are leaves; nothing is called while one is held.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::HashMap;
use parking_lot::RwLock;

use crate::attributes::Identity;

/// A power of two.
const SHARD_COUNT: usize = 16;

/// From the identity of kernel objects to what they stand for.
pub struct Backings<T> {
    shards: [RwLock<HashMap<Identity, Entry<T>>>; SHARD_COUNT],
    count: AtomicUsize,
    registrations: AtomicU64,
}

struct Entry<T> {
    value: T,
    /// Tells two registrations of the same object apart.
    registration: u64,
}

impl<T: Clone> Backings<T> {
    /// An empty table.
    pub fn new() -> Backings<T> {
        Backings {
            shards: std::array::from_fn(|_| RwLock::default()),
            count: AtomicUsize::new(0),
            registrations: AtomicU64::new(0),
        }
    }

    /// Is nothing registered? Takes no lock.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of registered objects. Takes no lock.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn shard(&self, identity: Identity) -> &RwLock<HashMap<Identity, Entry<T>>> {
        // Inode numbers of memfds and markers count up.
        let index = (identity.inode ^ identity.device) as usize % SHARD_COUNT;
        &self.shards[index]
    }

    /// What a kernel object stands for.
    pub fn find(&self, identity: Identity) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let shard = self.shard(identity).read();
        shard.get(&identity).map(|entry| entry.value.clone())
    }

    /// Registers an object; answers what the number stood for before.
    pub fn register(&self, identity: Identity, value: T) -> Option<T> {
        let registration = self.registrations.fetch_add(1, Ordering::Relaxed);
        let entry = Entry {
            value,
            registration,
        };
        let mut shard = self.shard(identity).write();
        let previous = shard.insert(identity, entry);
        if previous.is_none() {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        drop(shard);
        previous.map(|entry| entry.value)
    }

    /// Forgets an object.
    pub fn remove(&self, identity: Identity) -> Option<T> {
        let mut shard = self.shard(identity).write();
        let removed = shard.remove(&identity);
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
        drop(shard);
        removed.map(|entry| entry.value)
    }

    /// Forgets the objects for which `is_in_use` answers false. It is asked with no lock held, so it may take its
    /// time and use the table; an object that is registered again meanwhile stays.
    pub fn retain(&self, mut is_in_use: impl FnMut(Identity, &T) -> bool) {
        for shard in &self.shards {
            let identities: Vec<Identity> = shard.read().keys().copied().collect();
            for identity in identities {
                self.keep_if(identity, |value| is_in_use(identity, value));
            }
        }
    }

    /// The same for one object. Is it still there?
    pub fn keep_if(&self, identity: Identity, is_in_use: impl FnOnce(&T) -> bool) -> bool {
        let (value, registration) = match self.shard(identity).read().get(&identity) {
            Some(entry) => (entry.value.clone(), entry.registration),
            None => return false,
        };
        if is_in_use(&value) {
            return true;
        }
        let removed = {
            let mut shard = self.shard(identity).write();
            match shard.get(&identity) {
                Some(entry) if entry.registration != registration => return true,
                Some(_) => self.count.fetch_sub(1, Ordering::AcqRel),
                None => return false,
            };
            shard.remove(&identity)
        };
        drop(removed);
        false
    }
}

impl<T: Clone> Default for Backings<T> {
    fn default() -> Self {
        Backings::new()
    }
}

impl<T> std::fmt::Debug for Backings<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backings({})", self.count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn identity(inode: u64) -> Identity {
        Identity { device: 1, inode }
    }

    #[test]
    fn objects_are_found_by_both_numbers() {
        let table = Backings::new();
        assert!(table.is_empty());
        assert_eq!(table.register(identity(7), "a"), None);
        assert_eq!(table.register(identity(7), "b"), Some("a"));
        assert_eq!(table.find(identity(7)), Some("b"));
        assert_eq!(
            table.find(Identity {
                device: 2,
                inode: 7
            }),
            None
        );
        assert_eq!((table.len(), table.remove(identity(7))), (1, Some("b")));
        assert!(table.is_empty());
    }

    #[test]
    fn collection_may_use_the_table_and_spares_what_changed() {
        let table = Backings::new();
        for number in 0..100 {
            table.register(identity(number), Arc::new(number));
        }
        table.retain(|identity, value| {
            if **value == 10 {
                table.register(identity, Arc::new(1000));
            }
            **value % 2 == 1
        });
        assert_eq!(table.len(), 51);
        assert_eq!(table.find(identity(10)).as_deref(), Some(&1000));
        assert_eq!(table.find(identity(11)).as_deref(), Some(&11));
        assert_eq!(table.find(identity(12)), None);
    }
}
