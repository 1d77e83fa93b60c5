//! Errors of write-backs, and who has been told of them.
//!
//! Neighbours: `written` (keeps them under its state's lock).

use std::collections::HashMap;

use rustix::io::Errno;

/// Which descriptor of which process asks for errors. Stands for the open file description, which has no name that
/// the kernel would tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reporter {
    /// Process id (not of the thread).
    pub process: u32,
    /// Number of the descriptor.
    pub descriptor: i32,
}

/// The errors of a file, as Linux's `errseq_t`: each descriptor is told once.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// The last error and its number; the first has number 1.
    pub(super) last: Option<(u64, Errno)>,
    pub(super) is_seen: bool,
    pub(super) has_recovered: bool,
    /// How often the file had been opened for writing when it happened.
    pub(super) opens: u64,
    pub(super) told: HashMap<Reporter, u64>,
}

impl Errors {
    pub(super) fn note(&mut self, error: Errno, opens: u64) {
        // The same trouble once more is no news until it was over.
        let is_known = !self.has_recovered && self.last.is_some_and(|(_, last)| last == error);
        if !is_known {
            let number = self.last.map_or(0, |(number, _)| number) + 1;
            self.last = Some((number, error));
            self.is_seen = false;
            self.opens = opens;
        }
        self.has_recovered = false;
    }

    pub(super) fn take(&mut self, reporter: Reporter, opens: u64) -> Option<Errno> {
        /// More are forgotten: some may be told twice.
        const MOST: usize = 4096;
        let (number, error) = self.last?;
        if self.told.len() >= MOST {
            self.told.clear();
        }
        let is_news = match self.told.insert(reporter, number) {
            Some(told) => told != number,
            // Of a descriptor that was perhaps opened later: only what nobody has heard of, or what still holds.
            None => opens == self.opens || !self.is_seen || !self.has_recovered,
        };
        if is_news {
            self.is_seen = true;
        }
        is_news.then_some(error)
    }
}
