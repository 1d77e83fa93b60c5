//! What was accepted for a module and is not with it yet: the space it will take there.
//!
//! An estimate, on the safe side where it matters: zeros count as data, and the blocks that tell where data lies are added.
//! Neighbours: `object::room` (what there is), `written`. Locks: `PageCache::written`, a leaf.

use std::sync::Arc;

use rustix::fs::fstat;

use super::PageCache;
use super::written::WrittenFile;
use crate::attributes::Attributes;

/// One block in so many, at most, says where the others are: four bytes for each in blocks of 1 KiB.
const MAP_SHARE: u64 = 256;
/// So many blocks of a file need no such block.
const UNMAPPED_BLOCKS: u64 = 12;

impl PageCache {
    /// Bytes that the written files of an instance will take of it, beyond what they have.
    pub(crate) fn unstored_bytes(&self, device: u64, of: Blocks) -> u64 {
        let files: Vec<Arc<WrittenFile>> = {
            let written = self.written.lock();
            let own = written.iter().filter(|(key, _)| key.device == device);
            own.map(|(_, file)| Arc::clone(file)).collect()
        };
        let of_each = files.iter().map(|file| file.unstored_bytes(of));
        of_each.fold(0, u64::saturating_add)
    }

    /// Has an instance files that somebody may write to, or with changes?
    pub(crate) fn has_written_files_of(&self, device: u64) -> bool {
        self.written.lock().keys().any(|key| key.device == device)
    }
}

impl WrittenFile {
    fn unstored_bytes(&self, of: Blocks) -> u64 {
        let Ok(stat) = fstat(&*self.file()) else {
            return 0;
        };
        let attributes = Attributes::from_stat(&stat);
        let held = attributes.blocks.saturating_mul(512);
        let held = of.whole(attributes.size).min(held);
        if held == 0 || !self.sink().has_name() {
            return 0;
        }
        let stored = self.sink().stored_bytes().unwrap_or(0);
        of.with_map(held).saturating_sub(stored)
    }
}

/// What a filesystem gives its space away in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Bytes of one.
    pub bytes: u64,
    /// Are there blocks that say where the others are, in the same space?
    pub has_maps: bool,
}

impl Blocks {
    /// Bytes of whole blocks.
    pub fn whole(self, bytes: u64) -> u64 {
        bytes
            .checked_next_multiple_of(self.bytes)
            .unwrap_or(u64::MAX)
    }

    /// Bytes of a file, with the blocks that say where they are.
    pub fn with_map(self, bytes: u64) -> u64 {
        match self.has_maps && bytes > self.bytes.saturating_mul(UNMAPPED_BLOCKS) {
            true => bytes
                .saturating_add(self.whole(bytes / MAP_SHARE))
                .saturating_add(self.bytes),
            false => bytes,
        }
    }
}
