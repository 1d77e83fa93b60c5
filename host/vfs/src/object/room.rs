//! How much more a mounted module can take, with what was accepted for it already and is on no medium yet.
//!
//! Neighbours: `page_cache` (what was accepted), `view-core`'s `space` (tells writers). No locks.

use fuse_compat::{INodeNo, sync};
use rustix::io::Errno;

use super::inode::Inode;
use super::instance::Instance;
use super::module_error;
use crate::attributes::FilesystemStatistics;
use crate::page_cache::Blocks;

/// Blocks that ext4 keeps for turning reserved space into data, at most: a fiftieth of the filesystem, or so many
/// (Linux: `ext4_calculate_resv_clusters`).
const MOST_KEPT: u64 = 4096;
const KEPT_PART: u64 = 50;

/// Types that take no space of files for saying where these lie, or (ext4) have something kept for it.
const WITHOUT_MAPS: [&str; 2] = ["ext4", "tmpfs"];

/// What is left of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be accepted. Below 0: more was accepted than there is.
    pub left: i64,
    /// What it is given away in.
    pub blocks: Blocks,
}

impl Instance {
    /// What can still be written to. `None` where there is no limit of the module's own, or the kernel sees to it.
    pub fn room(&self) -> Option<Room> {
        if self.is_read_only() || self.host_root().is_some() {
            return None;
        }
        let answer = sync::statfs(self.module(), &self.own_request(), INodeNo::ROOT).ok()?;
        let figures = FilesystemStatistics::from_module(&answer, 0, 0);
        let block = figures.fragment_size;
        if figures.blocks == 0 || block == 0 {
            return None;
        }
        let mut blocks = figures.available;
        if self.own_credentials().uid == 0 && figures.available < figures.free {
            // Root has what is reserved for it, but not what the filesystem keeps for itself.
            let kept = (figures.blocks / KEPT_PART).min(MOST_KEPT);
            blocks = blocks.max(figures.free.saturating_sub(kept));
        }
        let available = i64::try_from(blocks.saturating_mul(block)).unwrap_or(i64::MAX);
        let of = self.blocks_of(block);
        // Asked for afterwards: what is stored in between is then counted in neither.
        let accepted = self.page_cache().unstored_bytes(self.device(), of);
        Some(Room {
            left: available.saturating_sub(i64::try_from(accepted).unwrap_or(i64::MAX)),
            blocks: of,
        })
    }

    /// Usage as the module tells it, less what was accepted for it: as on Linux, where a delayed allocation counts.
    pub(super) fn with_accepted(&self, figures: FilesystemStatistics) -> FilesystemStatistics {
        let block = figures.fragment_size;
        if block == 0 || self.is_read_only() || self.host_root().is_some() {
            return figures;
        }
        let of = self.blocks_of(block);
        let accepted = self.page_cache().unstored_bytes(self.device(), of) / block;
        FilesystemStatistics {
            free: figures.free.saturating_sub(accepted),
            available: figures.available.saturating_sub(accepted),
            ..figures
        }
    }

    fn blocks_of(&self, bytes: u64) -> Blocks {
        Blocks {
            bytes,
            has_maps: !WITHOUT_MAPS.contains(&self.kind_name()),
        }
    }

    /// Hands the space back to the module that files gave up which were made shorter through a descriptor. Was there
    /// any?
    pub fn give_back(&self) -> bool {
        self.page_cache().give_back(self.device())
    }

    /// Asks the module for something that takes space; once more when some could be handed back to it.
    pub(super) fn with_room<T>(
        &self,
        ask: impl Fn() -> Result<T, fuse_compat::Errno>,
    ) -> Result<T, fuse_compat::Errno> {
        match ask() {
            Err(fuse_compat::Errno::ENOSPC) if self.give_back() => ask(),
            answer => answer,
        }
    }

    /// Is there a file without a name that nobody writes to any more, so that its space is about to be free?
    pub fn frees_soon(&self) -> bool {
        self.page_cache().has_dying_files(self.device())
    }
}

impl Inode {
    /// Bytes that the module has allocated for it, asked for anew: a write does not tell.
    ///
    /// # Errors
    /// Those of the module.
    pub fn stored_bytes(&self) -> Result<u64, Errno> {
        let instance = self.instance();
        let request = instance.own_request();
        let answer = sync::getattr(instance.module(), &request, self.number(), None)
            .map_err(module_error)?;
        Ok(answer.attr.blocks.saturating_mul(512))
    }

    /// Is there a name that leads to it, or may there be one again? What cannot be found out counts as yes.
    pub(super) fn has_name(&self) -> bool {
        if !self.may_be_nameless() {
            return true;
        }
        match self.module_attributes() {
            Ok(attributes) => attributes.links > 0,
            Err(Errno::NOENT | Errno::STALE) => false,
            Err(_) => true,
        }
    }
}
