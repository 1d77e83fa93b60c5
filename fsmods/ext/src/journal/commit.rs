//! Writes transactions to the log, and empties it.
//!
//! A commit: revoke blocks, descriptors and copies go to the log, a flush makes them (and all file data
//! written before) durable, then the commit block follows with a flush of its own. The log is emptied by
//! writing its blocks home, a flush, and a new start in the journal's superblock.
//!
//! The journal's superblock always names the next transaction's place, so a commit costs two flushes.

use std::sync::Arc;

use super::wire::{
    CHECKSUM_CRC32, COMPAT_CHECKSUM, HEADER_BYTES, INCOMPAT_64BIT, INCOMPAT_CSUM_V2,
    INCOMPAT_CSUM_V3, JournalSuperblock, MAGIC, Protection, TAG_ESCAPED, TAG_LAST, TAG_SAME_UUID,
};
use crate::blocks::{Block, Blocks};
use crate::bytes::{be32, put, put_be32, span};
use crate::changes::Transaction;
use crate::crc::{crc32_be, crc32c};
use crate::error::{Error, MountError, Place, Problem, Result};
use crate::features::INCOMPAT_64BIT as FS_INCOMPAT_64BIT;
use crate::geometry::Geometry;
use crate::inode::Inode;
use crate::map::{Content, run_at};

/// `JBD2_FEATURE_INCOMPAT_REVOKE`.
const INCOMPAT_REVOKE: u32 = 1;
const CHECKSUM_CRC32C: u8 = 4;
const SUPERBLOCK_BYTES: usize = 1024;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

/// The journal of a writable mount.
pub(crate) struct Writer {
    /// Where the journal's blocks lie: block of the journal, count, block of the file system.
    runs: Vec<(u64, u64, u64)>,
    log: JournalSuperblock,
    /// The bytes of the journal's superblock.
    bytes: Vec<u8>,
    /// Next block of the log to write.
    head: u64,
    /// Blocks of the log in use.
    used: u64,
    /// Number of the next transaction.
    sequence: u32,
}

fn failed(error: impl ToString) -> MountError {
    MountError::Journal(error.to_string())
}

/// Where the journal lies.
fn map(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
) -> std::result::Result<Vec<(u64, u64, u64)>, MountError> {
    let end = inode.size >> geometry.block_bits;
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    let mut number = 0u64;
    while number < end {
        let run = run_at(blocks, geometry, inode, number).map_err(failed)?;
        let Content::Data(at) = run.content else {
            return Err(failed(format!("its block {number} is not allocated")));
        };
        let count = run.count.min(end.saturating_sub(number));
        if !geometry.holds(at, count) || count == 0 {
            return Err(failed(format!("its block {number} is not allocated")));
        }
        runs.push((number, count, at));
        number = number.saturating_add(count);
    }
    Ok(runs)
}

impl Writer {
    /// Takes over a journal whose log has been replayed and written home; nothing is written yet. `end` is the first transaction
    /// that the log did not hold, when there was one.
    ///
    /// # Errors
    /// The journal can't be written by this driver, or the source fails.
    pub(crate) fn new(
        blocks: &Blocks,
        geometry: &Geometry,
        inode: &Inode,
        end: Option<u32>,
    ) -> std::result::Result<Self, MountError> {
        let runs = map(blocks, geometry, inode)?;
        let (_, _, at) = *runs.first().ok_or_else(|| failed("it is empty"))?;
        let mut bytes = vec![0u8; blocks.block_size()];
        blocks.read_raw(at, 0, &mut bytes).map_err(failed)?;
        let held = JournalSuperblock::parse(&bytes, blocks.block_size()).map_err(failed)?;
        if be32(&bytes, 4) != 4 {
            return Err(failed("its superblock is of version 1"));
        }
        if held.end > inode.size >> geometry.block_bits {
            return Err(failed("its log exceeds its inode"));
        }
        // What fs/ext4 sets at mount too: revoke records always, checksums as the file system has them.
        let mut compat = be32(&bytes, 0x24);
        let mut incompat = be32(&bytes, 0x28) | INCOMPAT_REVOKE;
        if geometry.has_checksums() {
            compat &= !COMPAT_CHECKSUM;
            incompat = (incompat & !INCOMPAT_CSUM_V2) | INCOMPAT_CSUM_V3;
            put(&mut bytes, 0x50, &[CHECKSUM_CRC32C]);
        }
        if geometry.features.incompat(FS_INCOMPAT_64BIT) {
            incompat |= INCOMPAT_64BIT;
        }
        put_be32(&mut bytes, 0x24, compat);
        put_be32(&mut bytes, 0x28, incompat);
        // Parts of an unfinished transaction may still lie in the log: its number is not used again.
        let sequence = end.map_or(held.sequence, |end| end.wrapping_add(1)).max(1);
        let mut writer = Self {
            runs,
            log: held,
            bytes,
            head: held.first,
            used: 0,
            sequence,
        };
        writer.set_start(true);
        let parsed = JournalSuperblock::parse(&writer.bytes, blocks.block_size());
        writer.log = parsed.map_err(failed)?;
        Ok(writer)
    }

    /// Opens the log on the medium. By then the file system's superblock has to say that it needs recovery.
    ///
    /// # Errors
    /// The source fails.
    pub(crate) fn begin(&mut self, blocks: &Blocks) -> Result<()> {
        self.emptied(blocks, true)
    }

    /// Where the journal's blocks lie, as ranges of the file system.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(_, count, at)| (*at, *count))
    }

    /// Blocks of the log.
    pub(crate) fn capacity(&self) -> u64 {
        self.log.end.saturating_sub(self.log.first)
    }

    /// The log is more than half full.
    pub(crate) fn is_filling(&self) -> bool {
        self.used.saturating_mul(2) > self.capacity()
    }

    /// Whether a transaction has room in the log as it is.
    pub(crate) fn has_room(&self, transaction: &Transaction) -> bool {
        self.used.saturating_add(self.needed(transaction)) < self.capacity()
    }

    fn tags_per_block(&self, block_size: usize) -> usize {
        let room = block_size.saturating_sub(HEADER_BYTES + 16 + self.log.tail_bytes());
        (room / self.log.tag_bytes().max(1)).max(1)
    }

    fn records_per_block(&self, block_size: usize) -> usize {
        let size = if self.log.is_64bit { 8 } else { 4 };
        (block_size.saturating_sub(16 + self.log.tail_bytes()) / size).max(1)
    }

    fn needed(&self, transaction: &Transaction) -> u64 {
        let size = self.bytes.len();
        let blocks = transaction.blocks.len();
        let descriptors = blocks.div_ceil(self.tags_per_block(size));
        let revokes = transaction
            .revoked
            .len()
            .div_ceil(self.records_per_block(size));
        (blocks.saturating_add(descriptors).saturating_add(revokes) as u64).saturating_add(1)
    }

    fn place(&self, number: u64) -> Result<u64> {
        let index = self.runs.partition_point(|(start, ..)| *start <= number);
        index
            .checked_sub(1)
            .and_then(|index| self.runs.get(index))
            .and_then(|(start, count, at)| {
                let inside = number.checked_sub(*start).filter(|inside| inside < count)?;
                Some(at.saturating_add(inside))
            })
            .ok_or_else(|| {
                let detail = format!("block {number} is not allocated");
                Error::Corrupt(Problem::new(Place::Journal, detail))
            })
    }

    fn header(&self, kind: u32, size: usize) -> Vec<u8> {
        let mut block = vec![0u8; size];
        put_be32(&mut block, 0, MAGIC);
        put_be32(&mut block, 4, kind);
        put_be32(&mut block, 8, self.sequence);
        block
    }

    /// Puts the checksum of a descriptor or revoke block in its tail.
    fn seal(&self, block: &mut [u8]) {
        if self.log.tail_bytes() == 4
            && let Some(tail) = block.len().checked_sub(4)
        {
            let sum = crc32c(self.log.seed, block);
            put_be32(block, tail, sum);
        }
    }

    fn tag(&self, number: u64, flags: u32, data: &[u8]) -> Vec<u8> {
        let sum = crc32c(crc32c(self.log.seed, &self.sequence.to_be_bytes()), data);
        let low = number as u32;
        let high = (number >> 32) as u32;
        let mut tag = low.to_be_bytes().to_vec();
        match self.log.protection {
            Protection::V3 => {
                tag.extend_from_slice(&flags.to_be_bytes());
                tag.extend_from_slice(&high.to_be_bytes());
                tag.extend_from_slice(&sum.to_be_bytes());
            }
            _ => {
                let sum = match self.log.protection {
                    Protection::V2 => sum as u16,
                    _ => 0,
                };
                tag.extend_from_slice(&sum.to_be_bytes());
                tag.extend_from_slice(&(flags as u16).to_be_bytes());
                if self.log.is_64bit {
                    tag.extend_from_slice(&high.to_be_bytes());
                }
            }
        }
        tag.resize(self.log.tag_bytes(), 0);
        tag
    }

    /// The transaction's blocks in the log, all but the commit block; and the sum of version 1 over them.
    fn layout(&self, transaction: &Transaction) -> (Vec<Arc<Block>>, u32) {
        let size = self.bytes.len();
        let mut out: Vec<Arc<Block>> = Vec::new();
        let mut sum = !0u32;
        for records in transaction.revoked.chunks(self.records_per_block(size)) {
            let mut block = self.header(REVOKE, size);
            let mut at = 16usize;
            for number in records {
                if self.log.is_64bit {
                    put(&mut block, at, &number.to_be_bytes());
                    at = at.saturating_add(8);
                } else {
                    put_be32(&mut block, at, *number as u32);
                    at = at.saturating_add(4);
                }
            }
            put_be32(&mut block, 12, u32::try_from(at).unwrap_or(u32::MAX));
            self.seal(&mut block);
            out.push(Arc::new(Block::new(block.into())));
        }
        for chunk in transaction.blocks.chunks(self.tags_per_block(size)) {
            let mut descriptor = self.header(DESCRIPTOR, size);
            let mut at = HEADER_BYTES;
            let mut copies = Vec::new();
            for (index, (number, block)) in chunk.iter().enumerate() {
                let mut flags = 0;
                let mut copy = Arc::clone(block);
                if be32(copy.data(), 0) == MAGIC {
                    flags |= TAG_ESCAPED;
                    let mut data: Box<[u8]> = copy.data().into();
                    put_be32(&mut data, 0, 0);
                    copy = Arc::new(Block::new(data));
                }
                if index > 0 {
                    flags |= TAG_SAME_UUID;
                }
                if index.saturating_add(1) == chunk.len() {
                    flags |= TAG_LAST;
                }
                let tag = self.tag(*number, flags, copy.data());
                put(&mut descriptor, at, &tag);
                at = at.saturating_add(tag.len());
                if index == 0 {
                    put(&mut descriptor, at, span(&self.bytes, 0x30, 0x40));
                    at = at.saturating_add(16);
                }
                copies.push(copy);
            }
            self.seal(&mut descriptor);
            if self.log.protection == Protection::V1 {
                sum = crc32_be(sum, &descriptor);
                for copy in &copies {
                    sum = crc32_be(sum, copy.data());
                }
            }
            out.push(Arc::new(Block::new(descriptor.into())));
            out.append(&mut copies);
        }
        (out, sum)
    }

    fn commit_block(&self, sum: u32) -> Vec<u8> {
        let mut block = self.header(COMMIT, self.bytes.len());
        match self.log.protection {
            Protection::None => {}
            Protection::V1 => {
                put(&mut block, 12, &[CHECKSUM_CRC32, 4]);
                put_be32(&mut block, 16, sum);
            }
            Protection::V2 | Protection::V3 => {}
        }
        let now = std::time::SystemTime::now();
        let (seconds, nanoseconds) = fuse_compat::time::seconds_nanoseconds(now);
        put(&mut block, 0x30, &seconds.cast_unsigned().to_be_bytes());
        put_be32(&mut block, 0x38, nanoseconds);
        if self.log.tail_bytes() == 4 {
            let sum = crc32c(self.log.seed, &block);
            put_be32(&mut block, 16, sum);
        }
        block
    }

    fn next(&self, number: u64) -> u64 {
        match number.saturating_add(1) {
            next if next >= self.log.end => self.log.first,
            next => next,
        }
    }

    /// Writes blocks to the log from `from` on, as few writes as the log's place allows; answers the place
    /// after them.
    fn append(&self, blocks: &Blocks, from: u64, list: &[Arc<Block>]) -> Result<u64> {
        let mut number = from;
        let mut buffer: Vec<u8> = Vec::new();
        let mut start = 0u64;
        for block in list {
            let at = self.place(number)?;
            let held = (buffer.len() / self.bytes.len().max(1)) as u64;
            if !buffer.is_empty() && start.saturating_add(held) != at {
                blocks.write_raw(start, 0, &buffer)?;
                buffer.clear();
            }
            if buffer.is_empty() {
                start = at;
            }
            buffer.extend_from_slice(block.data());
            number = self.next(number);
        }
        if !buffer.is_empty() {
            blocks.write_raw(start, 0, &buffer)?;
        }
        Ok(number)
    }

    /// Commits a transaction: when this answers, it and all file data written before are durable.
    ///
    /// # Errors
    /// The source fails, or the log has no room (the caller asks [`Writer::has_room`] first).
    pub(crate) fn commit(&mut self, blocks: &Blocks, transaction: &Transaction) -> Result<()> {
        if !self.has_room(transaction) {
            let detail = "the transaction does not fit in the log";
            return Err(Error::Unreadable(Problem::new(Place::Journal, detail)));
        }
        let (mut list, sum) = self.layout(transaction);
        let end = list.iter().fold(self.head, |number, _| self.next(number));
        // The commit block's place is emptied first: all that the block has is in its first sector, and if only that
        // is written e2fsck(8) must not find old bytes behind it, which would make its checksum wrong.
        let empty = vec![0u8; self.bytes.len()].into_boxed_slice();
        list.push(Arc::new(Block::new(empty)));
        let after = self.append(blocks, self.head, &list)?;
        blocks.flush()?;
        let commit = self.commit_block(sum);
        blocks.write_raw(self.place(end)?, 0, &commit)?;
        blocks.flush()?;
        self.used = self.used.saturating_add(self.needed(transaction));
        self.head = after;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// The log's blocks are home and durable: the log starts anew with the next transaction. With
    /// `is_open` false the journal is left clean.
    ///
    /// # Errors
    /// The source fails.
    pub(crate) fn emptied(&mut self, blocks: &Blocks, is_open: bool) -> Result<()> {
        self.write_superblock(blocks, is_open)?;
        blocks.flush()?;
        self.used = 0;
        Ok(())
    }

    fn set_start(&mut self, is_open: bool) {
        let start = if is_open { self.head } else { 0 };
        put_be32(&mut self.bytes, 0x18, self.sequence);
        let start = u32::try_from(start).unwrap_or(0);
        put_be32(&mut self.bytes, 0x1c, start);
        if be32(&self.bytes, 0x28) & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) != 0 {
            put_be32(&mut self.bytes, 0xfc, 0);
            let sum = crc32c(!0, span(&self.bytes, 0, SUPERBLOCK_BYTES));
            put_be32(&mut self.bytes, 0xfc, sum);
        }
    }

    fn write_superblock(&mut self, blocks: &Blocks, is_open: bool) -> Result<()> {
        self.set_start(is_open);
        blocks.write_raw(self.place(0)?, 0, span(&self.bytes, 0, SUPERBLOCK_BYTES))
    }
}
