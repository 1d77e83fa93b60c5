//! Which dentries stay alive without a user: a clock (second-chance) list of bounded length.
//!
//! Lock order: `ring` is a leaf; dentries are dropped after it is released.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::dentry::Dentry;

/// Most entries looked at to find room for one.
const MOST_CHANCES: usize = 32;

/// Keeps recently used dentries, and with them their inodes and directories, alive.
pub(super) struct DentryCache {
    ring: Mutex<Ring>,
}

struct Ring {
    /// Most entries; 0 when nothing is kept any more.
    capacity: usize,
    /// `Dentry::cached_at` is the index of its entry plus one.
    entries: Vec<Option<Arc<Dentry>>>,
    free: Vec<u32>,
    /// Where the search for a victim goes on.
    hand: usize,
}

impl Ring {
    fn take(&mut self, index: usize) -> Option<Arc<Dentry>> {
        let dentry = self.entries.get_mut(index)?.take()?;
        dentry.cached_at.store(0, Ordering::Release);
        Some(dentry)
    }

    /// The index of an entry to put a dentry in, and who was there.
    fn make_room(&mut self) -> Option<(usize, Option<Arc<Dentry>>)> {
        if let Some(index) = self.free.pop() {
            return Some((index as usize, None));
        }
        if self.entries.len() < self.capacity {
            self.entries.push(None);
            return Some((self.entries.len() - 1, None));
        }
        for chance in 1..=MOST_CHANCES {
            let index = self.hand;
            self.hand = (index + 1) % self.entries.len().max(1);
            let has_second_chance = self
                .entries
                .get(index)?
                .as_ref()
                .is_some_and(|dentry| dentry.was_used.swap(false, Ordering::Relaxed));
            if !has_second_chance || chance == MOST_CHANCES {
                return Some((index, self.take(index)));
            }
        }
        None
    }
}

impl DentryCache {
    pub(super) fn new(capacity: usize) -> DentryCache {
        DentryCache {
            ring: Mutex::new(Ring {
                // Indices have 32 bits.
                capacity: capacity.min(1 << 30),
                entries: Vec::new(),
                free: Vec::new(),
                hand: 0,
            }),
        }
    }

    /// Most dentries kept.
    pub(super) fn capacity(&self) -> usize {
        self.ring.lock().capacity
    }

    /// The dentry was found: it gets a second chance, and comes back into the list when it had left.
    #[inline]
    pub(super) fn touch(&self, dentry: &Arc<Dentry>) {
        if !dentry.was_used.load(Ordering::Relaxed) {
            dentry.was_used.store(true, Ordering::Relaxed);
        }
        if dentry.cached_at.load(Ordering::Relaxed) == 0 {
            self.add(dentry);
        }
    }

    /// Keeps a dentry alive.
    pub(super) fn add(&self, dentry: &Arc<Dentry>) {
        let mut ring = self.ring.lock();
        let is_wanted = dentry.cached_at.load(Ordering::Acquire) == 0 && !dentry.is_deleted();
        if ring.capacity == 0 || !is_wanted {
            return;
        }
        let Some((index, victim)) = ring.make_room() else {
            return;
        };
        if let (Some(entry), Ok(number)) = (ring.entries.get_mut(index), u32::try_from(index)) {
            dentry.cached_at.store(number + 1, Ordering::Release);
            *entry = Some(Arc::clone(dentry));
        }
        drop(ring);
        drop(victim);
    }

    /// Lets a dentry go.
    pub(super) fn remove(&self, dentry: &Dentry) {
        let mut ring = self.ring.lock();
        let position = dentry.cached_at.load(Ordering::Acquire);
        let removed = position.checked_sub(1).and_then(|index| {
            ring.free.push(index);
            ring.take(index as usize)
        });
        drop(ring);
        drop(removed);
    }

    /// Lets all go.
    pub(super) fn clear(&self) {
        let entries = {
            let mut ring = self.ring.lock();
            ring.free.clear();
            ring.hand = 0;
            let entries = std::mem::take(&mut ring.entries);
            for dentry in entries.iter().flatten() {
                dentry.cached_at.store(0, Ordering::Release);
            }
            entries
        };
        drop(entries);
    }

    /// Lets all go and keeps none from now on.
    pub(super) fn close(&self) {
        self.ring.lock().capacity = 0;
        self.clear();
    }
}
