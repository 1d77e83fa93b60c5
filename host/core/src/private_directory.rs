//! The supervisor's private directory: names that exist only while a tracee's call needs them.
//!
//! Programs being executed get a name there (so that the kernel's idea of `comm` is right), FIFOs and sockets of
//! modules get real nodes. It is mode 0700; it lies in the directory of the markers and goes with it.

use rustix::fs::Mode;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory.
#[derive(Debug)]
pub struct PrivateDirectory {
    path: PathBuf,
    next: AtomicU64,
}

/// A symbolic link that goes when this is dropped.
#[derive(Debug)]
pub struct TemporaryLink {
    directory: PathBuf,
    link: PathBuf,
}

impl PrivateDirectory {
    /// Makes the directory inside `base`, which is private to this view and removed after it.
    pub fn inside(base: &Path) -> Result<Self, Errno> {
        let path = base.join("names");
        rustix::fs::mkdir(&path, Mode::RWXU)?;
        Ok(Self {
            path,
            next: AtomicU64::new(0),
        })
    }

    fn fresh(&self) -> PathBuf {
        self.path
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A link called `name` to `target`.
    pub fn link(&self, name: &[u8], target: &[u8]) -> Result<TemporaryLink, Errno> {
        let directory = self.fresh();
        rustix::fs::mkdir(&directory, Mode::RWXU)?;
        let name = if name.is_empty() || name.contains(&b'/') {
            b"program"
        } else {
            name
        };
        let link = directory.join(OsStr::from_bytes(name));
        let made = rustix::fs::symlink(target, &link);
        let temporary = TemporaryLink { directory, link };
        made.map(|()| temporary)
    }

    /// A name for a new node; nothing is there yet.
    pub fn node_path(&self) -> Vec<u8> {
        self.fresh().into_os_string().into_encoded_bytes()
    }
}

impl TemporaryLink {
    /// Its path.
    pub fn path(&self) -> &[u8] {
        self.link.as_os_str().as_bytes()
    }
}

impl Drop for TemporaryLink {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.link);
        let _ = rustix::fs::rmdir(&self.directory);
    }
}
