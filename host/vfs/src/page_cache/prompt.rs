//! Files that are open with O_SYNC or O_DSYNC: a thread that makes durable what is written to them, as soon as it is told
//! (inotify(7), `IN_MODIFY`).
//!
//! Nobody intercepts write(2), so the writer does not wait for it: between its return and the image's flush lie the wake-up of this
//! thread, the look for what changed, and the flush itself. Stores through a mapping are not heard of; they are not
//! synchronous on Linux either. It is a thread of its own, since it spends its time waiting for disks.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;

use super::watches::Watches;
use super::written::WrittenFile;
use super::{FileKey, PageCache};

/// How often the thread looks whether the page cache is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the thread; `None` when the kernel gives no inotify instance or no thread: then the clock of `watcher` finds the
/// files.
fn start(cache: &Arc<PageCache>) -> Option<Arc<Watches>> {
    let watches = Arc::new(Watches::new(WatchFlags::MODIFY)?);
    let heard = Arc::clone(&watches);
    let cache = Arc::downgrade(cache);
    std::thread::Builder::new()
        .name("o-sync".into())
        .spawn(move || run(&cache, &heard))
        .ok()?;
    Some(watches)
}

fn run(cache: &Weak<PageCache>, watches: &Watches) {
    loop {
        watches.wait(LOOK);
        let Some(cache) = cache.upgrade() else {
            return;
        };
        for key in watches.take() {
            cache.written_promptly(key);
        }
    }
}

impl PageCache {
    /// Writes to this file are to be durable at once.
    pub(super) fn watch_writes(self: &Arc<Self>, written: &WrittenFile) {
        if let Some(watches) = self.prompt.get_or_init(|| start(self)) {
            watches.add(&written.file(), written.key);
        }
    }

    /// Nobody needs to hear of this file any more.
    pub(super) fn unwatch(&self, key: FileKey) {
        if let Some(watcher) = self.watcher() {
            watcher.closes().remove(key);
        }
        if let Some(Some(watches)) = self.prompt.get() {
            watches.remove(key);
        }
    }

    /// A file has another backing file now.
    pub(super) fn watch_instead(&self, written: &WrittenFile) {
        self.unwatch(written.key);
        if let Some(watcher) = self.watcher() {
            watcher.closes().add(&written.file(), written.key);
        }
        if let (Some(Some(watches)), true) = (self.prompt.get(), written.is_prompt()) {
            watches.add(&written.file(), written.key);
        }
    }

    fn written_promptly(&self, key: FileKey) {
        let written = self.written.lock().get(&key).cloned();
        if let Some(written) = written {
            // The next fsync tells what went wrong.
            let _ = written.make_durable();
        }
    }
}
