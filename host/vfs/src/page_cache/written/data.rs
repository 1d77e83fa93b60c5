//! Reading a backing file where it has data, and passing over its holes.
//!
//! Neighbours: `transfer` and `allocate`. No locks.

use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, pread};

use crate::page_cache::chunks::CHUNK_BYTES;

/// Bytes read from the backing file at once; a multiple of the chunk.
pub(super) const BUFFER_BYTES: usize = 1 << 20;

/// The next data at or after `offset` and before `size`.
pub(in crate::page_cache) fn next_data(
    file: &OwnedFd,
    offset: u64,
    size: u64,
) -> Option<(u64, u64)> {
    if offset >= size {
        return None;
    }
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        Err(_) => return Some((offset, size)),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size).min(size);
    (start < end).then_some((start, end))
}

/// The next data at or after `offset` (a chunk's start) and before `size`, from whole chunk to whole chunk.
pub(super) fn next_chunks(file: &OwnedFd, offset: u64, size: u64) -> Option<(u64, u64)> {
    let chunk = CHUNK_BYTES as u64;
    let (start, end) = next_data(file, offset, size)?;
    let end = end.div_ceil(chunk).saturating_mul(chunk).min(size);
    Some(((start / chunk * chunk).max(offset), end))
}

/// Reads `start` to `end` into the beginning of `buffer`, and answers what there is of it: less when the file was cut
/// meanwhile.
pub(super) fn read_range<'a>(
    file: &OwnedFd,
    buffer: &'a mut Vec<u8>,
    start: u64,
    end: u64,
) -> Result<&'a [u8], Errno> {
    let wanted = end.saturating_sub(start) as usize;
    if buffer.len() < wanted {
        buffer.resize(wanted, 0);
    }
    let space = buffer.get_mut(..wanted).unwrap_or_default();
    let got = read_full(file, space, start)?;
    Ok(buffer.get(..got).unwrap_or_default())
}

/// Reads all chunks of the first `size` bytes that have data, from whole chunk to whole chunk, in order.
pub(in crate::page_cache) fn for_each_data(
    file: &OwnedFd,
    size: u64,
    buffer: &mut Vec<u8>,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut offset = 0;
    while let Some((mut at, end)) = next_chunks(file, offset, size) {
        while at < end {
            let until = end.min(at + BUFFER_BYTES as u64);
            let bytes = read_range(file, buffer, at, until)?;
            let got = bytes.len() as u64;
            if !bytes.is_empty() {
                take(at, bytes)?;
            }
            if at + got < until {
                return Ok(()); // cut meanwhile: the next look sees it
            }
            at = until;
        }
        offset = end;
    }
    Ok(())
}

pub(super) fn read_full(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match pread(file, rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
