//! Descriptor calls that rustix lacks: is a file open anywhere else?
//!
//! The kernel grants a write lease only to the holder of the sole open file description of a regular file (mappings
//! and running programs hold one too), so taking a lease and giving it back is the question. The page cache of the
//! virtual filesystem asks it before it drops a file. No locks.
//!
//! Reference: fcntl(2) "Leases", Linux `fs/locks.c` (`check_conflicting_open`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The fcntl(2) command that sets the signal for lease breaks (Linux `include/uapi/asm-generic/fcntl.h`); libc has no
/// constant for it.
const F_SETSIG: i32 = 10;

/// Is the file of this description open, mapped or running through any other open file description, in any process?
/// `O_PATH` descriptors do not count. The caller must own the file.
///
/// # Errors
/// `EACCES` when the file belongs to somebody else, `EINVAL` when it is no regular file or its filesystem has no
/// leases.
pub fn is_opened_elsewhere(descriptor: impl AsFd) -> io::Result<bool> {
    let descriptor = descriptor.as_fd();
    // Whoever opens the file in the moment of the lease makes the kernel signal us; the default signal, SIGIO, would
    // end the process, SIGURG is ignored by default.
    integer_fcntl(descriptor, F_SETSIG, libc::SIGURG)?;
    match integer_fcntl(descriptor, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(_) => {
            integer_fcntl(descriptor, libc::F_SETLEASE, libc::F_UNLCK)?;
            Ok(false)
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Is the file of this read-only description open for writing, or mapped so, through any open file description, in any
/// process? A read lease is granted only when it is not. The caller must own the file.
///
/// # Errors
/// As [`is_opened_elsewhere`].
pub fn is_written_elsewhere(descriptor: impl AsFd) -> io::Result<bool> {
    let descriptor = descriptor.as_fd();
    integer_fcntl(descriptor, F_SETSIG, libc::SIGURG)?;
    match integer_fcntl(descriptor, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(_) => {
            integer_fcntl(descriptor, libc::F_SETLEASE, libc::F_UNLCK)?;
            Ok(false)
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

/// An fcntl(2) command whose argument is an integer.
fn integer_fcntl(descriptor: BorrowedFd<'_>, command: i32, argument: i32) -> io::Result<i32> {
    // SAFETY: the descriptor is open for the length of the borrow, and the commands used here (F_SETSIG, F_SETLEASE)
    // take an integer: no memory of this process is read or written by the kernel.
    let answer = unsafe { libc::fcntl(descriptor.as_raw_fd(), command, argument) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    /// A memfd of which the test holds only a read-only description.
    fn read_only_memfd() -> File {
        let descriptor =
            rustix::fs::memfd_create("lease", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut writable = File::from(descriptor);
        writable.write_all(b"contents").unwrap();
        File::open(format!("/proc/self/fd/{}", writable.as_raw_fd())).unwrap()
    }

    #[test]
    fn another_description_counts_as_open() {
        let file = read_only_memfd();
        assert!(!is_opened_elsewhere(&file).unwrap());
        let other = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert!(is_opened_elsewhere(&file).unwrap());
        drop(other);
        assert!(!is_opened_elsewhere(&file).unwrap());
    }

    #[test]
    fn a_duplicate_of_the_same_description_does_not_count() {
        let file = read_only_memfd();
        let _same = file.try_clone().unwrap();
        assert!(!is_opened_elsewhere(&file).unwrap());
    }

    #[test]
    fn a_writer_counts_as_writer_and_a_reader_does_not() {
        let file = read_only_memfd();
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let _reader = File::open(&link).unwrap();
        assert!(!is_written_elsewhere(&file).unwrap());
        let writer = std::fs::OpenOptions::new()
            .append(true)
            .open(&link)
            .unwrap();
        assert!(is_written_elsewhere(&file).unwrap());
        drop(writer);
        assert!(!is_written_elsewhere(&file).unwrap());
    }

    #[test]
    fn directories_have_no_leases() {
        let directory = File::open("/").unwrap();
        assert!(is_opened_elsewhere(&directory).is_err());
    }
}
