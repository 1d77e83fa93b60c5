//! Backing files: memfds, and unlinked files in a spool directory.
//!
//! References: memfd_create(2), open(2) O_TMPFILE, fcntl(2) "File Sealing".

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, fchmod, fcntl_add_seals, memfd_create, openat,
};
use rustix::io::Errno;

use super::reopen::reopen;

/// Longest name of a memfd used here; the kernel's limit is 249 bytes.
const LONGEST_NAME: usize = 200;

/// How a backing file has to look like.
pub(crate) struct BackingStyle<'a> {
    /// It can be run.
    pub(crate) is_executable: bool,
    /// Nobody can ever write to it.
    pub(crate) is_sealed: bool,
    /// Path in the view.
    pub(crate) name: &'a [u8],
}

/// Makes backing files.
pub(super) struct Spool {
    directories: Vec<PathBuf>,
    has_warned: AtomicBool,
}

impl Spool {
    /// `directories`: first choice first; empty: the usual ones.
    pub(super) fn new(directories: Vec<PathBuf>) -> Spool {
        let directories = match directories.is_empty() {
            false => directories,
            true => std::env::var_os("TMPDIR")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .into_iter()
                .chain(["/var/tmp", "/tmp"].map(PathBuf::from))
                .collect(),
        };
        Spool {
            directories,
            has_warned: AtomicBool::new(false),
        }
    }

    /// A new backing file, open for writing, and whether it is in memory. A file that does not fit in memory is made
    /// there all the same when no spool directory can be used.
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub(super) fn create(
        &self,
        style: &BackingStyle<'_>,
        fits_memory: bool,
    ) -> Result<(OwnedFd, bool), Errno> {
        if !fits_memory {
            match self.create_on_disk() {
                Some(file) => return Ok((file, false)),
                None => self.warn(),
            }
        }
        match create_in_memory(style) {
            Ok(file) => Ok((file, true)),
            // Where memfds that can be run are forbidden (vm.memfd_noexec), the disk may still do.
            Err(error) if style.is_executable => {
                self.create_on_disk().map(|file| (file, false)).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    fn create_on_disk(&self) -> Option<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        self.directories
            .iter()
            .find_map(|directory| openat(CWD, directory.as_path(), flags, mode).ok())
    }

    fn warn(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            eprintln!(
                "view: no spool directory for large files can be used (tried {}); they take memory instead",
                self.directories
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
    }
}

/// A memfd whose name is the end of the path in the view.
fn create_in_memory(style: &BackingStyle<'_>) -> Result<OwnedFd, Errno> {
    let start = style.name.len().saturating_sub(LONGEST_NAME);
    let name = style.name.get(start..).unwrap_or_default();
    let mut flags = MemfdFlags::CLOEXEC;
    if style.is_sealed {
        flags |= MemfdFlags::ALLOW_SEALING;
    }
    match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the flag, and make every memfd executable.
        Err(Errno::INVAL) => memfd_create(name, flags),
        answer => answer,
    }
}

/// Seals a filled file. The kernel refuses the write seal (`EBUSY`) while it still holds pages of a large file for a
/// moment (mm/memfd.c, memfd_wait_for_pins); the seal is a second guard behind the open calls, so a file that stays
/// busy goes without it.
fn seal(writable: &OwnedFd) -> Result<(), Errno> {
    const TRIES: u32 = 5;
    let size = SealFlags::GROW | SealFlags::SHRINK;
    for attempt in 0..TRIES {
        match fcntl_add_seals(writable, size | SealFlags::WRITE | SealFlags::SEAL) {
            Err(Errno::BUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(u64::from(attempt)));
            }
            other => return other,
        }
    }
    fcntl_add_seals(writable, size | SealFlags::SEAL)
}

/// Makes a filled backing file ready: the right mode, no way to write if it is sealed. Answers a read-only description.
///
/// # Errors
/// Those of the calls.
pub(super) fn publish(
    writable: &OwnedFd,
    style: &BackingStyle<'_>,
    is_in_memory: bool,
) -> Result<OwnedFd, Errno> {
    let mode = match style.is_executable {
        true => Mode::RUSR | Mode::WUSR | Mode::XUSR,
        false => Mode::RUSR | Mode::WUSR,
    };
    fchmod(writable, mode)?;
    if style.is_sealed && is_in_memory {
        seal(writable)?;
    }
    reopen(writable.as_fd(), libc::O_RDONLY)
}
