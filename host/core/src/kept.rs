//! What is kept for threads that called lately, where each takes a descriptor of the supervisor.
//!
//! Neighbours: `callers`, `pidfds`. Locks: the table is a leaf.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// More threads than this are not remembered at a time.
const MOST: usize = 64;

/// By thread.
#[derive(Debug)]
pub(crate) struct Kept<T>(Mutex<HashMap<u32, Arc<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// What is kept for this thread.
    pub(crate) fn get(&self, thread: u32) -> Option<Arc<T>> {
        self.0.lock().get(&thread).cloned()
    }

    /// Keeps something, until so many others have come.
    pub(crate) fn keep(&self, thread: u32, one: T) {
        let mut known = self.0.lock();
        let is_new = !known.contains_key(&thread);
        let leaving = known.keys().next().copied();
        let gone = match leaving {
            // One goes for each that comes: so many are kept, and the descriptors are never more nor fewer.
            Some(leaving) if is_new && known.len() >= MOST => known.remove(&leaving),
            _ => None,
        };
        let old = known.insert(thread, Arc::new(one));
        drop(known);
        drop((gone, old));
    }

    /// Keeps nothing any more: the descriptors are needed. Was there anything?
    pub(crate) fn clear(&self) -> bool {
        let known = std::mem::take(&mut *self.0.lock());
        !known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_take_no_more_than_there_may_be() {
        let kept = Kept::default();
        for thread in 0..2 * MOST as u32 {
            kept.keep(thread, thread);
            assert_eq!(kept.get(thread).as_deref(), Some(&thread));
        }
        assert_eq!(kept.0.lock().len(), MOST);
        assert!(kept.clear());
        assert!(!kept.clear());
        assert!(kept.get(2 * MOST as u32 - 1).is_none());
    }
}
