//! Looking at a file that others write to, without copying it.
//!
//! A [`FileMapping`] is a shared mapping that is only read. Others may change what it shows at any moment, so it is seen
//! as atomic words; and they may make the file shorter, so that the kernel answers a read with SIGBUS. The handler of that
//! signal puts a page of zeros where the file has none, and the mapping remembers that it is damaged: the read goes on,
//! and whoever asked finds out afterwards that it is worth nothing.
//!
//! Locks: `SLOTS` is a table of atomics, for a signal handler may not wait.
//!
//! References: mmap(2), sigaction(2), signal-safety(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::digest::{PAGE_BYTES, Page};

/// The mappings there are.
static SLOTS: [Slot; 128] = [const { Slot::free() }; 128];
/// What SIGBUS did before.
static FORMER: OnceLock<Former> = OnceLock::new();

struct Slot {
    is_taken: AtomicBool,
    /// Address of the first byte; 0 while there is none.
    start: AtomicUsize,
    end: AtomicUsize,
    is_damaged: AtomicBool,
}

impl Slot {
    const fn free() -> Slot {
        Slot {
            is_taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            is_damaged: AtomicBool::new(false),
        }
    }
}

struct Former(libc::sigaction);

/// A file, mapped for reading.
#[derive(Debug)]
pub struct FileMapping {
    start: NonNull<u8>,
    length: usize,
    slot: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; what it shows is only read, and as atomics.
unsafe impl Send for FileMapping {}
// SAFETY: as above.
unsafe impl Sync for FileMapping {}

impl FileMapping {
    /// Maps the first `length` bytes (rounded up to whole pages), which may be more than the file has.
    ///
    /// # Errors
    /// Those of mmap(2); `EMFILE` when there are too many.
    pub fn new(file: impl AsFd, length: usize) -> io::Result<FileMapping> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let length = length
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or_else(invalid)?;
        install_handler()?;
        let slot = SLOTS
            .iter()
            .position(|slot| !slot.is_taken.swap(true, Ordering::AcqRel));
        let Some((index, slot)) = slot.and_then(|index| Some((index, SLOTS.get(index)?))) else {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        };
        // SAFETY: a new mapping at an address that the kernel chooses: no memory that anybody has is touched.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_fd().as_raw_fd(),
                0,
            )
        };
        let mapped = match start {
            libc::MAP_FAILED => None,
            start => NonNull::new(start.cast::<u8>()),
        };
        let Some(start) = mapped else {
            let error = io::Error::last_os_error();
            slot.is_taken.store(false, Ordering::Release);
            return Err(error);
        };
        slot.is_damaged.store(false, Ordering::Relaxed);
        slot.end
            .store(start.as_ptr() as usize + length, Ordering::Relaxed);
        slot.start.store(start.as_ptr() as usize, Ordering::Release);
        Ok(FileMapping {
            start,
            length,
            slot: index,
        })
    }

    /// Bytes that are mapped.
    pub fn length(&self) -> usize {
        self.length
    }

    /// What is mapped. Behind the end of the file there are zeros, and reading them is damage.
    pub fn pages(&self) -> &[Page] {
        // SAFETY: the mapping is `length` readable bytes, aligned to a page, for as long as `self` lives: where the file
        // ends, the handler puts readable pages. Others change the bytes at any time, which atomics allow; they are
        // only loaded, which atomics of this size allow on memory that is mapped for reading only.
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr().cast::<Page>(), self.length / PAGE_BYTES)
        }
    }

    /// Was the file too short, or not readable, at any time when it was looked at here? What was seen then counts for
    /// nothing, and the mapping shows the file no more.
    pub fn is_damaged(&self) -> bool {
        SLOTS
            .get(self.slot)
            .is_none_or(|slot| slot.is_damaged.load(Ordering::Acquire))
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        if let Some(slot) = SLOTS.get(self.slot) {
            slot.start.store(0, Ordering::Release);
        }
        // SAFETY: the mapping is ours, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        if let Some(slot) = SLOTS.get(self.slot) {
            slot.is_taken.store(false, Ordering::Release);
        }
    }
}

/// Has SIGBUS come to [`on_bus_error`].
fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<i32> = OnceLock::new();
    let code = *INSTALLED.get_or_init(|| {
        // SAFETY: both structures are plain data and live through the calls; the first call only asks.
        unsafe {
            let mut former: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGBUS, ptr::null(), &mut former) != 0 {
                return errno();
            }
            // Before the handler, which reads it.
            let _ = FORMER.set(Former(former));
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            match libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) {
                0 => 0,
                _ => errno(),
            }
        }
    });
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

/// Puts zeros where a mapped file has nothing. Any other SIGBUS is left to what was there before: the instruction is run again
/// and meets it.
extern "C" fn on_bus_error(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t to a handler with SA_SIGINFO, and SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &SLOTS {
        let start = slot.start.load(Ordering::Acquire);
        if start == 0 || address < start || address >= slot.end.load(Ordering::Relaxed) {
            continue;
        }
        slot.is_damaged.store(true, Ordering::Release);
        let page = address / PAGE_BYTES * PAGE_BYTES;
        // SAFETY: the page lies in a mapping of ours, that somebody reads at this moment and so exists; a system call is
        // all that is made, and the C library's error number is put back.
        let is_mapped = unsafe {
            let error = libc::__errno_location();
            let kept = *error;
            let answer = libc::mmap(
                page as *mut libc::c_void,
                PAGE_BYTES,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            );
            *error = kept;
            answer != libc::MAP_FAILED
        };
        if is_mapped {
            return;
        }
    }
    if let Some(Former(former)) = FORMER.get() {
        // SAFETY: sigaction(2) may be called in a handler, and the structure is what the kernel gave.
        unsafe { libc::sigaction(libc::SIGBUS, former, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::io::pwrite;
    use std::os::fd::OwnedFd;

    /// One test takes all places that there are.
    static PLACES: std::sync::RwLock<()> = std::sync::RwLock::new(());

    fn file(bytes: &[u8]) -> OwnedFd {
        let file = memfd_create("mapping", MemfdFlags::CLOEXEC).unwrap();
        pwrite(&file, bytes, 0).unwrap();
        file
    }

    fn word(mapping: &FileMapping, index: usize) -> u64 {
        mapping.pages()[index / 512].0[index % 512].load(Ordering::Relaxed)
    }

    #[test]
    fn what_others_write_is_seen() {
        let _few = PLACES.read();
        let file = file(&[1; 8192]);
        let mapping = FileMapping::new(&file, 5000).unwrap();
        assert_eq!((mapping.length(), mapping.pages().len()), (8192, 2));
        assert_eq!(word(&mapping, 1023), 0x0101_0101_0101_0101);
        pwrite(&file, &7u64.to_le_bytes(), 4096).unwrap();
        assert_eq!(word(&mapping, 512), 7);
        assert!(!mapping.is_damaged());
    }

    #[test]
    fn a_file_that_is_cut_gives_zeros_and_says_so() {
        let _few = PLACES.read();
        for _ in 0..300 {
            let file = file(&[1; 8192]);
            let other = FileMapping::new(&file, 4096).unwrap();
            let mapping = FileMapping::new(&file, 1 << 20).unwrap();
            assert_eq!(word(&mapping, 600), 0x0101_0101_0101_0101);
            ftruncate(&file, 4096).unwrap();
            assert_eq!(word(&mapping, 511), 0x0101_0101_0101_0101);
            assert!(!mapping.is_damaged());
            assert_eq!(word(&mapping, 600), 0);
            assert!(mapping.is_damaged());
            assert_eq!(word(&mapping, (1 << 17) - 1), 0);
            assert!(!other.is_damaged(), "that is another");
        }
    }

    #[test]
    fn there_may_be_too_many() {
        let _all = PLACES.write();
        let file = file(&[1; 4096]);
        let mappings: Vec<_> = (0..SLOTS.len() + 1)
            .map_while(|_| FileMapping::new(&file, 4096).ok())
            .collect();
        assert_eq!(mappings.len(), SLOTS.len());
        drop(mappings);
        assert!(FileMapping::new(&file, 4096).is_ok());
    }
}
