//! Another open file description of the same file, with flags of its own.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// What of open(2)'s flags belongs to the new description. Creating, truncating and following links were dealt with
/// before.
const KEPT: i32 = libc::O_ACCMODE
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_DIRECT
    | libc::O_SYNC
    | libc::O_DSYNC
    | libc::O_NOATIME
    | libc::O_LARGEFILE;

/// Opens the file of `descriptor` again through its magic link, proc_pid_fd(5). Close-on-exec is set.
///
/// # Errors
/// Those of open(2): `EACCES`, `ETXTBSY`, `EMFILE`...
pub fn reopen(descriptor: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let open = |flags: i32| {
        let flags = OFlags::from_bits_retain(flags as u32); // the same bits
        openat(CWD, path.as_str(), flags | OFlags::CLOEXEC, Mode::empty())
    };
    match open(flags & KEPT) {
        // The backing file's filesystem has no direct I/O; the file's own might have had.
        Err(Errno::INVAL) if flags & libc::O_DIRECT != 0 => open(flags & KEPT & !libc::O_DIRECT),
        answer => answer,
    }
}
