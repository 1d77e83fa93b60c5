//! A bounded map that forgets what has not been used lately (the clock algorithm: one bit per entry
//! instead of a list, so that a hit only sets a bit).

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};

struct Slot<K, V> {
    key: K,
    value: V,
    weight: usize,
    was_used: bool,
}

/// Entries with weights; the sum of the weights stays within the capacity.
pub(crate) struct ClockCache<K, V> {
    places: HashMap<K, usize>,
    slots: Vec<Option<Slot<K, V>>>,
    free: Vec<usize>,
    hand: usize,
    weight: usize,
    capacity: usize,
}

impl<K: Eq + Hash + Copy, V: Clone> ClockCache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            places: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            weight: 0,
            capacity,
        }
    }

    /// The value for `key`, which counts as used now.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let slot = self.slots.get_mut(*self.places.get(key)?)?.as_mut()?;
        slot.was_used = true;
        Some(slot.value.clone())
    }

    /// Whether `key` is there; does not count as a use.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    /// Adds or replaces. An entry heavier than the whole cache is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.capacity {
            return;
        }
        while self.weight.saturating_add(weight) > self.capacity {
            if !self.evict_one() {
                break;
            }
        }
        let slot = Some(Slot {
            key,
            value,
            weight,
            was_used: false,
        });
        let place = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(place) {
            Some(empty) => *empty = slot,
            None => self.slots.push(slot),
        }
        self.places.insert(key, place);
        self.weight = self.weight.saturating_add(weight);
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(place) = self.places.get(key).copied() {
            self.remove_at(place);
        }
    }

    fn evict_one(&mut self) -> bool {
        // Each turn clears a bit or evicts, so two rounds are enough.
        for _ in 0..=self.slots.len().saturating_mul(2) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let place = self.hand;
            match self.slots.get_mut(place) {
                None => return false,
                Some(Some(slot)) if slot.was_used => slot.was_used = false,
                Some(Some(_)) => {
                    self.remove_at(place);
                    // The newcomer takes the place just behind the hand: it gets a whole round.
                    self.hand = place.saturating_add(1);
                    return true;
                }
                Some(None) => {}
            }
            self.hand = place.saturating_add(1);
        }
        false
    }

    fn remove_at(&mut self, place: usize) {
        if let Some(slot) = self.slots.get_mut(place).and_then(Option::take) {
            self.places.remove(&slot.key);
            self.weight = self.weight.saturating_sub(slot.weight);
            self.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_stays_bounded_and_used_entries_survive() {
        let mut cache = ClockCache::new(100);
        cache.insert(0u64, "kept", 10);
        for key in 1..1000u64 {
            assert_eq!(cache.get(&0), Some("kept"));
            cache.insert(key, "passing", 10);
            assert!(cache.weight <= 100);
            assert!(cache.slots.len() <= 10);
            assert!(cache.places.len() <= cache.slots.len());
            assert!(
                key < 9 || cache.contains(&(key - 7)),
                "recent entries are kept"
            );
        }
        assert!(cache.contains(&999));
        cache.insert(5000, "too heavy", 101);
        assert!(!cache.contains(&5000));
        cache.remove(&0);
        assert_eq!(cache.get(&0), None);
    }
}
