//! Messages from a module to its host: dropped caches, new data, poll wake-ups.
//!
//! The host implements [`NotifyTarget`] and hands out a [`Notifier`] through
//! [`crate::KernelConfig::notifier`] and [`crate::Filesystem::poll`].

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::INodeNo;

/// Names a poll request that waits for its wake-up.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct PollHandle(pub u64);

/// The host's side of a [`Notifier`]. Called from any thread of the module, also from within an operation:
/// an implementation takes no lock that it holds while it calls the module.
pub trait NotifyTarget: Send + Sync {
    /// The file that was polled is ready.
    fn poll(&self, handle: PollHandle) -> io::Result<()>;
    /// A name may mean something else now.
    fn inval_entry(&self, parent: INodeNo, name: &OsStr) -> io::Result<()>;
    /// Attributes (and `len` bytes from `offset`; all when `len` <= 0; none when `offset` < 0) are stale.
    fn inval_inode(&self, ino: INodeNo, offset: i64, len: i64) -> io::Result<()>;
    /// The contents at `offset` are these bytes.
    fn store(&self, ino: INodeNo, offset: u64, data: &[u8]) -> io::Result<()>;
    /// `name` in `parent`, the inode `child`, is gone.
    fn delete(&self, parent: INodeNo, child: INodeNo, name: &OsStr) -> io::Result<()>;
}

/// How a module tells its host something without having been asked.
#[derive(Clone)]
pub struct Notifier(Arc<dyn NotifyTarget>);

/// An entry or inode that the host does not know needs no invalidation.
fn unknown_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Notifier {
    /// Host side: a notifier that calls `target`.
    pub fn new(target: Arc<dyn NotifyTarget>) -> Notifier {
        Notifier(target)
    }

    /// See [`NotifyTarget::poll`].
    ///
    /// # Errors
    /// Those of the host.
    pub fn poll(&self, kh: PollHandle) -> io::Result<()> {
        self.0.poll(kh)
    }

    /// See [`NotifyTarget::inval_entry`].
    ///
    /// # Errors
    /// Those of the host; an unknown entry is none.
    pub fn inval_entry(&self, parent: INodeNo, name: &OsStr) -> io::Result<()> {
        unknown_is_fine(self.0.inval_entry(parent, name))
    }

    /// See [`NotifyTarget::inval_inode`].
    ///
    /// # Errors
    /// Those of the host; an unknown inode is none.
    pub fn inval_inode(&self, ino: INodeNo, offset: i64, len: i64) -> io::Result<()> {
        unknown_is_fine(self.0.inval_inode(ino, offset, len))
    }

    /// See [`NotifyTarget::store`].
    ///
    /// # Errors
    /// Those of the host; an unknown inode is none.
    pub fn store(&self, ino: INodeNo, offset: u64, data: &[u8]) -> io::Result<()> {
        unknown_is_fine(self.0.store(ino, offset, data))
    }

    /// See [`NotifyTarget::delete`].
    ///
    /// # Errors
    /// Those of the host; an unknown entry is none.
    pub fn delete(&self, parent: INodeNo, child: INodeNo, name: &OsStr) -> io::Result<()> {
        unknown_is_fine(self.0.delete(parent, child, name))
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notifier")
    }
}

/// A [`PollHandle`] with the notifier that wakes it.
#[derive(Clone, Debug)]
pub struct PollNotifier {
    handle: PollHandle,
    notifier: Notifier,
}

impl PollNotifier {
    /// Host side: wakes `handle` through `notifier`.
    pub fn new(handle: PollHandle, notifier: Notifier) -> PollNotifier {
        PollNotifier { handle, notifier }
    }

    /// The handle.
    pub fn handle(&self) -> PollHandle {
        self.handle
    }

    /// The file is ready: the host polls again.
    ///
    /// # Errors
    /// Those of the host.
    pub fn notify(self) -> io::Result<()> {
        self.notifier.poll(self.handle)
    }
}
