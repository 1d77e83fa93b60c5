//! A path as the kernel takes it: one longer than PATH_MAX becomes a directory descriptor and a rest.
//!
//! A path that is short enough in the view may be too long on the host, where it starts with a mount's source.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Bytes of a path that the kernel takes, without the zero byte (PATH_MAX, limits.h).
const LONGEST: usize = 4095;

/// Where an object is: `rest` below a directory.
pub(super) struct Target<'a> {
    base: Option<OwnedFd>,
    /// What to pass to the kernel.
    pub(super) rest: &'a [u8],
}

impl<'a> Target<'a> {
    /// Opens as many leading directories as needed.
    pub(super) fn new(path: &'a [u8]) -> Result<Target<'a>, Errno> {
        let mut target = Target {
            base: None,
            rest: path,
        };
        while target.rest.len() > LONGEST {
            let head = target.rest.get(..LONGEST).unwrap_or_default();
            let end = head
                .iter()
                .rposition(|&byte| byte == b'/')
                .filter(|&end| end > 0)
                .ok_or(Errno::NAMETOOLONG)?;
            let (head, rest) = target.rest.split_at(end);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let base = openat(target.directory(), head, flags, Mode::empty())?;
            target = Target {
                base: Some(base),
                rest: without_slashes(rest),
            };
        }
        Ok(target)
    }

    /// The directory that `rest` is relative to; irrelevant when that is absolute.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        match &self.base {
            Some(base) => base.as_fd(),
            None => CWD,
        }
    }

    /// Is the path too long for calls that take no directory?
    pub(super) fn is_long(&self) -> bool {
        self.base.is_some()
    }
}

/// Without leading slashes, so that a rest is relative.
fn without_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&byte| byte != b'/');
    start
        .and_then(|start| path.get(start..))
        .unwrap_or_default()
}
