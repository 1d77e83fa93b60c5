//! open(2) on the host.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::target::Target;

/// Flags that openat2(2) takes; open(2) ignores others.
const KNOWN: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DSYNC
    | libc::O_ASYNC
    | libc::O_DIRECT
    | libc::O_LARGEFILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE;
/// Flags that mean something together with `O_PATH`.
const KNOWN_WITH_PATH: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;

/// openat2(2) is missing or refused here.
static LACKS_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens with the caller's flags and mode; close-on-exec is set on this side.
///
/// # Errors
/// The kernel's; `ELOOP` for a symbolic link without `O_PATH`.
pub fn open(path: &[u8], flags: i32, mode: u32, umask: u32) -> Result<OwnedFd, Errno> {
    let known = match flags & libc::O_PATH {
        0 => KNOWN,
        _ => KNOWN_WITH_PATH,
    };
    let flags = (flags & known) | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let creates = flags & (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) != 0;
    let mode = match creates {
        true => Mode::from_bits_retain(mode & 0o7777 & !umask),
        false => Mode::empty(),
    };
    let flags = OFlags::from_bits_retain(flags as u32); // the same bits
    let target = Target::new(path)?;
    if !LACKS_OPENAT2.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(target.directory(), target.rest, flags, mode, resolve) {
            // Kernels before 5.6, and seccomp profiles that do not know the call.
            Err(Errno::NOSYS) => LACKS_OPENAT2.store(true, Ordering::Relaxed),
            answer => return answer,
        }
    }
    openat(target.directory(), target.rest, flags, mode)
}

/// Opens the object itself with `O_PATH`, also a symbolic link.
///
/// # Errors
/// The kernel's.
pub fn open_path(path: &[u8]) -> Result<OwnedFd, Errno> {
    open(path, libc::O_PATH | libc::O_NOFOLLOW, 0, 0)
}

/// Is there an object at a path that has no symbolic link in it? `flags` may be `O_DIRECTORY` and `O_NOFOLLOW` (the last
/// component may be a link).
///
/// # Errors
/// The kernel's; `ELOOP` where there is a link.
pub fn probe(path: &[u8], flags: OFlags) -> Result<(), Errno> {
    let target = Target::new(path)?;
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    openat2(
        target.directory(),
        target.rest,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    )
    .map(drop)
}
