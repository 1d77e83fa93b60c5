//! Reading a backing file where it has data, and passing over its holes.
//!
//! Neighbours: `transfer` and `allocate`. No locks.

use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, pread};

use crate::page_cache::chunks::CHUNK_BYTES;

/// Bytes read from the backing file at once; a multiple of the chunk.
pub(super) const BUFFER_BYTES: usize = 16 * CHUNK_BYTES;

/// The next data at or after `offset` and before `size`.
pub(super) fn next_data(file: &OwnedFd, offset: u64, size: u64) -> Option<(u64, u64)> {
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

/// Reads all chunks of the first `size` bytes that have data, from whole chunk to whole chunk, in order.
pub(in crate::page_cache) fn for_each_data(
    file: &OwnedFd,
    size: u64,
    buffer: &mut Vec<u8>,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let chunk = CHUNK_BYTES as u64;
    let mut offset = 0;
    while let Some((start, end)) = next_data(file, offset, size) {
        let mut at = (start / chunk * chunk).max(offset);
        let end = end.div_ceil(chunk).saturating_mul(chunk).min(size);
        while at < end {
            let wanted = (end - at).min(BUFFER_BYTES as u64) as usize;
            if buffer.len() < wanted {
                buffer.resize(wanted, 0);
            }
            let space = buffer.get_mut(..wanted).unwrap_or_default();
            let got = read_full(file, space, at)?;
            let bytes = buffer.get(..got).unwrap_or_default();
            if !bytes.is_empty() {
                take(at, bytes)?;
            }
            if got < wanted {
                return Ok(()); // cut meanwhile: the next look sees it
            }
            at += got as u64;
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
