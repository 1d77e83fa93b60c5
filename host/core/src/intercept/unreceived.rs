//! Calls that ended before any receiver had taken them: a signal interrupted them, or their thread was killed.
//!
//! Linux numbers the notifications of a listener one by one, so an id that is passed over belongs to such a call. While there
//! is none, no frame on any stack tells of one, and rt_sigreturn has nothing to look for (`syscall::signal`).
//!
//! Which thread an id belongs to is not known: those of killed threads stay until they are old, and cost only time.
//!
//! Lock: the state is a leaf.
//!
//! Reference: seccomp_next_notify_id, kernel/seccomp.c.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A handler returns within this time, or the call that it interrupted shows EINTR.
const LONGEST_HANDLER: Duration = Duration::from_secs(60);
/// More ids than this are not passed over at once, nor remembered.
const MOST: usize = 1024;

/// The ids of one listener that were passed over.
#[derive(Debug)]
pub struct Unreceived(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The id that the next notification has; `None` before the first.
    next: Option<u64>,
    /// Passed over, oldest first.
    missing: VecDeque<(u64, Instant)>,
    /// The ids tell nothing: they do not come as expected, or there are too many.
    is_lost: bool,
}

impl Unreceived {
    /// None yet. Unless received calls `wait_killable` (Linux 5.19), an interrupted one may have been received, and the ids
    /// tell nothing.
    pub fn new(wait_killable: bool) -> Self {
        Self(Mutex::new(State {
            is_lost: !wait_killable,
            ..State::default()
        }))
    }

    /// A notification was received. Receivers may tell in any order.
    pub fn received(&self, id: u64) {
        let mut state = self.0.lock();
        let next = state.next.unwrap_or(id);
        let ahead = id.wrapping_sub(next);
        if ahead > u64::MAX / 2 {
            // One that another receiver passed over, for a moment only.
            state.missing.retain(|&(missing, _)| missing != id);
            return;
        }
        if state.missing.len() as u64 + ahead > MOST as u64 {
            state.is_lost = true;
        } else if ahead > 0 {
            let now = Instant::now();
            state
                .missing
                .extend((0..ahead).map(|count| (next.wrapping_add(count), now)));
        }
        state.next = Some(id.wrapping_add(1));
    }

    /// May a handler be running that interrupted a call which nobody had received?
    pub fn any(&self) -> bool {
        let mut state = self.0.lock();
        while let Some(&(_, since)) = state.missing.front()
            && since.elapsed() > LONGEST_HANDLER
        {
            state.missing.pop_front();
        }
        state.is_lost || !state.missing.is_empty()
    }

    /// One of those calls is made again, so its id is accounted for. It may be any of them: only their number matters.
    pub fn made_again(&self) {
        self.0.lock().missing.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_seen_until_it_is_explained() {
        let calls = Unreceived::new(true);
        assert!(!calls.any());
        for id in [u64::MAX - 1, u64::MAX, 0, 2] {
            calls.received(id);
        }
        assert!(calls.any(), "1 is missing");
        calls.received(1);
        assert!(!calls.any(), "it was another receiver's");
        calls.received(5);
        assert!(calls.any(), "3 and 4 are missing");
        calls.made_again();
        assert!(calls.any());
        calls.made_again();
        assert!(!calls.any());
    }

    #[test]
    fn ids_in_no_order_are_never_trusted() {
        let calls = Unreceived::new(true);
        calls.received(7);
        calls.received(1 << 40);
        assert!(calls.any());
        calls.received((1 << 40) + 1);
        assert!(calls.any());
    }
}
