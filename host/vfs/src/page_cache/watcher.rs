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
//! Locks: `news` is a leaf.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::WatchFlags;
use rustix::io::{read, write};

use super::watches::Watches;
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
    closes: Watches,
    /// Counts up when there are news.
    bell: OwnedFd,
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
            closes: Watches::new(WatchFlags::CLOSE_WRITE)?,
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?,
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

    /// The writers of backing files that are heard of.
    pub(super) fn closes(&self) -> &Watches {
        &self.0.closes
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
            PollFd::new(self.closes.descriptor(), PollFlags::IN),
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
            for key in shared.closes.take() {
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
