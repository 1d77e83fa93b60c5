//! fallocate(2) on a file that is open for writing: the module does it, so that the space is there afterwards, and the
//! backing file follows.
//!
//! What was written before goes to the module first, where content changes. A write(2) that happens at the same time
//! lands before or after the change, or, where content moves, between them.
//!
//! Locks: those of `write_back`: `CachedFile::content`, then the state of the file.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FallocateFlags, fallocate, fstat, ftruncate};
use rustix::io::{Errno, pread, pwrite};

use super::chunks::{self, CHUNK_BYTES, UNKNOWN, ZEROS};
use super::written::{Look, State, WrittenFile, for_each_data};
use super::{Content, FileKey, PageCache, reopen};
use crate::attributes::{Attributes, Identity};

/// Bytes moved at once where it is done by hand.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes reserved at once, at least, where little is left.
const SMALLEST_PIECE: u64 = 64 * 1024;

/// What fallocate(2) is asked for; the arguments have been checked against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// `FALLOC_FL_*`.
    pub mode: i32,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, not 0.
    pub length: u64,
}

impl Allocation {
    fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    fn has(self, flag: i32) -> bool {
        self.mode & flag != 0
    }

    fn zeroes(self) -> bool {
        self.has(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE)
    }

    fn moves(self) -> bool {
        self.has(libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE)
    }

    fn reserves(self) -> bool {
        !self.moves() && !self.has(libc::FALLOC_FL_PUNCH_HOLE)
    }
}

impl PageCache {
    /// fallocate(2) on the file whose backing file is `identity`; `None` when nobody writes to it through this cache.
    /// `left` tells how many bytes the module can take still, beyond what was accepted for it; `None`: no limit.
    ///
    /// # Errors
    /// Those of the module: `ENOSPC`, `EOPNOTSUPP`, `EINVAL`, `EPERM`, `ENOSYS`; those of the backing file.
    pub(crate) fn allocate(
        &self,
        key: FileKey,
        identity: Identity,
        wanted: Allocation,
        left: &dyn Fn() -> Option<i64>,
    ) -> Option<Result<(), Errno>> {
        let file = self.files.lock().get(&key).cloned()?;
        let mut content = file.content.lock();
        let Content::Filled(filled) = &mut *content else {
            return None;
        };
        let written = filled.written.clone()?;
        if filled.identity != identity {
            return None;
        }
        // What is only reserved should not fill the memory.
        let takes_space = !filled.is_in_memory || self.admits_writer(wanted.end());
        let result = reopen(filled.descriptor.as_fd(), libc::O_RDWR)
            .and_then(|writable| written.allocate(&writable, wanted, takes_space, left));
        Self::charge(filled);
        Some(result)
    }
}

impl WrittenFile {
    fn allocate(
        &self,
        writable: &OwnedFd,
        wanted: Allocation,
        takes_space: bool,
        left: &dyn Fn() -> Option<i64>,
    ) -> Result<(), Errno> {
        let mut state = self.state();
        if !self.sink().has_name() {
            // The module is not given what is written to it, but has to know how much there is.
            let size = Attributes::from_stat(&fstat(&*self.file())?).size;
            self.changing_sink().set_size(size)?;
            state.resized(size);
        } else if wanted.zeroes() || wanted.moves() {
            self.write_back_locked(&mut state, Look::Thorough)?;
        }
        if wanted.reserves() {
            self.reserve_what_is_left(&mut state, wanted, left)?;
        }
        let now = self
            .sink()
            .allocate(wanted.mode, wanted.offset, wanted.length)?;
        if wanted.zeroes() {
            self.note_zeroed(&mut state, wanted)?;
        }
        state.resized_to(now.size);
        let followed = follow(writable, wanted, takes_space);
        if wanted.moves() {
            self.note_moved(&mut state, wanted)?;
        }
        if !wanted.zeroes() {
            state.reserved(wanted.offset, wanted.end());
        }
        followed?;
        self.set_modified(&mut state, now.modified, now.changed)
    }

    /// What was accepted for other files has its space, though the module does not know of it: where little is left, no
    /// more than that is reserved at once. When not everything fits, nothing stays reserved behind the file's end, unless
    /// something was before.
    fn reserve_what_is_left(
        &self,
        state: &mut State,
        wanted: Allocation,
        left: &dyn Fn() -> Option<i64>,
    ) -> Result<(), Errno> {
        if left().is_none_or(|left| wanted.length <= u64::try_from(left).unwrap_or(0)) {
            return Ok(());
        }
        let size = Attributes::from_stat(&fstat(&*self.file())?).size;
        let was_reserved = self.sink().stored_bytes()? > size.next_multiple_of(SMALLEST_PIECE);
        let result = self.reserve_in_pieces(wanted, left);
        if result.is_err() && !was_reserved {
            self.changing_sink().set_size(size)?;
            state.resized(size);
        }
        result
    }

    fn reserve_in_pieces(
        &self,
        wanted: Allocation,
        left: &dyn Fn() -> Option<i64>,
    ) -> Result<(), Errno> {
        let mut next = wanted.offset;
        while next < wanted.end() {
            let Some(left) = left() else {
                return Ok(());
            };
            let rest = wanted.end() - next;
            let is_there = || Ok(self.sink().stored_bytes()? >= wanted.end());
            if i64::try_from(rest).is_ok_and(|rest| rest <= left) || is_there()? {
                return Ok(());
            }
            // Less than the smallest piece would be tried for ever.
            let piece = u64::try_from(left).unwrap_or(0) / SMALLEST_PIECE * SMALLEST_PIECE;
            if piece == 0 {
                return Err(Errno::NOSPC);
            }
            let piece = piece.min(rest);
            self.changing_sink()
                .allocate(libc::FALLOC_FL_KEEP_SIZE, next, piece)?;
            next += piece;
        }
        Ok(())
    }

    /// The module has zeros in a range now. The backing file still has what was there.
    fn note_zeroed(&self, state: &mut State, wanted: Allocation) -> Result<(), Errno> {
        let chunk = CHUNK_BYTES as u64;
        let size = u64::try_from(fstat(&*self.file())?.st_size).unwrap_or(0);
        // It may have been cut since the module had everything.
        let size = size.max(state.module_size());
        let end = wanted.end().min(size);
        if wanted.offset >= end {
            return Ok(());
        }
        let last = chunks::chunk_of(end - 1);
        let first = chunks::chunk_of(wanted.offset);
        for index in [first, last]
            .into_iter()
            .take(if first == last { 1 } else { 2 })
        {
            let start = index * chunk;
            let length = (size - start).min(chunk);
            let from = wanted.offset.saturating_sub(start);
            let to = (end - start).min(length);
            let mut bytes = read_at(&self.file(), start, length as usize)?;
            // Only of what the module was known to have it is known what it has now.
            let is_known = chunks::hash(&bytes) == state.chunk(index);
            if let Some(part) = bytes.get_mut(from as usize..to as usize) {
                part.fill(0);
            }
            let hash = match is_known || from == 0 && to == length {
                true => chunks::hash(&bytes),
                false => UNKNOWN,
            };
            state.set_chunk(index, hash);
        }
        let mut next = first + 1;
        while let Some(index) = state.next_chunk(next, last) {
            state.set_chunk(index, ZEROS);
            next = index + 1;
        }
        Ok(())
    }

    /// Content from the offset on has moved, on both sides: all that is not zeros is compared no more, but written. That
    /// is what the module had, where it is now, and what the backing file has.
    fn note_moved(&self, state: &mut State, wanted: Allocation) -> Result<(), Errno> {
        let size = u64::try_from(fstat(&*self.file())?.st_size).unwrap_or(0);
        let first = chunks::chunk_of(wanted.offset);
        let chunk = CHUNK_BYTES as u64;
        let is_down = wanted.has(libc::FALLOC_FL_COLLAPSE_RANGE);
        for index in state.take_chunks_from(first) {
            let ends = [index * chunk, index * chunk + chunk - 1];
            let moved = ends.map(|place| match is_down {
                true => place.saturating_sub(wanted.length),
                false => place.saturating_add(wanted.length),
            });
            for place in [ends[0], moved[0], moved[1]] {
                if chunks::chunk_of(place) >= first {
                    state.set_chunk(chunks::chunk_of(place), UNKNOWN);
                }
            }
        }
        for_each_data(&self.file(), size, &mut Vec::new(), |start, bytes| {
            for (index, chunk) in (chunks::chunk_of(start)..).zip(bytes.chunks(CHUNK_BYTES)) {
                if index >= first && !chunks::is_zero(chunk) {
                    state.set_chunk(index, UNKNOWN);
                }
            }
            Ok(())
        })
    }
}

/// Does to the backing file what the module has done; it takes space itself, or only the size follows. What its file system
/// cannot do is done by hand.
fn follow(file: &OwnedFd, wanted: Allocation, takes_space: bool) -> Result<(), Errno> {
    let size = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
    let (offset, length, end) = (wanted.offset, wanted.length, wanted.end());
    if wanted.moves() {
        let flags = FallocateFlags::from_bits_retain(wanted.mode as u32);
        return match fallocate(file, flags, offset, length) {
            Ok(()) => Ok(()),
            Err(_) if wanted.has(libc::FALLOC_FL_COLLAPSE_RANGE) => {
                move_down(file, end, length, size)
            }
            Err(_) => move_up(file, offset, length, size),
        };
    }
    if wanted.zeroes() {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(file, punch, offset, length).is_err() {
            zero(file, offset, end.min(size))?;
        }
    }
    if wanted.has(libc::FALLOC_FL_PUNCH_HOLE) {
        return Ok(());
    }
    let keeps_size = wanted.has(libc::FALLOC_FL_KEEP_SIZE);
    let flags = match keeps_size {
        true => FallocateFlags::KEEP_SIZE,
        false => FallocateFlags::empty(),
    };
    let taken = match takes_space {
        true => fallocate(file, flags, offset, length),
        false => Err(Errno::OPNOTSUPP),
    };
    match taken {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) if keeps_size || end <= size => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => ftruncate(file, end),
        other => other,
    }
}

fn read_at(file: &OwnedFd, start: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let count = pread(file, rest, start + done as u64)?;
        if count == 0 {
            break; // made shorter meanwhile: zeros
        }
        done += count;
    }
    Ok(bytes)
}

fn write_at(file: &OwnedFd, start: u64, bytes: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        done += pwrite(file, rest, start + done as u64)?;
    }
    Ok(())
}

fn zero(file: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let nothing = vec![0; PIECE_BYTES];
    let mut at = start;
    while at < end {
        let count = (end - at).min(PIECE_BYTES as u64);
        write_at(file, at, nothing.get(..count as usize).unwrap_or_default())?;
        at += count;
    }
    Ok(())
}

/// Moves what lies from `from` on down by `by` bytes.
fn move_down(file: &OwnedFd, from: u64, by: u64, size: u64) -> Result<(), Errno> {
    let mut at = from;
    while at < size {
        let count = (size - at).min(PIECE_BYTES as u64);
        let bytes = read_at(file, at, count as usize)?;
        write_at(file, at - by, &bytes)?;
        at += count;
    }
    ftruncate(file, size.saturating_sub(by))
}

/// Moves what lies from `from` on up by `by` bytes and leaves zeros.
fn move_up(file: &OwnedFd, from: u64, by: u64, size: u64) -> Result<(), Errno> {
    let mut end = size;
    while end > from {
        let count = (end - from).min(PIECE_BYTES as u64);
        let start = end - count;
        let bytes = read_at(file, start, count as usize)?;
        write_at(file, start + by, &bytes)?;
        end = start;
    }
    zero(file, from, (from + by).min(size + by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};

    /// A memfd, whose kernel side can neither take ranges out nor zero them.
    fn memory(bytes: &[u8]) -> OwnedFd {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        write_at(&file, 0, bytes).unwrap();
        file
    }

    fn content(file: &OwnedFd) -> Vec<u8> {
        let size = fstat(file).unwrap().st_size as usize;
        read_at(file, 0, size).unwrap()
    }

    #[test]
    fn a_backing_file_follows_by_hand() {
        let bytes: Vec<u8> = (0..300_000u32).map(|index| (index % 251) as u8).collect();
        let allocation = |mode, offset, length| Allocation {
            mode,
            offset,
            length,
        };
        let file = memory(&bytes);
        let collapse = allocation(libc::FALLOC_FL_COLLAPSE_RANGE, 4096, 131_072);
        follow(&file, collapse, true).unwrap();
        let mut expected = bytes.clone();
        expected.drain(4096..135_168);
        assert_eq!(content(&file), expected);

        let insert = allocation(libc::FALLOC_FL_INSERT_RANGE, 8192, 200_704);
        follow(&file, insert, true).unwrap();
        expected.splice(8192..8192, vec![0; 200_704]);
        assert_eq!(content(&file), expected);

        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        follow(&file, allocation(punch, 100, 5000), true).unwrap();
        expected[100..5100].fill(0);
        let size = expected.len() as u64;
        follow(
            &file,
            allocation(libc::FALLOC_FL_ZERO_RANGE, size - 100, 300),
            true,
        )
        .unwrap();
        expected.resize(expected.len() + 200, 0);
        let start = expected.len() - 300;
        expected[start..].fill(0);
        assert_eq!(content(&file), expected);
        follow(
            &file,
            allocation(libc::FALLOC_FL_KEEP_SIZE, 0, 1 << 20),
            false,
        )
        .unwrap();
        assert_eq!(content(&file), expected);
        follow(&file, allocation(0, 0, 1 << 20), false).unwrap();
        expected.resize(1 << 20, 0);
        assert_eq!(content(&file), expected);
    }
}
