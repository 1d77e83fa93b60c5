//! Tells the user of faults in the image: once per place, and not too many lines at a time.
//!
//! Lock: `state` is a leaf; the sink is called without it.

use std::collections::HashSet;
use std::time::Instant;

use parking_lot::Mutex;

use crate::error::{Error, Place, Problem};

/// Places remembered as told; the set starts anew when it is full.
const MAX_PLACES: usize = 4096;
/// Lines that may come at once.
const BURST_LINES: u32 = 40;
/// Lines per second after that.
const LINES_PER_SECOND: u32 = 5;

/// Where log lines go: called from any thread, one line each, without a newline.
pub type Sink = Box<dyn Fn(&str) + Send + Sync>;

struct State {
    told: HashSet<Place>,
    budget: u32,
    refilled: Instant,
    suppressed: u64,
}

/// The driver's log.
pub(crate) struct Reporter {
    sink: Sink,
    state: Mutex<State>,
}

impl Reporter {
    pub(crate) fn new(sink: Sink) -> Self {
        let state = State {
            told: HashSet::new(),
            budget: BURST_LINES,
            refilled: Instant::now(),
            suppressed: 0,
        };
        Self {
            sink,
            state: Mutex::new(state),
        }
    }

    /// A line that is not about a fault; never suppressed.
    pub(crate) fn note(&self, line: &str) {
        (self.sink)(line);
    }

    /// Logs a fault, unless its place has been told before.
    pub(crate) fn report(&self, problem: &Problem) {
        let suppressed = {
            let mut state = self.state.lock();
            if state.told.len() >= MAX_PLACES {
                state.told.clear();
            }
            if !state.told.insert(problem.place) {
                return;
            }
            let seconds = u32::try_from(state.refilled.elapsed().as_secs()).unwrap_or(u32::MAX);
            if seconds > 0 {
                let refill = seconds.saturating_mul(LINES_PER_SECOND);
                state.budget = state.budget.saturating_add(refill).min(BURST_LINES);
                state.refilled = Instant::now();
            }
            match state.budget.checked_sub(1) {
                Some(rest) => state.budget = rest,
                None => {
                    state.suppressed = state.suppressed.saturating_add(1);
                    return;
                }
            }
            std::mem::take(&mut state.suppressed)
        };
        if suppressed > 0 {
            (self.sink)(&format!("{suppressed} more problems were not shown"));
        }
        (self.sink)(&problem.to_string());
    }

    /// Logs the fault behind an error, if there is one, and passes the error on.
    pub(crate) fn told(&self, error: Error) -> Error {
        if let Some(problem) = error.problem() {
            self.report(problem);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn each_place_is_told_once_and_a_flood_is_cut() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&lines);
        let reporter = Reporter::new(Box::new(move |line| copy.lock().push(line.to_owned())));
        for _ in 0..3 {
            reporter.report(&Problem::new(Place::Inode(12), "is odd"));
        }
        assert_eq!(*lines.lock(), ["inode 12: is odd"]);
        for block in 0..10_000 {
            reporter.report(&Problem::new(Place::Block(block), "is odd"));
        }
        let count = lines.lock().len();
        assert!(count <= 60, "{count} lines");
    }
}
