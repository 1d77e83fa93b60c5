//! The thread that writes back: soon after a writer has closed a file, and by the clock.
//!
//! Most writers have closed their file a moment after they opened it, so a file that is opened for writing is only put on
//! a list; some milliseconds later the thread goes through the list and asks of each whether somebody can still write to
//! it. What is closed is written back; of what is open the thread wants to be told (inotify(7), `IN_CLOSE_WRITE`, which
//! also comes when the last mapping of a closed file goes). Gathering makes one wake-up of many: of a thread on another,
//! idle CPU each costs more than the rest of the work.
//!
//! It also closes the backing files of removed files, which frees their memory, so that nobody waits for it.
//!
//! It lives as long as the page cache. Where the kernel refuses more watches the clock finds the files as well, later.
//! Locks: `watches` and `news` are leaves.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::{Errno, read, write};

use super::{FileKey, PageCache};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(1000);
/// How long news are gathered.
const GATHERING: Duration = Duration::from_millis(20);
/// Descriptors that may wait to be closed: more are closed at once.
const MOST_CLOSING: usize = 256;

/// The page cache's end of the thread.
pub(super) struct Watcher(Arc<Shared>);

/// What the thread and those who open files share.
struct Shared {
    inotify: OwnedFd,
    /// Counts up when there are news.
    bell: OwnedFd,
    watches: Mutex<HashMap<i32, FileKey>>,
    news: Mutex<News>,
}

#[derive(Default)]
struct News {
    opened: Vec<FileKey>,
    closing: Vec<Arc<OwnedFd>>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closing.is_empty()
    }
}

impl Watcher {
    /// Starts the thread; `None` when the kernel gives no inotify instance or no thread.
    pub(super) fn start(cache: &Arc<PageCache>) -> Option<Watcher> {
        let shared = Arc::new(Shared {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?,
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?,
            watches: Mutex::default(),
            news: Mutex::default(),
        });
        let watcher = Watcher(Arc::clone(&shared));
        let cache = Arc::downgrade(cache);
        std::thread::Builder::new()
            .name("write-back".into())
            .spawn(move || run(&cache, &shared))
            .ok()?;
        Some(watcher)
    }

    /// The file is opened for writing: it is looked after from now on.
    pub(super) fn opened(&self, key: FileKey) {
        self.0.tell(|news| news.opened.push(key));
    }

    /// Closes a descriptor, at once or soon.
    pub(super) fn close(&self, descriptor: Arc<OwnedFd>) {
        let mut rest = Some(descriptor);
        self.0.tell(|news| {
            if news.closing.len() < MOST_CLOSING {
                news.closing.extend(rest.take());
            }
        });
        drop(rest);
    }

    /// Hears of the writers of this backing file.
    pub(super) fn add(&self, file: &OwnedFd, key: FileKey) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // Held over the call: an event must not come before its watch is known.
        let mut watches = self.0.watches.lock();
        if let Ok(watch) =
            inotify::add_watch(&self.0.inotify, path.as_str(), WatchFlags::CLOSE_WRITE)
        {
            watches.insert(watch, key);
        }
    }

    /// Hears no more of this file.
    pub(super) fn remove(&self, key: FileKey) {
        let mut watches = self.0.watches.lock();
        watches.retain(|watch, watched| {
            let stays = *watched != key;
            if !stays {
                // Refused when the file is gone already.
                let _ = inotify::remove_watch(&self.0.inotify, *watch);
            }
            stays
        });
    }
}

impl Shared {
    /// Adds news, and rings when there were none.
    fn tell(&self, add: impl FnOnce(&mut News)) {
        let mut news = self.news.lock();
        let was_empty = news.is_empty();
        add(&mut news);
        let rings = was_empty && !news.is_empty();
        drop(news);
        if rings {
            // Only fails when the counter would overflow: then it is far from zero.
            let _ = write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Waits for news of any kind.
    fn wait(&self, limit: Duration) -> bool {
        let mut polled = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
        ];
        let found = poll(&mut polled, limit.try_into().ok().as_ref());
        found.is_ok_and(|count| count > 0)
    }

    fn take_news(&self) -> News {
        // Empty when nobody has rung.
        let _ = read(&self.bell, &mut [0; 8]);
        std::mem::take(&mut *self.news.lock())
    }

    /// The files that a writer has closed. When events were lost: all.
    fn closed(&self) -> Vec<FileKey> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut keys = Vec::new();
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    keys.extend(self.watches.lock().values().copied());
                }
                Ok(event) if event.events().contains(ReadFlags::CLOSE_WRITE) => {
                    keys.extend(self.watches.lock().get(&event.wd()).copied());
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    self.watches.lock().remove(&event.wd());
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

fn run(cache: &Weak<PageCache>, shared: &Shared) {
    let mut last_tick = Instant::now();
    loop {
        let has_news = shared.wait(TICK.saturating_sub(last_tick.elapsed()));
        if has_news {
            std::thread::sleep(GATHERING);
        }
        let Some(cache) = cache.upgrade() else {
            return;
        };
        if has_news {
            let news = shared.take_news();
            drop(news.closing);
            for key in shared.closed() {
                cache.writer_closed(key);
            }
            let mut opened = news.opened;
            opened.sort_unstable();
            opened.dedup();
            for key in opened {
                cache.look_after(key);
            }
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            cache.tick();
        }
    }
}
