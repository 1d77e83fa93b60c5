//! The thread that writes back: woken when a writer closes a file (inotify(7), `IN_CLOSE_WRITE`, which also comes
//! when the last mapping of a closed file goes), and by the clock.
//!
//! It lives as long as the page cache. Where the kernel refuses more watches the clock finds the files as well, later.
//! Locks: `watches` is a leaf.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::{FileKey, PageCache};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(1000);

/// What the thread and those who open files share.
pub(super) struct Watcher {
    inotify: Arc<OwnedFd>,
    watches: Arc<Mutex<HashMap<i32, FileKey>>>,
}

impl Watcher {
    /// Starts the thread; `None` when the kernel gives no inotify instance or no thread.
    pub(super) fn start(cache: &Arc<PageCache>) -> Option<Watcher> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?);
        let watches = Arc::default();
        let watcher = Watcher {
            inotify: Arc::clone(&inotify),
            watches: Arc::clone(&watches),
        };
        let cache = Arc::downgrade(cache);
        std::thread::Builder::new()
            .name("write-back".into())
            .spawn(move || run(&cache, &inotify, &watches))
            .ok()?;
        Some(watcher)
    }

    /// Hears of the writers of this backing file.
    pub(super) fn add(&self, file: &OwnedFd, key: FileKey) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // Held over the call: an event must not come before its watch is known.
        let mut watches = self.watches.lock();
        if let Ok(watch) =
            inotify::add_watch(&*self.inotify, path.as_str(), WatchFlags::CLOSE_WRITE)
        {
            watches.insert(watch, key);
        }
    }

    /// Hears no more of this file.
    pub(super) fn remove(&self, key: FileKey) {
        let mut watches = self.watches.lock();
        watches.retain(|watch, watched| {
            let stays = *watched != key;
            if !stays {
                // Refused when the file is gone already.
                let _ = inotify::remove_watch(&*self.inotify, *watch);
            }
            stays
        });
    }
}

fn run(cache: &Weak<PageCache>, inotify: &OwnedFd, watches: &Mutex<HashMap<i32, FileKey>>) {
    let mut last_tick = Instant::now();
    loop {
        let wait = TICK.saturating_sub(last_tick.elapsed());
        let mut polled = [PollFd::new(inotify, PollFlags::IN)];
        let _ = poll(&mut polled, wait.try_into().ok().as_ref());
        let Some(cache) = cache.upgrade() else {
            return;
        };
        for key in closed(inotify, watches) {
            cache.writer_closed(key);
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            cache.tick();
        }
    }
}

/// The files that a writer has closed. When events were lost: all.
fn closed(inotify: &OwnedFd, watches: &Mutex<HashMap<i32, FileKey>>) -> Vec<FileKey> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut keys = Vec::new();
    loop {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                keys.extend(watches.lock().values().copied());
            }
            Ok(event) if event.events().contains(ReadFlags::CLOSE_WRITE) => {
                keys.extend(watches.lock().get(&event.wd()).copied());
            }
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                watches.lock().remove(&event.wd());
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
