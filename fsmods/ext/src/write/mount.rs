//! How a volume becomes writable, and how it is left clean.
//!
//! While it is writable the superblock says so: `needs_recovery` with a journal, "not clean" without. A lock
//! against a second writer is the business of who opens the source.

use std::collections::BTreeSet;
use std::time::Instant;

use foldhash::{HashMap, HashSet};
use parking_lot::Mutex;

use super::groups::{self, Zones, seal_superblock_bytes};
use super::{Caller, Op, Totals, Undo, Writer};
use crate::blocks::Overlay;
use crate::bytes::{le16, le32, put16, put32, u8_at};
use crate::error::{Error, MountError, Result};
use crate::features::{COMPAT_HAS_JOURNAL, INCOMPAT_EA_INODE, INCOMPAT_MMP, INCOMPAT_RECOVER};
use crate::geometry::Geometry;
use crate::journal;
use crate::volume::Volume;

const STATE_VALID: u16 = 1;
/// Features for writers that this one knows: sparse_super, large_file, btree_dir, huge_file, gdt_csum,
/// dir_nlink, extra_isize, metadata_csum.
const RO_COMPAT_WRITABLE: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x400;

/// Names of the features that keep this driver from writing.
fn feature_name(mask: u32) -> String {
    let name = match mask {
        0x80 => "has_snapshot",
        0x100 => "quota",
        0x200 => "bigalloc",
        0x800 => "replica",
        0x1000 => "read-only",
        0x2000 => "project",
        0x4000 => "shared_blocks",
        0x8000 => "verity",
        0x1_0000 => "orphan_present",
        other => return format!("FEATURE_R{}", other.trailing_zeros()),
    };
    name.to_owned()
}

/// Why a file system can't be written, if so.
pub(crate) fn why_read_only(geometry: &Geometry, state: u16) -> Option<String> {
    let features = geometry.features;
    let unknown = features.ro_compat & !RO_COMPAT_WRITABLE;
    if unknown != 0 {
        let masks = (0..32u32).map(|bit| 1u32 << bit);
        let names: Vec<_> = masks
            .filter(|mask| unknown & mask != 0)
            .map(feature_name)
            .collect();
        return Some(format!(
            "writing with the feature {} is not supported",
            names.join(", ")
        ));
    }
    if features.incompat(INCOMPAT_MMP) {
        return Some("writing with the feature mmp is not supported".to_owned());
    }
    if features.incompat(INCOMPAT_EA_INODE) {
        return Some("writing with the feature ea_inode is not supported".to_owned());
    }
    if geometry.has_error_mark {
        return Some("the image is marked as having errors (run e2fsck first)".to_owned());
    }
    if !features.compat(COMPAT_HAS_JOURNAL) && state & STATE_VALID == 0 {
        return Some("the image was not unmounted cleanly (run e2fsck first)".to_owned());
    }
    None
}

/// What recovery did to the image.
pub(crate) struct Recovered {
    pub(crate) end: Option<u32>,
}

/// Replays the journal into the image itself.
///
/// # Errors
/// The journal can't be replayed, or the source fails.
pub(crate) fn recover(volume: &mut Volume) -> std::result::Result<Option<Recovered>, MountError> {
    let replay = journal::recover(&volume.blocks, &volume.geometry, |number| {
        volume.inode(number)
    })?;
    let Some(replay) = replay else {
        return Ok(Some(Recovered { end: None }));
    };
    if replay.is_partial {
        return Ok(None);
    }
    let copies: BTreeSet<u64> = replay.overlay.values().map(|copy| copy.at).collect();
    if replay.overlay.keys().any(|number| copies.contains(number)) {
        return Err(MountError::Journal("it overwrites itself".to_owned()));
    }
    let numbers: Vec<u64> = replay.overlay.keys().copied().collect();
    let failed = |error: Error| MountError::Journal(error.to_string());
    volume.blocks.set_overlay(replay.overlay);
    for number in &numbers {
        let block = volume.blocks.get(*number).map_err(failed)?;
        volume
            .blocks
            .write_raw(*number, 0, block.data())
            .map_err(failed)?;
    }
    volume.blocks.flush().map_err(failed)?;
    volume.blocks.set_overlay(Overlay::new());
    volume.forget_inodes();
    if !numbers.is_empty() {
        volume
            .reporter
            .note(&format!("journal: {} blocks replayed", numbers.len()));
    }
    Ok(Some(Recovered { end: replay.end }))
}

/// Changes the superblock at its place, outside of any transaction, and flushes.
fn change_superblock(volume: &Volume, change: impl FnOnce(&mut [u8])) -> Result<()> {
    let (block, from) = volume.superblock_place();
    let mut bytes = volume.blocks.get(block)?.data().to_vec();
    if let Some(bytes) = bytes.get_mut(from..from.saturating_add(1024)) {
        change(bytes);
        seal_superblock_bytes(bytes);
    }
    volume.blocks.write_raw(block, 0, &bytes)?;
    volume.blocks.release(block);
    volume.blocks.flush()
}

/// The state of the superblock.
pub(crate) fn state(volume: &Volume) -> Result<u16> {
    let (block, from) = volume.superblock_place();
    Ok(le16(
        volume.blocks.get(block)?.data(),
        from.saturating_add(0x3a),
    ))
}

/// Makes a recovered volume writable.
///
/// # Errors
/// Group descriptors that can't be trusted, a journal that can't be written, a failing source. Nothing
/// but the replay has been written then, or the journal is as good as empty.
pub(crate) fn open(
    volume: &Volume,
    recovered: &Recovered,
) -> std::result::Result<Writer, MountError> {
    let geometry = &volume.geometry;
    let failed = |error: Error| MountError::Geometry(error.to_string());
    let groups = groups::load(&volume.blocks, geometry).map_err(failed)?;
    let mut ranges = groups::zones(geometry, &groups);
    let blocks = geometry.inode_table_blocks();
    let tables = groups.iter().map(|group| (group.inode_table, blocks));
    let tables = Zones::new(tables.collect());
    let mut journal = match geometry.features.compat(COMPAT_HAS_JOURNAL) {
        false => None,
        true => {
            let inode = volume.inode(geometry.journal_inode).map_err(failed)?;
            let writer = journal::Writer::new(&volume.blocks, geometry, &inode, recovered.end)?;
            ranges.extend(writer.ranges());
            Some(writer)
        }
    };
    if Zones::overlap(&ranges) {
        let detail = "bitmaps, inode tables, superblocks or the journal overlap";
        return Err(MountError::Geometry(detail.to_owned()));
    }
    let mut totals = Totals::default();
    for group in &groups {
        totals.free_blocks = totals
            .free_blocks
            .saturating_add(u64::from(group.free_blocks));
        totals.free_inodes = totals
            .free_inodes
            .saturating_add(u64::from(group.free_inodes));
        totals.directories = totals
            .directories
            .saturating_add(u64::from(group.directories));
    }
    let has_journal = journal.is_some();
    let (block, from) = volume.superblock_place();
    let held = volume.blocks.get(block).map_err(failed)?;
    let hash_version = match u8_at(held.data(), from.saturating_add(0xfc)) {
        version @ 0..=2 => version,
        version @ 3..=5 => version.saturating_sub(3),
        _ => 1,
    };
    drop(held);
    let now = super::now();
    change_superblock(volume, |bytes| {
        if has_journal {
            let incompat = le32(bytes, 0x60) | INCOMPAT_RECOVER;
            put32(bytes, 0x60, incompat);
        } else {
            let state = le16(bytes, 0x3a) & !STATE_VALID;
            put16(bytes, 0x3a, state);
        }
        put32(bytes, 0x2c, now.seconds as u32);
        let mounts = le16(bytes, 0x34).saturating_add(1);
        put16(bytes, 0x34, mounts);
    })
    .map_err(failed)?;
    if let Some(journal) = &mut journal {
        journal.begin(&volume.blocks).map_err(failed)?;
    }
    let mut writer = Writer {
        journal,
        groups,
        totals,
        zones: Zones::new(ranges),
        tables,
        touched: BTreeSet::new(),
        pending: HashMap::default(),
        freed_inodes: HashSet::default(),
        references: Mutex::default(),
        orphans: Vec::new(),
        has_failed: false,
        reserved_blocks: geometry.reserved_blocks,
        hash_version,
        committed: Instant::now(),
        generation: now.nanoseconds ^ now.seconds as u32,
        undo: Undo::default(),
    };
    let mut op = Op {
        volume,
        writer: &mut writer,
        caller: Caller {
            uid: 0,
            gid: 0,
            is_late: false,
        },
    };
    let orphans = op.load_orphans().map_err(failed)?;
    if !orphans.is_empty() {
        volume
            .reporter
            .note(&format!("{} orphaned inodes are cleaned up", orphans.len()));
    }
    op.writer.orphans = orphans;
    op.clean_orphans();
    op.commit().map_err(failed)?;
    Ok(writer)
}

impl Op<'_> {
    /// Leaves the image clean: orphans are deleted, everything is home, and the superblock says so.
    ///
    /// # Errors
    /// EIO; EROFS when an earlier write failed (the journal then has what was committed).
    pub(crate) fn unmount(&mut self) -> Result<()> {
        self.writer.references.lock().clear();
        self.clean_orphans();
        self.commit()?;
        self.checkpoint(false)?;
        let has_journal = self.writer.journal.is_some();
        change_superblock(self.volume, |bytes| {
            if has_journal {
                let incompat = le32(bytes, 0x60) & !INCOMPAT_RECOVER;
                put32(bytes, 0x60, incompat);
            } else {
                let state = le16(bytes, 0x3a) | STATE_VALID;
                put16(bytes, 0x3a, state);
            }
        })
    }
}
