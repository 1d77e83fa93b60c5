//! From a module to a backing file: in large requests, holes kept.

use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, ftruncate, seek, sendfile};
use rustix::io::{Errno, pread, pwrite};

use super::Stamp;
use super::written::next_data;

/// Bytes of one request to the module.
const REQUEST_BYTES: u64 = 1 << 20;
/// Blocks of zeros of this size are not written.
const BLOCK_BYTES: usize = 4096;

/// Where data is, as `SEEK_DATA` and `SEEK_HOLE` tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextData {
    /// Data from `start` to `end` (not included).
    Range {
        /// First byte of data at or after the place asked for.
        start: u64,
        /// Start of the hole behind it.
        end: u64,
    },
    /// Only a hole up to the end.
    None,
    /// The module does not know about holes.
    Unknown,
}

/// The contents of a file of a module.
pub(crate) trait ContentSource {
    /// Up to `size` bytes at `offset`; fewer only where the file ends.
    ///
    /// # Errors
    /// Those of the module.
    fn read(&self, offset: u64, size: u32) -> Result<Vec<u8>, Errno>;

    /// The version that the module has now. Asked for while nobody can write to the file through the cache.
    ///
    /// # Errors
    /// Those of the module.
    fn stamp(&self) -> Result<Stamp, Errno>;

    /// The next data at or after `offset`.
    ///
    /// # Errors
    /// Those of the module.
    fn next_data(&self, offset: u64) -> Result<NextData, Errno>;
}

/// Copies `size` bytes. What the source does not have is zero.
///
/// # Errors
/// Those of the source and of writing.
pub(super) fn copy(file: &OwnedFd, source: &dyn ContentSource, size: u64) -> Result<(), Errno> {
    if size == 0 {
        return Ok(());
    }
    ftruncate(file, size)?;
    let mut offset = 0;
    while offset < size {
        let (start, end) = if size - offset <= BLOCK_BYTES as u64 {
            (offset, size) // asking would cost more than reading
        } else {
            match source.next_data(offset)? {
                NextData::None => break,
                NextData::Unknown => (offset, size),
                NextData::Range { start, end } => (start.max(offset), end.min(size)),
            }
        };
        if end <= start {
            break; // the file became shorter
        }
        offset = start;
        while offset < end {
            let wanted = (end - offset).min(REQUEST_BYTES);
            let bytes = source.read(offset, wanted as u32)?; // at most 1 MiB
            let usable = bytes.len().min(wanted as usize);
            let Some(bytes) = bytes.get(..usable).filter(|bytes| !bytes.is_empty()) else {
                return Ok(()); // the file ends here
            };
            write_data(file, offset, bytes)?;
            offset += usable as u64;
        }
    }
    Ok(())
}

/// Copies the first `size` bytes of a backing file that nobody writes to: data stays data, also where it is zeros, and holes
/// stay holes.
///
/// # Errors
/// Those of sendfile(2); `EIO` when the file is shorter.
pub(super) fn copy_as_it_is(to: &OwnedFd, from: &OwnedFd, size: u64) -> Result<(), Errno> {
    ftruncate(to, size)?;
    let mut next = 0;
    while let Some((mut at, end)) = next_data(from, next, size) {
        seek(to, SeekFrom::Start(at))?;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            match sendfile(to, from, Some(&mut at), wanted) {
                Ok(0) => return Err(Errno::IO),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        next = end;
    }
    Ok(())
}

/// Copies until the source has no more; its size is not known.
///
/// # Errors
/// `EFBIG` beyond `limit` bytes; those of the source and of writing.
pub(super) fn copy_to_end(
    file: &OwnedFd,
    source: &dyn ContentSource,
    limit: u64,
) -> Result<(), Errno> {
    let mut offset = 0;
    loop {
        let bytes = source.read(offset, REQUEST_BYTES as u32)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset + bytes.len() as u64;
        if end > limit {
            return Err(Errno::FBIG);
        }
        ftruncate(file, end)?;
        write_data(file, offset, &bytes)?;
        offset = end;
    }
}

/// Writes what is not zero. The file is long enough already.
fn write_data(file: &OwnedFd, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    let is_zero = |block: &[u8]| ZEROS.get(..block.len()).is_some_and(|zeros| zeros == block);
    let mut run_start = 0;
    let mut position = 0;
    for block in bytes.chunks(BLOCK_BYTES) {
        let end = position + block.len();
        if is_zero(block) {
            write_all(file, offset, bytes, run_start..position)?;
            run_start = end;
        }
        position = end;
    }
    write_all(file, offset, bytes, run_start..position)
}

/// Writes `bytes[range]` to where they belong when `bytes` starts at `offset`.
fn write_all(
    file: &OwnedFd,
    offset: u64,
    bytes: &[u8],
    range: std::ops::Range<usize>,
) -> Result<(), Errno> {
    let mut place = offset + range.start as u64;
    let mut rest = bytes.get(range).unwrap_or_default();
    while !rest.is_empty() {
        match pwrite(file, rest, place) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                rest = rest.get(written..).unwrap_or_default();
                place += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A backing file as the source of another.
pub(super) struct Copied<'a>(pub(super) &'a OwnedFd, pub(super) Stamp);

impl ContentSource for Copied<'_> {
    fn stamp(&self) -> Result<Stamp, Errno> {
        Ok(self.1)
    }

    fn read(&self, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; size as usize];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match pread(self.0, rest, offset + done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    fn next_data(&self, offset: u64) -> Result<NextData, Errno> {
        let start = match seek(self.0, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(NextData::None),
            Err(_) => return Ok(NextData::Unknown),
        };
        let end = seek(self.0, SeekFrom::Hole(start))?;
        Ok(NextData::Range { start, end })
    }
}
