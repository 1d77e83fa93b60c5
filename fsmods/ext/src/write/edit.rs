//! An inode's bytes while they are changed.

use std::sync::Arc;

use super::{Op, now, refuse};
use crate::bytes::{le16, le32, put, put16, put32, span};
use crate::error::Result;
use crate::features::{INCOMPAT_EXTENTS, RO_COMPAT_HUGE_FILE};
use crate::inode::{self, Inode, Kind, Time};
use crate::volume::Volume;

pub(crate) const FLAG_INDEX: u32 = 0x1000;
const FLAG_HUGE_FILE: u32 = 0x4_0000;
pub(crate) const FLAG_EXTENTS: u32 = 0x8_0000;
pub(crate) const FLAG_INLINE_DATA: u32 = 0x1000_0000;
pub(crate) const FLAG_IMMUTABLE: u32 = 0x10;
pub(crate) const FLAG_APPEND: u32 = 0x20;
/// `i_block`.
pub(crate) const BLOCK_AT: usize = 0x28;
const OLD_BYTES: usize = 128;
const EXTRA_BYTES: u16 = 32;
const EXTENT_MAGIC: u16 = 0xf30a;

/// Which time of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    Access,
    Change,
    Modify,
    Birth,
}

impl Stamp {
    /// Bytes of the seconds and of the word that extends them.
    fn places(self) -> (usize, usize) {
        match self {
            Self::Access => (0x8, 0x8c),
            Self::Change => (0xc, 0x84),
            Self::Modify => (0x10, 0x88),
            Self::Birth => (0x90, 0x94),
        }
    }
}

/// An inode being changed. Nothing happens before [`Op::store`].
pub(crate) struct Edit {
    pub(crate) number: u32,
    pub(crate) bytes: Vec<u8>,
    /// Where the checksums of its own blocks start from.
    pub(crate) seed: u32,
}

impl Edit {
    /// A new inode.
    pub(crate) fn new(
        volume: &Volume,
        number: u32,
        mode: u16,
        uid: u32,
        gid: u32,
        generation: u32,
    ) -> Self {
        let geometry = &volume.geometry;
        let mut edit = Self {
            number,
            bytes: vec![0; geometry.inode_size],
            seed: inode::seed(geometry, number, generation),
        };
        put16(&mut edit.bytes, 0, mode);
        put32(&mut edit.bytes, 0x64, generation);
        if geometry.inode_size >= OLD_BYTES + usize::from(EXTRA_BYTES) {
            put16(&mut edit.bytes, 0x80, EXTRA_BYTES);
        }
        edit.set_owner(uid, gid);
        let now = now();
        for stamp in [Stamp::Access, Stamp::Change, Stamp::Modify, Stamp::Birth] {
            edit.set_time(stamp, now);
        }
        let kind = mode & 0xf000;
        if geometry.features.incompat(INCOMPAT_EXTENTS) && (kind == 0x8000 || kind == 0x4000) {
            edit.make_extents();
        }
        edit
    }

    /// Starts an empty tree of extents.
    pub(crate) fn make_extents(&mut self) {
        put(&mut self.bytes, BLOCK_AT, &[0; 60]);
        put16(&mut self.bytes, BLOCK_AT, EXTENT_MAGIC);
        put16(&mut self.bytes, BLOCK_AT + 4, 4);
        self.set_flags(self.flags() | FLAG_EXTENTS);
    }

    /// The inode as the reading side sees it.
    ///
    /// # Errors
    /// Corrupt.
    pub(crate) fn inode(&self, volume: &Volume) -> Result<Arc<Inode>> {
        Inode::unverified(&volume.geometry, self.number, &self.bytes)
    }

    pub(crate) fn mode(&self) -> u16 {
        le16(&self.bytes, 0)
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.mode() & 0xf000 == 0x4000
    }

    pub(crate) fn set_mode(&mut self, mode: u16) {
        put16(&mut self.bytes, 0, mode);
    }

    pub(crate) fn set_owner(&mut self, uid: u32, gid: u32) {
        put16(&mut self.bytes, 0x2, uid as u16);
        put16(&mut self.bytes, 0x78, (uid >> 16) as u16);
        put16(&mut self.bytes, 0x18, gid as u16);
        put16(&mut self.bytes, 0x7a, (gid >> 16) as u16);
    }

    pub(crate) fn flags(&self) -> u32 {
        le32(&self.bytes, 0x20)
    }

    pub(crate) fn set_flags(&mut self, flags: u32) {
        put32(&mut self.bytes, 0x20, flags);
    }

    pub(crate) fn has_extents(&self) -> bool {
        self.flags() & FLAG_EXTENTS != 0
    }

    pub(crate) fn links(&self) -> u16 {
        le16(&self.bytes, 0x1a)
    }

    pub(crate) fn set_links(&mut self, links: u16) {
        put16(&mut self.bytes, 0x1a, links);
    }

    /// `i_size`. The high half counts for regular files and (with large_dir) directories.
    pub(crate) fn size(&self) -> u64 {
        u64::from(le32(&self.bytes, 0x4)) | u64::from(le32(&self.bytes, 0x6c)) << 32
    }

    pub(crate) fn set_size(&mut self, size: u64) {
        put32(&mut self.bytes, 0x4, size as u32);
        put32(&mut self.bytes, 0x6c, (size >> 32) as u32);
    }

    /// `i_dtime`, which also links orphans.
    pub(crate) fn deletion(&self) -> u32 {
        le32(&self.bytes, 0x14)
    }

    pub(crate) fn set_deletion(&mut self, value: u32) {
        put32(&mut self.bytes, 0x14, value);
    }

    pub(crate) fn xattr_block(&self) -> u64 {
        u64::from(le32(&self.bytes, 0x68)) | u64::from(le16(&self.bytes, 0x76)) << 32
    }

    pub(crate) fn set_xattr_block(&mut self, block: u64) {
        put32(&mut self.bytes, 0x68, block as u32);
        put16(&mut self.bytes, 0x76, (block >> 32) as u16);
    }

    /// `i_block`.
    pub(crate) fn block(&self) -> &[u8] {
        span(&self.bytes, BLOCK_AT, BLOCK_AT + 60)
    }

    pub(crate) fn set_block(&mut self, at: usize, data: &[u8]) {
        let data = span(data, 0, 60usize.saturating_sub(at));
        put(&mut self.bytes, BLOCK_AT.saturating_add(at), data);
    }

    /// Counts `blocks` more (or, negative, fewer) blocks as the inode's.
    ///
    /// # Errors
    /// EFBIG when the count does not fit.
    pub(crate) fn add_blocks(&mut self, volume: &Volume, blocks: i64) -> Result<()> {
        let geometry = &volume.geometry;
        let has_huge = geometry.features.ro_compat(RO_COMPAT_HUGE_FILE);
        let is_huge = has_huge && self.flags() & FLAG_HUGE_FILE != 0;
        let unit = if is_huge {
            1
        } else {
            1i64 << geometry.block_bits.saturating_sub(9)
        };
        let mut count = i64::from(le32(&self.bytes, 0x1c));
        if has_huge {
            count |= i64::from(le16(&self.bytes, 0x74)) << 32;
        }
        let count = count.saturating_add(blocks.saturating_mul(unit)).max(0);
        let limit = if has_huge { 1i64 << 48 } else { 1i64 << 32 };
        if count >= limit {
            return refuse(libc::EFBIG);
        }
        put32(&mut self.bytes, 0x1c, count as u32);
        if has_huge {
            put16(&mut self.bytes, 0x74, (count >> 32) as u16);
        }
        Ok(())
    }

    /// Sets a time, cut to what the inode has room for. At the ends of the range there are no nanoseconds, as Linux's
    /// `timestamp_truncate` has it.
    pub(crate) fn set_time(&mut self, stamp: Stamp, time: Time) {
        let (low, extra) = stamp.places();
        let end = OLD_BYTES.saturating_add(usize::from(le16(&self.bytes, 0x80)));
        let is_wide = self.bytes.len() > OLD_BYTES && end >= extra.saturating_add(4);
        if stamp == Stamp::Birth && !is_wide {
            return;
        }
        if !is_wide {
            let seconds = time.seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            put32(&mut self.bytes, low, seconds as u32);
            return;
        }
        let most = (3i64 << 32) + i64::from(i32::MAX);
        let seconds = time.seconds.clamp(i64::from(i32::MIN), most);
        let epoch = (seconds.saturating_sub(i64::from(seconds as i32)) >> 32) as u32 & 3;
        let is_at_end = seconds == most || seconds == i64::from(i32::MIN);
        let nanoseconds = if is_at_end { 0 } else { time.nanoseconds };
        put32(&mut self.bytes, low, seconds as u32);
        put32(&mut self.bytes, extra, epoch | nanoseconds << 2);
    }

    /// Sets the time of the last change of the inode to now.
    pub(crate) fn changed(&mut self) {
        self.set_time(Stamp::Change, now());
    }

    /// The same with the time of the last change of the content.
    pub(crate) fn modified(&mut self) {
        let now = now();
        self.set_time(Stamp::Change, now);
        self.set_time(Stamp::Modify, now);
    }
}

impl Op<'_> {
    fn inode_place(&self, number: u32) -> Result<(u64, usize)> {
        let (group, block, inside) = Inode::place(&self.volume.geometry, number)?;
        let table = self
            .writer
            .groups
            .get(group as usize)
            .map(|group| group.inode_table);
        match table {
            Some(table) => Ok((table.saturating_add(block), inside)),
            None => refuse(libc::EIO),
        }
    }

    /// Starts to change an inode, which has been checked.
    ///
    /// # Errors
    /// As [`Volume::inode`].
    pub(crate) fn edit(&self, number: u32) -> Result<Edit> {
        let inode = self.volume.inode(number)?;
        let (block, inside) = self.inode_place(number)?;
        let held = self.volume.blocks.get(block)?;
        let bytes = span(
            held.data(),
            inside,
            inside.saturating_add(self.volume.geometry.inode_size),
        );
        Ok(Edit {
            number,
            bytes: bytes.to_vec(),
            seed: inode.checksum_seed,
        })
    }

    /// Puts an inode's bytes, with their checksum, into the running transaction.
    ///
    /// # Errors
    /// As [`Volume::inode`].
    pub(crate) fn store(&mut self, edit: &mut Edit) -> Result<()> {
        let (block, inside) = self.inode_place(edit.number)?;
        inode::seal(&self.volume.geometry, edit.seed, &mut edit.bytes);
        let blocks = &self.volume.blocks;
        let before = blocks.get(block)?;
        let end = inside.saturating_add(edit.bytes.len());
        let old = span(before.data(), inside, end);
        if differs_in_times_only(old, &edit.bytes) {
            blocks.edit_times(block, |bytes| put(bytes, inside, &edit.bytes))?;
        } else {
            blocks.edit(block, |bytes| put(bytes, inside, &edit.bytes))?;
        }
        match edit.inode(self.volume) {
            Ok(inode) => self.volume.remember_inode(inode),
            Err(_) => self.volume.forget_inode(edit.number),
        }
        Ok(())
    }

    /// The inode that a directory entry names, to be changed.
    ///
    /// # Errors
    /// As [`Volume::named_inode`].
    pub(crate) fn edit_named(&self, number: u32) -> Result<Edit> {
        self.volume.named_inode(number)?;
        self.edit(number)
    }

    /// A directory that may get or lose names.
    ///
    /// # Errors
    /// ENOTDIR; ENOENT when it has been removed; EPERM when it is immutable.
    pub(crate) fn edit_directory(&self, number: u32) -> Result<Edit> {
        let inode = self.volume.inode(number)?;
        if inode.kind != Kind::Directory {
            return refuse(libc::ENOTDIR);
        }
        if inode.links == 0 {
            return refuse(libc::ENOENT);
        }
        if inode.flags & FLAG_IMMUTABLE != 0 {
            return refuse(libc::EPERM);
        }
        self.volume.fail_if_damaged(&inode)?;
        self.edit(number)
    }
}

/// Is nothing else different than the times of access, change and modification, and the checksum?
fn differs_in_times_only(old: &[u8], new: &[u8]) -> bool {
    const FREE: [std::ops::Range<usize>; 3] = [0x8..0x14, 0x7c..0x7e, 0x82..0x90];
    let is_free = |at: usize| FREE.iter().any(|range| range.contains(&at));
    old.len() == new.len()
        && old
            .iter()
            .zip(new)
            .enumerate()
            .all(|(at, (old, new))| old == new || is_free(at))
}
