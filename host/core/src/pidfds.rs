//! A pidfd of each thread that called lately. By it a descriptor of the thread's is reached in half the time that a look at
//! /proc/TID/fd takes.
//!
//! A pidfd is of the very thread that it was opened for: when that has gone it leads nowhere, whoever has its number now.
//!
//! Neighbours: `task` (asks). No locks but that of `kept`.
//! Reference: pidfd_open(2) `PIDFD_THREAD` (since Linux 6.9), pidfd_getfd(2).

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::kept::Kept;

/// `PIDFD_THREAD`
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);

/// What is kept of a view's threads.
#[derive(Debug, Default)]
pub struct Pidfds {
    known: Kept<OwnedFd>,
    /// This host does not do it.
    is_refused: AtomicBool,
}

impl Pidfds {
    /// A descriptor of a thread that waits for the answer to a call: its open file description (position and flags are
    /// shared), or `EBADF`. `None`: it cannot be reached this way.
    pub fn descriptor(&self, thread: u32, number: i32) -> Option<Result<OwnedFd, Errno>> {
        if self.is_refused.load(Ordering::Relaxed) {
            return None;
        }
        let kept = self.known.get(thread);
        let found = match kept.map(|pidfd| get(&pidfd, number)) {
            None | Some(Err(Errno::SRCH)) => {
                let pidfd = match pidfd_open(Pid::from_raw(thread as i32)?, THREAD) {
                    Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                        self.is_refused.store(true, Ordering::Relaxed);
                        return None;
                    }
                    pidfd => pidfd.ok()?,
                };
                let found = get(&pidfd, number);
                self.known.keep(thread, pidfd);
                found
            }
            Some(found) => found,
        };
        match found {
            Ok(_) | Err(Errno::BADF) => Some(found),
            Err(_) => None,
        }
    }

    /// Keeps none any more. Was there one?
    pub fn clear(&self) -> bool {
        self.known.clear()
    }
}

fn get(pidfd: &OwnedFd, number: i32) -> Result<OwnedFd, Errno> {
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn descriptors_of_a_thread_are_its_own() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            sender.send(rustix::thread::gettid()).unwrap();
            let _ = wait.recv();
        });
        let number = receiver.recv().unwrap().as_raw_nonzero().get() as u32;
        let file = File::open("/").unwrap();
        let pidfds = Pidfds::default();
        for _ in 0..2 {
            let found = pidfds
                .descriptor(number, file.as_raw_fd())
                .unwrap()
                .unwrap();
            assert_eq!(
                rustix::fs::fstat(&found).unwrap().st_ino,
                rustix::fs::fstat(&file).unwrap().st_ino
            );
        }
        let none = pidfds.descriptor(number, 1 << 20).unwrap();
        assert_eq!(none.err(), Some(Errno::BADF));
        drop(end);
        thread.join().unwrap();
        assert!(pidfds.descriptor(number, file.as_raw_fd()).is_none());
    }
}
