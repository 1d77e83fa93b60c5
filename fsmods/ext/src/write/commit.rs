//! The running transaction's end, and the log's.
//!
//! Without a journal (ext2) the blocks go home at once, in the order of `unlogged`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Op;
use crate::blocks::{Block, Blocks};
use crate::error::Result;

/// Without a journal a transaction may have this many blocks.
const MAX_UNLOGGED_BLOCKS: usize = 4096;
/// As the kernel's ext4 has it by default.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// A transaction is committed by itself when it fills this part of the log.
const LOG_PART: u64 = 4;

/// Writes blocks home, neighbours together.
pub(super) fn write_home(blocks: &Blocks, list: &[(u64, Arc<Block>)]) -> Result<()> {
    const MOST_BYTES: usize = 1 << 20;
    let mut buffer: Vec<u8> = Vec::new();
    let mut start = 0u64;
    let mut next = 0u64;
    for (number, block) in list {
        if !buffer.is_empty() && (*number != next || buffer.len() >= MOST_BYTES) {
            blocks.write_raw(start, 0, &buffer)?;
            buffer.clear();
        }
        if buffer.is_empty() {
            start = *number;
        }
        buffer.extend_from_slice(block.data());
        next = number.saturating_add(1);
    }
    if !buffer.is_empty() {
        blocks.write_raw(start, 0, &buffer)?;
    }
    Ok(())
}

impl Op<'_> {
    pub(crate) fn is_transaction_large(&self) -> bool {
        let running = self.volume.blocks.changes.running();
        match &self.writer.journal {
            Some(journal) => running as u64 > journal.capacity() / LOG_PART,
            None => running > MAX_UNLOGGED_BLOCKS,
        }
    }

    /// Operations commit what is older than this by themselves; a mount on which nothing happens any more
    /// waits for the host.
    pub(crate) fn is_transaction_old(&self) -> bool {
        self.writer.committed.elapsed() >= COMMIT_INTERVAL
    }

    /// Commits the running transaction: when this answers, everything done so far is durable.
    ///
    /// # Errors
    /// EIO when the image can't be written; nothing is written after that. EROFS later on.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if self.writer.has_failed {
            return super::refuse(libc::EROFS);
        }
        let result = self.try_commit();
        self.writer.committed = Instant::now();
        self.note_failure(&result);
        result
    }

    /// Makes the content that was written durable, with what is needed to find it: the transaction is committed unless
    /// it has nothing but times of inodes, as fdatasync(2) promises.
    ///
    /// # Errors
    /// As [`Op::commit`].
    pub(crate) fn commit_content(&mut self) -> Result<()> {
        let changes = &self.volume.blocks.changes;
        if self.writer.has_failed
            || changes.is_needed_by_content()
            || !self.writer.touched.is_empty()
            || self.is_transaction_old()
        {
            return self.commit();
        }
        let result = self.volume.blocks.flush();
        self.note_failure(&result);
        result
    }

    fn note_failure(&mut self, result: &Result<()>) {
        if let Err(error) = result {
            self.writer.has_failed = true;
            self.volume.reporter.note(&format!(
                "writing failed ({error}): the mount is read-only from now on"
            ));
        }
    }

    fn try_commit(&mut self) -> Result<()> {
        let blocks = &self.volume.blocks;
        if blocks.changes.running() == 0 && self.writer.touched.is_empty() {
            // Content alone may have been written.
            return blocks.flush();
        }
        let touched = std::mem::take(&mut self.writer.touched);
        for number in touched {
            self.seal_group(number)?;
        }
        self.seal_superblock()?;
        if self.writer.journal.is_none() {
            return self.commit_unlogged();
        }
        let transaction = blocks.changes.transaction();
        let fits = self
            .writer
            .journal
            .as_ref()
            .is_some_and(|journal| journal.has_room(&transaction));
        if !fits {
            self.checkpoint(true)?;
        }
        if let Some(journal) = &mut self.writer.journal {
            journal.commit(blocks, &transaction)?;
        }
        blocks.changes.committed();
        self.forget_pending();
        if self
            .writer
            .journal
            .as_ref()
            .is_some_and(crate::journal::Writer::is_filling)
        {
            self.checkpoint(true)?;
        }
        Ok(())
    }

    pub(super) fn forget_pending(&mut self) {
        self.writer.pending.clear();
        self.writer.freed_inodes.clear();
        self.writer.totals.pending_blocks = 0;
    }

    /// Writes everything home that the log holds, and empties the log. With `is_open` false the journal is
    /// left clean.
    pub(crate) fn checkpoint(&mut self, is_open: bool) -> Result<()> {
        let blocks = &self.volume.blocks;
        write_home(blocks, &blocks.changes.homeless())?;
        blocks.flush()?;
        if let Some(journal) = &mut self.writer.journal {
            journal.emptied(blocks, is_open)?;
        }
        for (number, block) in blocks.changes.came_home() {
            blocks.came_home(number, block);
        }
        Ok(())
    }
}
