//! The image as blocks: a bounded cache for metadata, direct reads for file data, and the overlay of
//! blocks whose newest content lies in the journal.
//!
//! A cached block remembers for which owner its structure has been checked, so that each check costs
//! once per stay in the cache.
//!
//! A changed block lives in `changes` until it is home; it hides what the cache has for it.
//!
//! Locks: `cache` and `changes` are leaves and are never held while the source is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cache::ClockCache;
use crate::changes::Changes;
use crate::device::Device;
use crate::error::{Error, Place, Problem, Result};

/// Bytes of metadata kept.
const CACHE_BYTES: usize = 2 << 20;
/// Most bytes that a read-ahead brings in at once.
const AHEAD_BYTES: usize = 32 << 10;

/// A block of metadata.
pub(crate) struct Block {
    data: Box<[u8]>,
    checked: AtomicU64,
}

impl Block {
    pub(crate) fn new(data: Box<[u8]>) -> Self {
        Self {
            data,
            checked: AtomicU64::new(0),
        }
    }

    /// The same, when what `mark` stands for would find nothing wrong: it was just written so.
    fn checked(data: Box<[u8]>, mark: u64) -> Self {
        Self {
            data,
            checked: AtomicU64::new(mark),
        }
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Runs `check` unless it has already passed under this `mark` (a nonzero number that names the
    /// kind of structure and its owner).
    pub(crate) fn check_once(
        &self,
        mark: u64,
        check: impl FnOnce(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.checked.load(Ordering::Relaxed) != mark {
            check(&self.data)?;
            self.checked.store(mark, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What a block is checked as; combined with the owner's inode number it makes a mark.
#[derive(Clone, Copy)]
pub(crate) enum CheckedAs {
    Extents = 1,
    Directory = 2,
    Xattrs = 3,
}

impl CheckedAs {
    /// The mark for [`Block::check_once`].
    pub(crate) fn of(self, owner: u32, detail: u16) -> u64 {
        (self as u64) << 56 | u64::from(detail) << 32 | u64::from(owner)
    }
}

/// Where the newest content of a block lies, after the journal's replay in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalCopy {
    /// The block inside the journal.
    pub(crate) at: u64,
    /// The first four bytes were replaced by zeros, because they looked like a journal header.
    pub(crate) is_escaped: bool,
}

/// Blocks that the journal has newer content for.
pub(crate) type Overlay = BTreeMap<u64, JournalCopy>;

/// The blocks of a file system.
pub(crate) struct Blocks {
    device: Device,
    block_size: usize,
    count: u64,
    overlay: Overlay,
    cache: Mutex<ClockCache<u64, Arc<Block>>>,
    /// Blocks that were changed and are not home yet; always empty on read-only mounts.
    pub(crate) changes: Changes,
    /// Something may have been written since the last flush.
    is_unflushed: AtomicBool,
    /// Held over a flush: whoever finds nothing to do must not return before it is done.
    flushing: Mutex<()>,
}

impl Blocks {
    pub(crate) fn new(device: Device, block_size: usize, count: u64) -> Self {
        let cache = Mutex::new(ClockCache::new(CACHE_BYTES));
        Self {
            device,
            block_size,
            count,
            overlay: Overlay::new(),
            cache,
            changes: Changes::default(),
            is_unflushed: AtomicBool::new(true),
            flushing: Mutex::new(()),
        }
    }

    /// The same blocks as the journal's replay leaves them. Forgets what was cached before.
    pub(crate) fn with_overlay(self, overlay: Overlay) -> Self {
        Self {
            overlay,
            cache: Mutex::new(ClockCache::new(CACHE_BYTES)),
            ..self
        }
    }

    /// Takes another overlay, and forgets what was cached before.
    pub(crate) fn set_overlay(&mut self, overlay: Overlay) {
        self.overlay = overlay;
        self.cache = Mutex::new(ClockCache::new(CACHE_BYTES));
    }

    /// The same blocks with a count that became known later (a journal may hold a newer superblock).
    pub(crate) fn with_count(self, count: u64) -> Self {
        Self { count, ..self }
    }

    pub(crate) fn block_size(&self) -> usize {
        self.block_size
    }

    /// A metadata block.
    ///
    /// # Errors
    /// Corrupt when there is no such block, unreadable when the source fails.
    pub(crate) fn get(&self, number: u64) -> Result<Arc<Block>> {
        self.get_ahead(number, 1)
    }

    /// A metadata block; `wanted` blocks from there on are likely to be asked for next, so that a miss
    /// brings them in by the same read of the source.
    pub(crate) fn get_ahead(&self, number: u64, wanted: u64) -> Result<Arc<Block>> {
        if let Some(block) = self.changes.get(number) {
            return Ok(block);
        }
        if let Some(block) = self.cache.lock().get(&number) {
            return Ok(block);
        }
        let count = self.ahead(number, wanted);
        if count > 1
            && let Some(block) = self.read_several(number, count)
        {
            return Ok(block);
        }
        let mut data = vec![0; self.block_size].into_boxed_slice();
        self.read_one(number, &mut data)?;
        Ok(self.keep(number, data))
    }

    /// Changes a metadata block, which becomes part of the running transaction.
    ///
    /// # Errors
    /// As [`Blocks::get`].
    pub(crate) fn edit<T>(&self, number: u64, change: impl FnOnce(&mut [u8]) -> T) -> Result<T> {
        let before = self.get(number)?;
        let mut data: Box<[u8]> = before.data().into();
        drop(before);
        let answer = change(&mut data);
        self.changes.put(number, Arc::new(Block::new(data)));
        Ok(answer)
    }

    /// As [`Blocks::edit`], when nothing changes but times of inodes.
    ///
    /// # Errors
    /// As [`Blocks::get`].
    pub(crate) fn edit_times(&self, number: u64, change: impl FnOnce(&mut [u8])) -> Result<()> {
        let before = self.get(number)?;
        let mut data: Box<[u8]> = before.data().into();
        drop(before);
        change(&mut data);
        self.changes.put_times(number, Arc::new(Block::new(data)));
        Ok(())
    }

    /// Gives a metadata block new content, whatever it held before.
    ///
    /// # Errors
    /// Corrupt when there is no such block.
    pub(crate) fn replace(&self, number: u64, data: Box<[u8]>) -> Result<()> {
        self.replace_checked(number, data, 0)
    }

    /// The same, when [`Block::check_once`] need not look at it under this mark.
    ///
    /// # Errors
    /// As [`Blocks::replace`].
    pub(crate) fn replace_checked(&self, number: u64, data: Box<[u8]>, mark: u64) -> Result<()> {
        if number >= self.count || data.len() != self.block_size {
            let detail = format!("is beyond the last block, {}", self.count.saturating_sub(1));
            return Err(Error::Corrupt(Problem::new(Place::Block(number), detail)));
        }
        let block = Block::checked(data, mark);
        self.changes.put(number, Arc::new(block));
        Ok(())
    }

    /// The block is not metadata any more: its changes must not reach the image, nor the cache a reader.
    pub(crate) fn release(&self, number: u64) {
        self.changes.release(number);
        self.cache.lock().remove(&number);
    }

    /// A changed block has reached its home and goes back to the cache.
    pub(crate) fn came_home(&self, number: u64, block: Arc<Block>) {
        let weight = block.data().len();
        self.cache.lock().insert(number, block, weight);
    }

    /// Writes straight to the image: file data, the log, and blocks that go home.
    ///
    /// # Errors
    /// Unreadable (EIO, with the source's words) when the source fails.
    pub(crate) fn write_raw(&self, first: u64, skip: u64, data: &[u8]) -> Result<()> {
        let at = first
            .checked_mul(self.block_size as u64)
            .and_then(|at| at.checked_add(skip))
            .filter(|_| first < self.count);
        let Some(at) = at else {
            let detail = format!("is beyond the last block, {}", self.count.saturating_sub(1));
            return Err(Error::Corrupt(Problem::new(Place::Block(first), detail)));
        };
        self.is_unflushed.store(true, Ordering::SeqCst);
        self.device.write_all_at(data, at).map_err(|error| {
            Error::Unreadable(Problem::new(
                Place::Block(first),
                format!("cannot be written: {error}"),
            ))
        })?;
        // Behind the write: a flush that begins in between may miss it.
        self.is_unflushed.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Unreadable (EIO) when the source fails.
    pub(crate) fn flush(&self) -> Result<()> {
        let _flushing = self.flushing.lock();
        if !self.is_unflushed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        self.device.flush().map_err(|error| {
            self.is_unflushed.store(true, Ordering::SeqCst);
            Error::Unreadable(Problem::new(
                Place::Superblock,
                format!("the image cannot be flushed: {error}"),
            ))
        })
    }

    fn keep(&self, number: u64, data: Box<[u8]>) -> Arc<Block> {
        let weight = data.len();
        let block = Arc::new(Block::new(data));
        let mut cache = self.cache.lock();
        if let Some(present) = cache.get(&number) {
            return present;
        }
        cache.insert(number, Arc::clone(&block), weight);
        block
    }

    /// How many blocks to read at once: no block that is cached or overlaid.
    fn ahead(&self, number: u64, wanted: u64) -> u64 {
        let most = (AHEAD_BYTES / self.block_size).max(1) as u64;
        let mut count = wanted.min(most).min(self.count.saturating_sub(number));
        if count > 1 {
            let end = number.saturating_add(count);
            if let Some((first, _)) = self.overlay.range(number..end).next() {
                count = first.saturating_sub(number);
            }
            let cache = self.cache.lock();
            if let Some(present) =
                (1..count).find(|step| cache.contains(&number.saturating_add(*step)))
            {
                count = present;
            }
        }
        count
    }

    /// Reads consecutive blocks into the cache; `None` when that fails (the caller reads just its one).
    fn read_several(&self, number: u64, count: u64) -> Option<Arc<Block>> {
        let bytes = usize::try_from(count).ok()?.checked_mul(self.block_size)?;
        let mut data = vec![0; bytes];
        self.device
            .read_exact_at(&mut data, number.checked_mul(self.block_size as u64)?)
            .ok()?;
        let mut first = None;
        for (step, chunk) in data.chunks_exact(self.block_size).enumerate() {
            let block = self.keep(number.saturating_add(step as u64), chunk.into());
            first.get_or_insert(block);
        }
        first
    }

    /// Reads one whole block, through the overlay.
    fn read_one(&self, number: u64, buf: &mut [u8]) -> Result<()> {
        match self.overlay.get(&number) {
            None => self.read_raw(number, 0, buf),
            Some(copy) => {
                self.read_raw(copy.at, 0, buf)?;
                if copy.is_escaped
                    && let Some(start) = buf.first_chunk_mut::<4>()
                {
                    *start = crate::journal::MAGIC.to_be_bytes();
                }
                Ok(())
            }
        }
    }

    /// Reads bytes of file data that start `skip` bytes into block `first` and lie in consecutive
    /// blocks. Not cached.
    pub(crate) fn read_data(&self, first: u64, skip: u64, buf: &mut [u8]) -> Result<()> {
        if self.overlay.is_empty() {
            return self.read_raw(first, skip, buf);
        }
        let size = self.block_size as u64;
        let mut number = first.saturating_add(skip / size);
        let mut skip = skip % size;
        let mut rest = buf;
        while !rest.is_empty() {
            // Up to the next overlaid block in one read, an overlaid block by itself.
            let end = number.saturating_add((skip + rest.len() as u64).div_ceil(size));
            let overlaid = self.overlay.range(number..end).next().map(|(at, _)| *at);
            let (run_end, is_overlaid) = match overlaid {
                Some(at) if at == number => (number.saturating_add(1), true),
                Some(at) => (at, false),
                None => (end, false),
            };
            let bytes = run_end
                .saturating_sub(number)
                .saturating_mul(size)
                .saturating_sub(skip);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(bytes);
            if is_overlaid {
                let block = self.get(number)?;
                let from = usize::try_from(skip).unwrap_or(0);
                let content = crate::bytes::span(block.data(), from, from.saturating_add(bytes));
                for (to, byte) in now.iter_mut().zip(content) {
                    *to = *byte;
                }
            } else {
                self.read_raw(number, skip, now)?;
            }
            rest = later;
            number = run_end;
            skip = 0;
        }
        Ok(())
    }

    /// Reads from the image itself, past the overlay: data, and the journal's own blocks.
    pub(crate) fn read_raw(&self, first: u64, skip: u64, buf: &mut [u8]) -> Result<()> {
        if first >= self.count {
            let detail = format!("is beyond the last block, {}", self.count.saturating_sub(1));
            return Err(Error::Corrupt(Problem::new(Place::Block(first), detail)));
        }
        let at = first
            .checked_mul(self.block_size as u64)
            .and_then(|at| at.checked_add(skip));
        match at {
            Some(at) => self.device.read_exact_at(buf, at).map_err(|error| {
                let number = first.saturating_add(skip / self.block_size as u64);
                let cause = match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => "the image ends before it".to_owned(),
                    _ => error.to_string(),
                };
                Error::Unreadable(Problem::new(
                    Place::Block(number),
                    format!("cannot be read: {cause}"),
                ))
            }),
            None => Err(Error::Corrupt(Problem::new(
                Place::Block(first),
                "is beyond the last byte",
            ))),
        }
    }

    /// Bytes of the image, after the offset.
    pub(crate) fn device_bytes(&self) -> u64 {
        self.device.size_bytes()
    }
}
