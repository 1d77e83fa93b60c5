//! A pidfd of each thread that called lately. By it a descriptor of the thread's is reached in half the time that a look at
//! /proc/TID/fd takes.
//!
//! A pidfd is of the very thread that it was opened for: when that has gone it leads nowhere, whoever has its number now.
//!
//! Neighbours: `task` (asks). Locks: `known` is a leaf.
//! Reference: pidfd_open(2) `PIDFD_THREAD` (since Linux 6.9), pidfd_getfd(2).

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// More threads than this are not remembered at a time.
const MOST_KNOWN: usize = 64;
/// `PIDFD_THREAD`
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);

/// What is kept of a view's threads.
#[derive(Debug, Default)]
pub struct Pidfds {
    known: Mutex<HashMap<u32, Arc<OwnedFd>>>,
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
        let kept = self.known.lock().get(&thread).cloned();
        let kept = kept.map(|pidfd| get(&pidfd, number));
        let found = match kept {
            None | Some(Err(Errno::SRCH)) => {
                let pidfd = match pidfd_open(Pid::from_raw(thread as i32)?, THREAD) {
                    Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                        self.is_refused.store(true, Ordering::Relaxed);
                        return None;
                    }
                    pidfd => pidfd.ok()?,
                };
                let found = get(&pidfd, number);
                self.keep(thread, Arc::new(pidfd));
                found
            }
            Some(found) => found,
        };
        match found {
            Ok(_) | Err(Errno::BADF) => Some(found),
            Err(_) => None,
        }
    }

    fn keep(&self, thread: u32, pidfd: Arc<OwnedFd>) {
        let mut known = self.known.lock();
        let is_new = !known.contains_key(&thread);
        let leaving = known.keys().next().copied();
        let gone = match leaving {
            // One goes for each that comes: the descriptors are never more nor fewer.
            Some(leaving) if is_new && known.len() >= MOST_KNOWN => known.remove(&leaving),
            _ => None,
        };
        let old = known.insert(thread, pidfd);
        drop(known);
        drop((gone, old));
    }
}

fn get(pidfd: &OwnedFd, number: i32) -> Result<OwnedFd, Errno> {
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::process::{Command, Stdio};

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

    #[test]
    fn many_threads_take_no_more_descriptors() {
        let pidfds = Pidfds::default();
        for _ in 0..MOST_KNOWN + 10 {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let found = pidfds.descriptor(child.id(), 0).unwrap();
            assert!(found.is_ok());
            child.stdin.take().unwrap().flush().unwrap();
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(pidfds.known.lock().len(), MOST_KNOWN);
    }
}
