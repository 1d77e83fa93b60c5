//! The thread that writes back: woken when a writer closes a file (inotify(7), `IN_CLOSE_WRITE`, which also comes
//! when the last mapping of a closed file goes), and by the clock.
//!
//! It lives as long as the page cache. Where the kernel refuses more watches the clock finds the files as well, later.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::fs::inotify::WatchFlags;

use super::PageCache;
use super::watches::Watches;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(1000);

/// Starts the thread; `None` when the kernel gives no inotify instance or no thread.
pub(super) fn start(cache: &Arc<PageCache>) -> Option<Arc<Watches>> {
    let watches = Arc::new(Watches::new(WatchFlags::CLOSE_WRITE)?);
    let heard = Arc::clone(&watches);
    let cache = Arc::downgrade(cache);
    std::thread::Builder::new()
        .name("write-back".into())
        .spawn(move || run(&cache, &heard))
        .ok()?;
    Some(watches)
}

fn run(cache: &Weak<PageCache>, watches: &Watches) {
    let mut last_tick = Instant::now();
    loop {
        watches.wait(TICK.saturating_sub(last_tick.elapsed()));
        let Some(cache) = cache.upgrade() else {
            return;
        };
        for key in watches.take() {
            cache.writer_closed(key);
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            cache.tick();
        }
    }
}
