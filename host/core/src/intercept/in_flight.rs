//! Calls that are taking effect, and the barrier behind those whose callers were killed meanwhile.
//!
//! A tracee that is killed while its call is served is gone at once, but what the supervisor does for it takes its time.
//! On Linux the effects of a call come before the death of its caller; so every call that is served after a death
//! first waits until what the dead had begun is done. Only who looks past the view (the host) can see the difference.
//!
//! Neighbours: `intercept` (asks at each call), `task` (begins when a call takes effect). Lock: `calls` is a leaf.

use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use view_sys::notify::Listener;

/// How long a call of a dead caller is waited for, once: a module that is stuck must not hold everybody.
const PATIENCE: Duration = Duration::from_millis(500);

/// The calls of one listener that are taking effect.
#[derive(Debug, Default)]
pub struct InFlight {
    /// As many as `calls` holds, so that nothing is locked when there are none.
    count: AtomicUsize,
    calls: Mutex<Vec<u64>>,
    ended: Condvar,
}

impl InFlight {
    /// The call with this notification id takes effect from now on.
    ///
    /// To be said before asking whether its caller is still there: one that dies after that question is seen here.
    pub fn begin(&self, id: u64) {
        self.calls.lock().push(id);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Its effects are done.
    pub fn end(&self, id: u64) {
        self.forget(&mut self.calls.lock(), |known| known == id);
        self.ended.notify_all();
    }

    fn forget(&self, calls: &mut Vec<u64>, is_meant: impl Fn(u64) -> bool) {
        let before = calls.len();
        calls.retain(|&id| !is_meant(id));
        self.count.fetch_sub(before - calls.len(), Ordering::SeqCst);
    }

    /// Waits for the calls whose callers are gone.
    pub fn await_the_dead(&self, listener: &Listener) {
        if self.count.load(Ordering::SeqCst) != 0 {
            self.wait_while(|id| !listener.is_waiting(id), PATIENCE);
        }
    }

    /// Waits until none is left of the calls that are there now and for which `is_dead` holds.
    fn wait_while(&self, is_dead: impl Fn(u64) -> bool, patience: Duration) {
        let mut calls = self.calls.lock();
        let dead: Vec<u64> = calls.iter().copied().filter(|&id| is_dead(id)).collect();
        let deadline = Instant::now() + patience;
        while dead.iter().any(|id| calls.contains(id)) {
            if self.ended.wait_until(&mut calls, deadline).timed_out() {
                return self.forget(&mut calls, |id| dead.contains(&id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn only_the_dead_are_waited_for() {
        let calls = Arc::new(InFlight::default());
        calls.begin(1);
        calls.begin(2);
        let is_done = Arc::new(AtomicBool::new(false));
        let (ending, done) = (calls.clone(), is_done.clone());
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            done.store(true, Ordering::SeqCst);
            ending.end(2);
        });
        calls.wait_while(|id| id == 2, Duration::from_secs(60));
        assert!(is_done.load(Ordering::SeqCst));
        // 1 lives, and is not waited for.
        calls.wait_while(|id| id == 2, Duration::from_secs(60));
        thread.join().unwrap();
        assert_eq!(calls.count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn patience_ends_once() {
        let calls = InFlight::default();
        calls.begin(1);
        calls.begin(2);
        calls.wait_while(|id| id == 1, Duration::from_millis(10));
        assert_eq!(*calls.calls.lock(), [2]);
        calls.end(1);
        assert_eq!(calls.count.load(Ordering::SeqCst), 1);
    }
}
