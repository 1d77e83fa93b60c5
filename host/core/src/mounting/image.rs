//! The source of a mount that is an image: opened through the VFS, and locked against other mounts.
//!
//! A mount that may write holds an exclusive flock(2) on the image for as long as its module lives, others a shared
//! one: a second writer, or a reader beside a writer, is refused in whatever view it is. Other programs see the lock
//! only if they ask for it. No locks of its own.

use super::source::own_caller;
use crate::control::protocol::Refusal;
use fuse_compat::BlockSource;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::host_ops;
use view_vfs::object::{Dentry, Opened};
use view_vfs::page_cache::Descriptor;
use view_vfs::place::Place;

/// What a mount wants to do with its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To read: nobody said `rw`, or its module cannot write.
    Read,
    /// To write: `rw` was said.
    Write,
}

/// An opened and locked image.
pub(super) struct Image {
    /// Its bytes.
    pub(super) source: Arc<dyn BlockSource>,
    /// It was opened, and locked, for writing.
    pub(super) is_writable: bool,
    lock: OwnedFd,
}

impl Image {
    /// The module does not write after all: others may read beside it.
    pub(super) fn only_reads(&self) {
        if self.is_writable {
            // From exclusive to shared: there is nobody to refuse it.
            let _ = flock(&self.lock, FlockOperation::NonBlockingLockShared);
        }
    }
}

/// Opens an image.
///
/// # Errors
/// `ENOTBLK` for a directory, `EBUSY` when another mount holds it, those of open(2).
pub(super) fn open(place: &Place, access: Access) -> Result<Image, Refusal> {
    if place.kind().map_err(Refusal::from_errno)? == Kind::Directory {
        return Err(
            Refusal::new(libc::ENOTBLK, "the source is a directory, not an image")
                .with_hint("use -v SRC:DST for a directory of the host"),
        );
    }
    let is_writable = access == Access::Write;
    let flags = if is_writable {
        libc::O_RDWR
    } else {
        libc::O_RDONLY
    };
    let (descriptor, dentry) = open_as(place, flags).map_err(Refusal::from_errno)?;
    let lock = lock(&descriptor, is_writable)?;
    let file = File::from(descriptor);
    let source: Arc<dyn BlockSource> = match dentry {
        Some(dentry) => Arc::new(InnerFile { file, dentry }),
        None => Arc::new(file),
    };
    Ok(Image {
        source,
        is_writable,
        lock,
    })
}

fn open_as(place: &Place, flags: i32) -> Result<(OwnedFd, Option<Arc<Dentry>>), Errno> {
    match place {
        Place::Host { path, .. } => Ok((host_ops::open(path, flags, 0, 0)?, None)),
        Place::Node { mount, dentry } => {
            let mut caller = own_caller();
            caller.mount_is_read_only = mount.flags().read_only;
            match dentry.open(flags, &place.view_path(), &caller)? {
                Opened::File(file) => Ok((file.descriptor, Some(dentry.clone()))),
                _ => Err(Errno::NOTBLK),
            }
        }
    }
}

/// Locks an image, and gives a descriptor of the same open file description.
fn lock(descriptor: &OwnedFd, exclusively: bool) -> Result<OwnedFd, Refusal> {
    let operation = match exclusively {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    // On filesystems without locks (another error) nobody can be told.
    if flock(descriptor, operation) == Err(Errno::WOULDBLOCK) {
        let refusal = Refusal::new(libc::EBUSY, "the image is in use by another mount");
        return Err(match exclusively {
            true => refusal.with_hint("if that one only reads, `-o ro` lets both have it"),
            false => refusal.with_hint("that one may write to it"),
        });
    }
    let copy = descriptor.try_clone();
    copy.map_err(|error| Refusal::from_errno(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// An image that is a file on another mount of the view.
struct InnerFile {
    file: File,
    dentry: Arc<Dentry>,
}

impl BlockSource for InnerFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        BlockSource::read_at(&self.file, offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        BlockSource::write_at(&self.file, offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        let reporter = Descriptor {
            process: std::process::id(),
            number: self.file.as_raw_fd(),
        };
        let identity = Identity::of(&self.file)?;
        match self.dentry.synchronize_open(identity, &reporter, true)? {
            true => Ok(()),
            false => self.file.sync_data(),
        }
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn is_read_only(&self) -> bool {
        self.file.is_read_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, openat};

    fn open_again(path: &std::path::Path) -> OwnedFd {
        openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn a_writer_is_alone_and_readers_are_not() {
        let path = std::env::temp_dir().join(format!("view-lock-{}", std::process::id()));
        std::fs::write(&path, b"image").unwrap();
        let (one, other) = (open_again(&path), open_again(&path));
        let writer = Image {
            lock: lock(&one, true).unwrap(),
            source: Arc::new(File::from(one)),
            is_writable: true,
        };
        for exclusively in [true, false] {
            let refusal = lock(&other, exclusively).unwrap_err();
            assert_eq!(refusal.errno, libc::EBUSY);
            assert!(refusal.hint.is_some());
        }
        writer.only_reads();
        assert!(lock(&other, true).is_err());
        let reader = lock(&other, false).unwrap();
        drop((writer, reader, other));
        assert!(lock(&open_again(&path), true).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
