//! Walks the log: reads its blocks one after the other, around the end, transaction by transaction.

use super::wire::{Header, JournalSuperblock, Protection, Tag, transaction_sum};
use crate::blocks::Blocks;
use crate::crc::crc32_be;
use crate::error::{Error, Result, bad_inode};
use crate::geometry::Geometry;
use crate::inode::Inode;
use crate::map::{Content, run_at};

/// The journal's blocks.
pub(super) struct Log<'a> {
    pub(super) blocks: &'a Blocks,
    pub(super) geometry: &'a Geometry,
    pub(super) inode: &'a Inode,
    pub(super) superblock: JournalSuperblock,
}

/// Something the walk met, in order.
pub(super) enum Event<'a> {
    /// A copy of a block in transaction `sequence`, at block `at` of the file system.
    Copy { sequence: u32, tag: Tag, at: u64 },
    /// Blocks revoked in transaction `sequence`.
    Revoke { sequence: u32, blocks: &'a [u64] },
}

/// Where a walk ended.
pub(super) struct End {
    /// The first transaction that isn't there (whole).
    pub(super) sequence: u32,
    /// Why it ended, when it wasn't simply the end of the log.
    pub(super) reason: Option<String>,
}

/// The block of the file system where block `number` of the journal lies.
pub(super) fn place(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    number: u64,
) -> Result<u64> {
    match run_at(blocks, geometry, inode, number)?.content {
        Content::Data(at) => Ok(at),
        _ => bad_inode(
            inode.number,
            format!("the journal's block {number} is not allocated"),
        ),
    }
}

impl Log<'_> {
    /// Reads block `number` of the journal; answers where it lies.
    pub(super) fn read(&self, number: u64, buf: &mut [u8]) -> Result<u64> {
        let at = place(self.blocks, self.geometry, self.inode, number)?;
        self.blocks.read_raw(at, 0, buf)?;
        Ok(at)
    }

    fn next(&self, number: u64) -> u64 {
        let next = number.saturating_add(1);
        if next >= self.superblock.end {
            self.superblock.first
        } else {
            next
        }
    }

    /// Finds the end of the log: the first transaction without a valid commit.
    pub(super) fn scan(&self) -> Result<End> {
        self.walk(None, &mut |_| Ok(()))
    }

    /// Walks the transactions before `end`, which a scan has found; `visit` sees what they do.
    pub(super) fn visit(
        &self,
        end: u32,
        visit: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        self.walk(Some(end), visit).map(drop)
    }

    fn walk(
        &self,
        until: Option<u32>,
        visit: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<End> {
        let log = &self.superblock;
        let is_scan = until.is_none();
        let mut sequence = log.sequence;
        let mut number = log.start;
        let mut block = vec![0u8; self.blocks.block_size()];
        let mut copy = vec![0u8; self.blocks.block_size()];
        // Only version 1 sums whole transactions, over every block but the commit.
        let sums_transactions = is_scan && log.protection == Protection::V1;
        let mut sum = !0u32;
        // A log can't be longer than its area: this ends the walk even if the sequence never does.
        let mut left = log.end.saturating_sub(log.first);
        let ended = |sequence, reason: Option<&str>| {
            Ok(End {
                sequence,
                reason: reason.map(|reason| format!("transaction {sequence}: {reason}")),
            })
        };
        while until != Some(sequence) {
            let Some(rest) = left.checked_sub(1) else {
                return ended(sequence, None);
            };
            left = rest;
            self.read(number, &mut block)?;
            number = self.next(number);
            match Header::parse(&block, sequence) {
                Header::Other => return ended(sequence, None),
                Header::Descriptor => {
                    if !log.has_valid_tail(&block) {
                        return ended(sequence, Some("a descriptor block has a wrong checksum"));
                    }
                    if sums_transactions {
                        sum = crc32_be(sum, &block);
                    }
                    for tag in log.tags(&block) {
                        let Some(rest) = left.checked_sub(1) else {
                            return ended(sequence, None);
                        };
                        left = rest;
                        if sums_transactions {
                            self.read(number, &mut copy)?;
                            sum = crc32_be(sum, &copy);
                        } else if !is_scan {
                            let at = place(self.blocks, self.geometry, self.inode, number)?;
                            visit(Event::Copy { sequence, tag, at })?;
                        }
                        number = self.next(number);
                    }
                }
                Header::Revoke => {
                    if !log.has_valid_tail(&block) {
                        return ended(sequence, Some("a revoke block has a wrong checksum"));
                    }
                    if !is_scan {
                        visit(Event::Revoke {
                            sequence,
                            blocks: &log.revoked(&block),
                        })?;
                    }
                }
                Header::Commit => {
                    let is_whole = match transaction_sum(&block) {
                        Some(expected) if sums_transactions => expected == sum,
                        _ => log.has_valid_commit(&block),
                    };
                    // With asynchronous commits this is how a crash looks; without, the disk is at fault.
                    if is_scan && !is_whole {
                        let reason =
                            (!log.is_async).then_some("the commit block has a wrong checksum");
                        return ended(sequence, reason);
                    }
                    sum = !0;
                    sequence = sequence.wrapping_add(1);
                }
            }
        }
        ended(sequence, None)
    }

    /// Whether the fast-commit area holds commits that follow transaction `sequence - 1`.
    pub(super) fn has_fast_commit(&self, sequence: u32) -> Result<bool> {
        /// `EXT4_FC_TAG_HEAD`, whose value is a feature word and the transaction's number, little-endian.
        const HEAD: u16 = 9;
        if !self.superblock.has_fast_commits {
            return Ok(false);
        }
        let mut block = vec![0u8; self.blocks.block_size()];
        match self.read(self.superblock.end, &mut block) {
            Ok(_) => {}
            Err(Error::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(crate::bytes::le16(&block, 0) == HEAD && crate::bytes::le32(&block, 8) == sequence)
    }
}
