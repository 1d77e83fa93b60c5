//! What the kernel has said of threads that call, kept between calls: the process, and the file mode creation mask. Asking
//! (/proc/TID/status) takes as long as half of the rest of making a file.
//!
//! What is kept is of the very thread that was asked about: an open /proc/TID leads nowhere when the thread has gone,
//! whoever has its number now. A thread's process never changes. A mask changes only by umask(2), which is notified for that
//! reason: a kept one is true as long as nobody has called umask(2) since (masks may be shared, clone(2) CLONE_FS). A call
//! of umask(2) takes effect after it was notified, at the latest when its thread makes another call that is; until then no
//! mask is kept.
//!
//! Neighbours: `task` (asks), `syscall` (tells of umask(2)). Locks: `changing` is a leaf.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use crate::kept::Kept;

/// What is kept of a view's threads.
#[derive(Debug, Default)]
pub struct Callers {
    known: Kept<Known>,
    /// Calls of umask(2) so far.
    changes: AtomicU64,
    /// Threads whose umask(2) may not have taken effect yet.
    changing: Mutex<HashSet<u32>>,
    /// As many as `changing` holds, so that nothing is locked when there are none.
    changing_count: AtomicUsize,
}

/// What is asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Thread group id.
    pub process: u32,
    /// File mode creation mask.
    pub umask: u32,
    /// The kernel has answered: otherwise this is a guess, which is not kept.
    pub is_true: bool,
}

#[derive(Debug)]
struct Known {
    /// Its directory below /proc.
    directory: OwnedFd,
    told: Told,
    /// `Callers::changes` before it was asked for; `None` when the mask may have been changing.
    changes: Option<u64>,
}

impl Known {
    /// Is the thread that was asked about still there?
    fn is_alive(&self) -> bool {
        statat(&self.directory, "cwd", AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

impl Callers {
    /// A thread calls umask(2); it is going to be executed. Or it is not the first of its process and calls execve(2): then the
    /// first one's number will be its own, with a mask that may be another.
    pub fn changes_umask(&self, thread: u32) {
        let mut changing = self.changing.lock();
        changing.insert(thread);
        self.changing_count.store(changing.len(), Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Keeps nothing of anybody any more. Was there anything?
    pub fn clear(&self) -> bool {
        self.known.clear()
    }

    /// A thread makes another call: what it called before has taken effect.
    pub fn goes_on(&self, thread: u32) {
        if self.changing_count.load(Ordering::SeqCst) != 0 {
            let mut changing = self.changing.lock();
            changing.remove(&thread);
            self.changing_count.store(changing.len(), Ordering::SeqCst);
        }
    }

    /// The process of a thread that waits for the answer to a call; `ask` asks the kernel.
    pub fn process(&self, thread: u32, ask: impl FnOnce() -> Told) -> u32 {
        self.told(thread, |_| true, ask).process
    }

    /// The mask of a thread that waits for the answer to a call; `ask` asks the kernel.
    pub fn umask(&self, thread: u32, ask: impl FnOnce() -> Told) -> u32 {
        let changes = self.changes.load(Ordering::SeqCst);
        let is_true = |known: &Known| known.changes == Some(changes);
        self.told(thread, is_true, ask).umask
    }

    fn told(
        &self,
        thread: u32,
        is_enough: impl FnOnce(&Known) -> bool,
        ask: impl FnOnce() -> Told,
    ) -> Told {
        if let Some(known) = self.known.get(thread)
            && is_enough(&known)
            && known.is_alive()
        {
            return known.told;
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let changes = (!self.is_one_changing()).then_some(changes);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Opened before it is asked about: the thread waits, so both are of the same one.
        let directory = openat(CWD, format!("/proc/{thread}"), flags, Mode::empty());
        let told = ask();
        if told.is_true
            && let Ok(directory) = directory
        {
            let known = Known {
                directory,
                told,
                changes,
            };
            self.known.keep(thread, known);
        }
        told
    }

    /// May a umask(2) that was notified still have to take effect? Threads that have gone have made their last.
    fn is_one_changing(&self) -> bool {
        if self.changing_count.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut changing = self.changing.lock();
        changing.retain(|thread| statat(CWD, format!("/proc/{thread}"), AtFlags::empty()).is_ok());
        self.changing_count.store(changing.len(), Ordering::SeqCst);
        !changing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get() as u32
    }

    fn with(umask: u32) -> impl FnOnce() -> Told {
        move || Told {
            process: 7,
            umask,
            is_true: true,
        }
    }

    #[test]
    fn what_is_known_is_not_asked_again_until_somebody_changes_it() {
        let callers = Callers::default();
        assert_eq!(callers.umask(own(), with(0o22)), 0o22);
        assert_eq!(callers.umask(own(), || panic!("known")), 0o22);
        callers.changes_umask(own());
        assert_eq!(callers.process(own(), || panic!("known")), 7);
        assert_eq!(callers.umask(own(), with(0o22)), 0o22, "not executed yet");
        assert_eq!(
            callers.umask(own(), with(0o77)),
            0o77,
            "so it was not trusted"
        );
        callers.goes_on(own());
        assert_eq!(callers.umask(own(), with(0o77)), 0o77);
        assert_eq!(callers.umask(own(), || panic!("known")), 0o77);
    }

    #[test]
    fn a_change_while_the_kernel_is_asked_makes_the_answer_old() {
        let callers = Callers::default();
        let ask = || {
            callers.changes_umask(1);
            with(0o22)()
        };
        assert_eq!(callers.umask(own(), ask), 0o22);
        callers.goes_on(1);
        assert_eq!(callers.umask(own(), with(0o77)), 0o77);
    }

    #[test]
    fn another_thread_of_the_same_number_is_not_taken_for_the_first() {
        let callers = Callers::default();
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        assert_eq!(callers.umask(child.id(), with(0o22)), 0o22);
        assert_eq!(callers.umask(child.id(), || panic!("known")), 0o22);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(callers.umask(child.id(), with(0o77)), 0o77);
    }

    #[test]
    fn one_that_has_gone_is_not_waited_for() {
        let callers = Callers::default();
        callers.changes_umask(u32::MAX);
        assert_eq!(callers.umask(own(), with(0o22)), 0o22);
        assert_eq!(callers.umask(own(), || panic!("known")), 0o22);
    }
}
