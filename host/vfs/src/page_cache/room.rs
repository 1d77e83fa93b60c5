//! What was accepted for a module and is not with it yet: the space it will take there.
//!
//! An estimate, on the safe side where it matters: zeros count as data, and the blocks that tell where data lies are added.
//! Neighbours: `object::room` (what there is), `written`. Locks: `PageCache::written`, a leaf; then the
//! state of a file.

use std::sync::Arc;
use std::time::Duration;

use rustix::fs::fstat;
use rustix::io::Errno;

use super::PageCache;
use super::written::WrittenFile;
use crate::attributes::Attributes;

/// One block in so many, at most, says where the others are: four bytes for each in blocks of 1 KiB.
const MAP_SHARE: u64 = 256;
/// Longest wait for a file that is written back.
const LOCK_WAIT: Duration = Duration::from_millis(20);
/// So many blocks of a file need no such block.
const UNMAPPED_BLOCKS: u64 = 12;

impl PageCache {
    /// Bytes that the written files of an instance will take of it, beyond what they have.
    pub(crate) fn unstored_bytes(&self, device: u64, of: Blocks) -> u64 {
        let files = self.written_files_of(device);
        let of_each = files.iter().map(|file| file.unstored_bytes(of));
        of_each.fold(0, u64::saturating_add)
    }

    /// Makes the module's files as short as the backing files are. Was one longer?
    pub(crate) fn give_back(&self, device: u64) -> bool {
        let files = self.written_files_of(device);
        // An error is told by the next write-back, which meets it as well.
        let longer = files
            .iter()
            .filter(|file| file.give_back().unwrap_or(false));
        longer.count() > 0
    }

    /// Is a written file without a name about to be forgotten?
    pub(crate) fn has_dying_files(&self, device: u64) -> bool {
        let files = self.written_files_of(device);
        files
            .iter()
            .any(|file| !file.sink().has_name() && !file.has_writer())
    }

    fn written_files_of(&self, device: u64) -> Vec<Arc<WrittenFile>> {
        let written = self.written.lock();
        let own = written.iter().filter(|(key, _)| key.device == device);
        own.map(|(_, file)| Arc::clone(file)).collect()
    }
}

impl WrittenFile {
    /// Makes the module's file as short as the backing file is, unless somebody is at it. Was it longer?
    fn give_back(&self) -> Result<bool, Errno> {
        let Some(mut state) = self.state_within(LOCK_WAIT) else {
            return Ok(false);
        };
        let size = Attributes::from_stat(&fstat(&*self.file())?).size;
        let is_more = size < state.module_size() || state.holds_behind(size);
        if !is_more || self.is_abandoned() {
            return Ok(false);
        }
        self.changing_sink().set_size(size)?;
        state.resized(size);
        self.give_up_behind(&mut state, size)?;
        Ok(true)
    }

    fn unstored_bytes(&self, of: Blocks) -> u64 {
        let Ok(stat) = fstat(&*self.file()) else {
            return 0;
        };
        let attributes = Attributes::from_stat(&stat);
        let held = attributes.blocks.saturating_mul(512);
        let held = of.whole(attributes.size).min(held);
        if held == 0 {
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
