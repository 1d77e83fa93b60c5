//! The flags of the open calls: which there are, what they exclude, and the form that openat2(2) takes them in.
//!
//! Neighbours: `open` (uses them). No locks.

use crate::task::Task;
use rustix::io::Errno;
use view_sys::memory;

/// Flags that open(2) knows (include/linux/fcntl.h, VALID_OPEN_FLAGS).
const KNOWN_FLAGS: i32 = libc::O_ACCMODE
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
    | 0o100000 // O_LARGEFILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE;
/// The bit that only O_TMPFILE has.
pub const TMPFILE_BIT: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;
const PATH_FLAGS: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_PATH | libc::O_CLOEXEC;

/// How to open, as `struct open_how` of openat2(2) says it.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// O_*
    pub flags: i32,
    /// Permission bits of a file that is created.
    pub mode: u32,
    /// RESOLVE_*
    pub resolve: u64,
}

impl How {
    /// Is the descriptor to be closed by an exec?
    pub fn close_on_exec(self) -> bool {
        self.flags & libc::O_CLOEXEC != 0
    }

    /// Does this change the file, so that a read-only mount refuses it?
    pub fn wants_to_write(self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY || self.flags & libc::O_TRUNC != 0
    }
}

/// The checks of open(2): unknown flags are ignored.
pub fn lenient(flags: i32, mode: u32) -> Result<How, Errno> {
    let mut flags = flags & KNOWN_FLAGS;
    if flags & libc::O_PATH != 0 {
        flags &= PATH_FLAGS;
    }
    let creates = flags & (libc::O_CREAT | TMPFILE_BIT) != 0;
    check(How {
        flags,
        mode: if creates { mode & 0o7777 } else { 0 },
        resolve: 0,
    })
}

/// What both kinds of open refuse (fs/open.c, build_open_flags).
fn check(how: How) -> Result<How, Errno> {
    let flags = how.flags;
    if flags & TMPFILE_BIT != 0 {
        if flags & libc::O_TMPFILE != libc::O_TMPFILE || flags & libc::O_CREAT != 0 {
            return Err(Errno::INVAL);
        }
        if flags & libc::O_ACCMODE == libc::O_RDONLY {
            return Err(Errno::INVAL);
        }
    }
    if flags & libc::O_CREAT != 0 && flags & libc::O_DIRECTORY != 0 {
        return Err(Errno::INVAL);
    }
    Ok(how)
}

/// What openat2(2) was given: unknown flags and sizes are refused.
///
/// # Errors
/// EINVAL, E2BIG or EAGAIN as openat2(2) says; EFAULT.
pub fn strict(task: &Task<'_>) -> Result<How, Errno> {
    const SIZE: usize = 24;
    const KNOWN_RESOLVE: u64 = 0x3f;
    const BENEATH_OR_ROOT: u64 = 0x18;
    let size = task.argument(3) as usize;
    if size < SIZE {
        return Err(Errno::INVAL);
    }
    if size > 4096 {
        return Err(Errno::TOOBIG);
    }
    let mut bytes = vec![0u8; size];
    memory::read_exact(task.call.tid, task.argument(2), &mut bytes)?;
    if bytes[SIZE..].iter().any(|&byte| byte != 0) {
        return Err(Errno::TOOBIG);
    }
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let (flags, mode, resolve) = (word(0), word(8), word(16));
    let known = KNOWN_FLAGS as u32 as u64;
    if flags & !known != 0
        || resolve & !KNOWN_RESOLVE != 0
        || resolve & BENEATH_OR_ROOT == BENEATH_OR_ROOT
    {
        return Err(Errno::INVAL);
    }
    let flags = flags as i32;
    if flags & (libc::O_CREAT | TMPFILE_BIT) != 0 {
        if mode & !0o7777 != 0 {
            return Err(Errno::INVAL);
        }
    } else if mode != 0 {
        return Err(Errno::INVAL);
    }
    if flags & libc::O_PATH != 0 && flags & !PATH_FLAGS != 0 {
        return Err(Errno::INVAL);
    }
    // RESOLVE_CACHED can't be promised for something that would create or truncate (openat2(2)).
    if resolve & 0x20 != 0
        && flags & (libc::O_TRUNC | libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0
    {
        return Err(Errno::AGAIN);
    }
    check(How {
        flags,
        mode: mode as u32,
        resolve,
    })
}
