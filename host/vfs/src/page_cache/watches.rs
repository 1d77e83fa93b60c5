//! Which backing files something happened to: an inotify(7) instance whose watches stand for files.
//!
//! Neighbours: `watcher` (hears of closes), `prompt` (of writes). `keys` is a leaf.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::FileKey;

/// Files that are watched for one kind of event.
pub(super) struct Watches {
    inotify: OwnedFd,
    wanted: WatchFlags,
    keys: Mutex<HashMap<i32, FileKey>>,
}

impl Watches {
    /// `None` when the kernel gives no inotify instance.
    pub(super) fn new(wanted: WatchFlags) -> Option<Watches> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        Some(Watches {
            inotify: inotify::init(flags).ok()?,
            wanted,
            keys: Mutex::default(),
        })
    }

    /// Hears of this backing file. Where the kernel refuses, it does not.
    pub(super) fn add(&self, file: &OwnedFd, key: FileKey) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // Held over the call: an event must not come before its watch is known.
        let mut keys = self.keys.lock();
        if let Ok(watch) = inotify::add_watch(&self.inotify, path.as_str(), self.wanted) {
            keys.insert(watch, key);
        }
    }

    /// Hears no more of this file.
    pub(super) fn remove(&self, key: FileKey) {
        let mut keys = self.keys.lock();
        keys.retain(|watch, watched| {
            let stays = *watched != key;
            if !stays {
                // Refused when the file is gone already.
                let _ = inotify::remove_watch(&self.inotify, *watch);
            }
            stays
        });
    }

    /// Can be read when there are events.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.inotify
    }

    /// Waits for an event, at most this long.
    pub(super) fn wait(&self, limit: Duration) {
        let mut polled = [PollFd::new(&self.inotify, PollFlags::IN)];
        let _ = poll(&mut polled, limit.try_into().ok().as_ref());
    }

    /// The files to which it happened, each once. When events were lost: all.
    pub(super) fn take(&self) -> Vec<FileKey> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let wanted = ReadFlags::from_bits_retain(self.wanted.bits());
        let mut found = Vec::new();
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    found.extend(self.keys.lock().values().copied());
                }
                Ok(event) if event.events().intersects(wanted) => {
                    found.extend(self.keys.lock().get(&event.wd()).copied());
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    self.keys.lock().remove(&event.wd());
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
