//! Files that leave the cache: their contents are not true any more, or nobody uses them and there is no room.
//!
//! Who has such a file open keeps it. Locks: as in `page_cache`; a content that another thread holds is left alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::budget::Budget;
use super::{CachedFile, Content, FileKey, Filled, PageCache};

/// A larger file in memory is closed at once.
const MOST_CLOSED_LATER: u64 = 64 << 10;

impl PageCache {
    /// Drops every file that is open nowhere.
    pub fn shrink(&self) {
        self.evict_until(|_| false);
    }

    /// The contents are not true any more, or nobody can ask for them again. Who has the file open keeps it.
    pub(crate) fn forget_file(&self, key: FileKey) {
        if self.written.lock().contains_key(&key) {
            return; // what is written here is the truth
        }
        let file = self.files.lock().remove(&key);
        if let Some(file) = file {
            self.discard(&file);
        }
    }

    /// Forgets all files of an instance but those that are written.
    pub(crate) fn forget_device(&self, device: u64) {
        let mut gone = Vec::new();
        let written: Vec<FileKey> = self.written.lock().keys().copied().collect();
        self.files.lock().retain(|key, file| {
            let stays = key.device != device || written.contains(key);
            if !stays {
                gone.push(Arc::clone(file));
            }
            stays
        });
        for file in gone {
            self.discard(&file);
        }
    }

    /// A file has left the table.
    fn discard(&self, file: &CachedFile) {
        file.is_unlisted.store(true, Ordering::Release);
        // A file that is being filled goes with the last thread that uses it.
        if let Some(mut content) = file.content.try_lock() {
            self.retire(&mut content);
        }
    }

    /// Empties a file; its contents are remembered as long as they are open somewhere.
    pub(super) fn retire(&self, content: &mut Content) {
        let Content::Filled(filled) = content else {
            return;
        };
        if !is_opened_elsewhere(filled) {
            return self.bury(content);
        }
        if let Content::Filled(filled) = std::mem::replace(content, Content::Empty) {
            let mut outdated = self.outdated.lock();
            outdated.retain(is_opened_elsewhere);
            outdated.push(filled);
        }
    }

    /// Empties a file that is open nowhere. Closing it frees its memory, which need not be waited for.
    pub(super) fn bury(&self, content: &mut Content) {
        if let Content::Filled(filled) = std::mem::replace(content, Content::Empty) {
            let is_small = filled.is_in_memory && filled.charge.bytes() <= MOST_CLOSED_LATER;
            let descriptor = Arc::clone(&filled.descriptor);
            drop(filled);
            if is_small && let Some(watcher) = self.watcher() {
                watcher.close(descriptor);
            }
        }
    }

    /// Evicts until `bytes` more and one more descriptor fit, as far as that is possible. When something has to go,
    /// an eighth of the limits goes with it, so that the next files find room.
    pub(super) fn make_room(&self, bytes: u64) {
        if self.budget.has_room(bytes, 0) {
            return;
        }
        self.evict_until(|budget| budget.has_room(bytes, 8));
    }

    /// Drops files that are open nowhere, least recently used first, until `is_enough`.
    pub(super) fn evict_until(&self, is_enough: impl Fn(&Budget) -> bool) {
        let mut candidates: Vec<(u64, FileKey, Arc<CachedFile>)> = {
            let files = self.files.lock();
            files
                .iter()
                .map(|(key, file)| {
                    (
                        file.last_use.load(Ordering::Relaxed),
                        *key,
                        Arc::clone(file),
                    )
                })
                .collect()
        };
        candidates.sort_unstable_by_key(|(last_use, ..)| *last_use);
        for (_, key, file) in candidates {
            if is_enough(&self.budget) {
                break;
            }
            // A file that is being filled or opened in another thread is in use.
            let Some(mut content) = file.content.try_lock() else {
                continue;
            };
            if let Content::Filled(filled) = &*content
                && filled.written.is_none()
                && !is_opened_elsewhere(filled)
            {
                self.unlist(key, &file);
                *content = Content::Empty;
            }
        }
    }
}

/// Asks the kernel, unless that is known; what it cannot tell counts as open. Whoever asks holds the content, so nobody
/// opens the file meanwhile.
pub(super) fn is_opened_elsewhere(filled: &Filled) -> bool {
    if filled.is_idle.load(Ordering::Acquire) {
        return false;
    }
    let is_open = view_sys::file::is_opened_elsewhere(&filled.descriptor).unwrap_or(true);
    filled.is_idle.store(!is_open, Ordering::Release);
    is_open
}
