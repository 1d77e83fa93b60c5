//! The contents of one regular file: a memfd.
//!
//! Only a read-only descriptor is kept, because a file that is open for writing cannot be executed (`ETXTBSY`); it is
//! opened again for writing for the length of one call. The memfd carries the file's permission bits so that the kernel
//! drops set-id bits when it is written natively, with all bits of the owner added: access is checked from the inode,
//! and this process must always be able to open the memfd again.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::options::BLOCK_BYTES;
use fuse_compat::{Errno, TimeOrNow};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, SeekFrom, Stat, Timespec, Timestamps};

/// Bits the memfd has whatever the file's mode is.
const OWNER_BITS: u16 = 0o700;
/// Set-user-id and set-group-id.
pub(crate) const SET_ID_BITS: u16 = 0o6000;

#[derive(Debug)]
pub(crate) struct Contents {
    reader: File,
}

impl Contents {
    /// An empty file with these permission bits. Errors: `ENFILE` when no descriptor is left, `ENOMEM`.
    pub(crate) fn new(perm: u16) -> Result<Contents, Errno> {
        let name = "view-tmpfs";
        // Kernels before 6.3 do not know MFD_EXEC (and allow execution); vm.memfd_noexec=2 forbids it.
        let writer = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::EXEC)
            .or_else(|_| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC))
            .map_err(no_descriptor)?;
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let reader = File::open(path).map_err(|error| no_descriptor_io(&error))?;
        let contents = Contents { reader };
        contents.set_mode(perm)?;
        Ok(contents)
    }

    /// Another descriptor of the memfd.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd, Errno> {
        Ok(self.reader.try_clone()?.into())
    }

    fn writer(&self) -> Result<File, Errno> {
        let path = format!("/proc/self/fd/{}", self.reader.as_raw_fd());
        let opened = OpenOptions::new().write(true).open(path);
        opened.map_err(|error| no_descriptor_io(&error))
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        Ok(rustix::fs::fstat(&self.reader)?)
    }

    pub(crate) fn size_bytes(&self) -> Result<u64, Errno> {
        Ok(self.stat()?.st_size as u64)
    }

    /// Which of the set-id bits the memfd still has: the kernel drops them when the file is written.
    pub(crate) fn set_id_bits(stat: &Stat) -> u16 {
        (stat.st_mode & u32::from(SET_ID_BITS)) as u16
    }

    /// Sets the permission bits. Also sets ctime to now.
    pub(crate) fn set_mode(&self, perm: u16) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(u32::from(perm | OWNER_BITS));
        Ok(rustix::fs::fchmod(&self.reader, mode)?)
    }

    /// Sets times; `None` leaves a time as it is. Also sets ctime to now.
    pub(crate) fn set_times(
        &self,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
    ) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: timespec(atime),
            last_modification: timespec(mtime),
        };
        Ok(rustix::fs::futimens(&self.reader, &times)?)
    }

    pub(crate) fn set_size(&self, size_bytes: u64) -> Result<(), Errno> {
        if i64::try_from(size_bytes).is_err() {
            return Err(Errno::EFBIG);
        }
        Ok(self.writer()?.set_len(size_bytes)?)
    }

    /// At most `size` bytes at `offset`; fewer at the end.
    pub(crate) fn read(&self, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        // A request for gigabytes of a small file does not allocate gigabytes.
        let rest = self.size_bytes()?.saturating_sub(offset);
        let wanted = usize::try_from(rest.min(size.into())).map_err(|_| Errno::EINVAL)?;
        let mut data = vec![0; wanted];
        let mut filled = 0;
        while let Some(part) = data.get_mut(filled..).filter(|part| !part.is_empty()) {
            match self
                .reader
                .read_at(part, offset.saturating_add(filled as u64))?
            {
                0 => break,
                count => filled += count,
            }
        }
        data.truncate(filled);
        Ok(data)
    }

    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        Ok(self.writer()?.write_all_at(data, offset)?)
    }

    pub(crate) fn allocate(&self, mode: i32, offset: u64, length: u64) -> Result<(), Errno> {
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        Ok(rustix::fs::fallocate(self.writer()?, mode, offset, length)?)
    }

    /// About how many bytes have to be allocated to fill a range.
    pub(crate) fn missing_bytes(&self, offset: u64, length: u64) -> Result<u64, Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        let mut position = offset;
        let mut missing = 0;
        while position < end {
            let data = match rustix::fs::seek(&self.reader, SeekFrom::Data(position)) {
                Ok(data) => data.min(end),
                Err(rustix::io::Errno::NXIO) => end,
                Err(error) => return Err(error.into()),
            };
            missing += data.saturating_sub(position);
            if data >= end {
                break;
            }
            position = rustix::fs::seek(&self.reader, SeekFrom::Hole(data))?;
        }
        // Space that is allocated but not written looks like a hole: never count more than the file can still take.
        let stat = self.stat()?;
        let largest = end.max(stat.st_size as u64).div_ceil(BLOCK_BYTES);
        let allocated = (stat.st_blocks as u64).saturating_mul(512);
        Ok(missing.min(
            largest
                .saturating_mul(BLOCK_BYTES)
                .saturating_sub(allocated),
        ))
    }

    /// `SEEK_DATA` and `SEEK_HOLE`; the other kinds need the caller's position.
    pub(crate) fn seek(&self, offset: i64, whence: i32) -> Result<i64, Errno> {
        let position = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let target = match whence {
            libc::SEEK_DATA => SeekFrom::Data(position),
            libc::SEEK_HOLE => SeekFrom::Hole(position),
            _ => return Err(Errno::EINVAL),
        };
        // Nothing else uses the position of this descriptor.
        let found = rustix::fs::seek(&self.reader, target)?;
        i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
    }

    /// Copies to another file; answers how many bytes.
    pub(crate) fn copy_to(
        &self,
        mut offset_in: u64,
        target: &Contents,
        mut offset_out: u64,
        length: u64,
    ) -> Result<u64, Errno> {
        let length = usize::try_from(length.min(1 << 30)).map_err(|_| Errno::EINVAL)?;
        let count = rustix::fs::copy_file_range(
            &self.reader,
            Some(&mut offset_in),
            target.writer()?,
            Some(&mut offset_out),
            length,
        )?;
        Ok(count as u64)
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        Some(TimeOrNow::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        },
        Some(TimeOrNow::SpecificTime(time)) => {
            let (tv_sec, nanoseconds) = fuse_compat::time::seconds_nanoseconds(time);
            Timespec {
                tv_sec,
                tv_nsec: nanoseconds.into(),
            }
        }
    }
}

/// Running out of descriptors is this process's trouble, not the tracee's (`EMFILE` would blame it).
fn no_descriptor(error: rustix::io::Errno) -> Errno {
    match error {
        rustix::io::Errno::MFILE => Errno::ENFILE,
        other => other.into(),
    }
}

fn no_descriptor_io(error: &std::io::Error) -> Errno {
    no_descriptor(rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO))
}
