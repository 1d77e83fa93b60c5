//! Block groups in memory: descriptors, bitmaps, and the zones of the image that are never a file's.

use crate::blocks::Blocks;
use crate::bytes::{le16, le32, put16, put32, span};
use crate::crc::{crc32c, crc32c_before};
use crate::error::{Error, Place, Problem, Result};
use crate::geometry::{Checksums, Geometry};
use crate::group;
use crate::volume::Volume;

/// The inode table's bitmap is not written yet: no inode is in use.
pub(crate) const INODE_UNINIT: u16 = 1;
/// The block bitmap is not written yet: only the group's own blocks are in use.
pub(crate) const BLOCK_UNINIT: u16 = 2;

/// A group's descriptor.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
    pub(crate) free_blocks: u32,
    pub(crate) free_inodes: u32,
    pub(crate) directories: u32,
    /// Inodes at the table's end that were never used.
    pub(crate) unused_inodes: u32,
    pub(crate) flags: u16,
    /// The bitmaps' checksums have been checked.
    pub(crate) has_checked_blocks: bool,
    pub(crate) has_checked_inodes: bool,
}

/// Sets `count` bits from `first` on.
pub(crate) fn set_bits(bits: &mut [u8], first: u32, count: u32) {
    for bit in first..first.saturating_add(count) {
        if let Some(byte) = bits.get_mut((bit / 8) as usize) {
            *byte |= 1 << (bit % 8);
        }
    }
}

/// Clears `count` bits from `first` on.
pub(crate) fn clear_bits(bits: &mut [u8], first: u32, count: u32) {
    for bit in first..first.saturating_add(count) {
        if let Some(byte) = bits.get_mut((bit / 8) as usize) {
            *byte &= !(1 << (bit % 8));
        }
    }
}

/// Whether a bit is set; bits that do not exist are.
pub(crate) fn has_bit(bits: &[u8], bit: u32) -> bool {
    bits.get((bit / 8) as usize)
        .is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
}

/// Ranges of blocks that belong to the file system itself, in order and apart.
#[derive(Default)]
pub(crate) struct Zones(Vec<(u64, u64)>);

impl Zones {
    /// From ranges of first block and count, in any order.
    pub(crate) fn new(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.retain(|(_, count)| *count > 0);
        ranges.sort_unstable();
        let mut zones: Vec<(u64, u64)> = Vec::new();
        for (first, count) in ranges {
            let end = first.saturating_add(count);
            match zones.last_mut() {
                Some((_, last)) if *last >= first => *last = end.max(*last),
                _ => zones.push((first, end)),
            }
        }
        Self(zones)
    }

    /// Whether ranges of first block and count have blocks in common.
    pub(crate) fn overlap(ranges: &[(u64, u64)]) -> bool {
        let mut ranges: Vec<_> = ranges.iter().filter(|(_, count)| *count > 0).collect();
        ranges.sort_unstable();
        let pairs = ranges.iter().zip(ranges.iter().skip(1));
        pairs
            .into_iter()
            .any(|((first, count), (next, _))| first.saturating_add(*count) > *next)
    }

    /// The zones that lie in a range, cut to it, as first block and end.
    pub(crate) fn within(&self, first: u64, count: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let end = first.saturating_add(count);
        let from = self.0.partition_point(|(_, zone_end)| *zone_end <= first);
        self.0
            .get(from..)
            .unwrap_or(&[])
            .iter()
            .take_while(move |(start, _)| *start < end)
            .map(move |(start, zone_end)| ((*start).max(first), (*zone_end).min(end)))
    }

    /// Whether a range touches any zone.
    pub(crate) fn touches(&self, first: u64, count: u64) -> bool {
        self.within(first, count).next().is_some()
    }
}

fn bad<T>(group: u32, detail: impl Into<String>) -> Result<T> {
    Err(Error::Corrupt(Problem::new(Place::Group(group), detail)))
}

/// The place of a group's descriptor: block, and byte inside.
pub(crate) fn place(geometry: &Geometry, number: u32) -> (u64, usize) {
    let index = number / geometry.descriptors_per_block.max(1);
    let inside = (number % geometry.descriptors_per_block.max(1)) as usize;
    (
        geometry.descriptor_block(index),
        inside.saturating_mul(geometry.descriptor_size),
    )
}

/// Reads and checks all descriptors.
///
/// # Errors
/// The first that can't be trusted.
pub(crate) fn load(blocks: &Blocks, geometry: &Geometry) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for number in 0..geometry.groups {
        let raw = group::descriptor(blocks, geometry, number)?;
        let (block, from) = place(geometry, number);
        let held = blocks.get(block)?;
        let bytes = span(
            held.data(),
            from,
            from.saturating_add(geometry.descriptor_size),
        );
        for (block, name) in [
            (raw.block_bitmap, "block bitmap"),
            (raw.inode_bitmap, "inode bitmap"),
        ] {
            if !geometry.holds(block, 1) {
                return bad(number, format!("the {name} is outside the file system"));
            }
        }
        let has_flags = geometry.checksums != Checksums::None;
        let wide = |low: usize, high: usize| {
            u32::from(le16(bytes, low)) | u32::from(le16(bytes, high)) << 16
        };
        if raw.free_clusters > blocks_in(geometry, number)
            || raw.free_inodes > geometry.inodes_per_group
        {
            return bad(number, "the descriptor counts more free than there is");
        }
        groups.push(Group {
            block_bitmap: raw.block_bitmap,
            inode_bitmap: raw.inode_bitmap,
            inode_table: raw.inode_table,
            free_blocks: raw.free_clusters,
            free_inodes: raw.free_inodes,
            directories: wide(0x10, 0x30),
            unused_inodes: match has_flags {
                true => wide(0x1c, 0x32).min(geometry.inodes_per_group),
                false => 0,
            },
            flags: if has_flags { le16(bytes, 0x12) } else { 0 },
            has_checked_blocks: false,
            has_checked_inodes: false,
        });
    }
    Ok(groups)
}

/// The zones of a file system: superblocks and descriptors (with their reserve), bitmaps, inode tables.
pub(crate) fn zones(geometry: &Geometry, groups: &[Group]) -> Vec<(u64, u64)> {
    let mut ranges = vec![(0, u64::from(geometry.first_data_block))];
    for (number, group) in (0u32..).zip(groups) {
        let mut own = u64::from(geometry.descriptor_blocks(number));
        if geometry.has_superblock(number) {
            own = own
                .saturating_add(1)
                .saturating_add(u64::from(geometry.reserved_gdt_blocks));
        }
        ranges.push((geometry.group_start(number), own));
        ranges.push((group.block_bitmap, 1));
        ranges.push((group.inode_bitmap, 1));
        ranges.push((group.inode_table, geometry.inode_table_blocks()));
    }
    ranges
}

/// Blocks in a group: the last may be shorter.
pub(crate) fn blocks_in(geometry: &Geometry, number: u32) -> u32 {
    let left = geometry.blocks.saturating_sub(geometry.group_start(number));
    u32::try_from(left)
        .unwrap_or(u32::MAX)
        .min(geometry.blocks_per_group)
}

/// The checksum of a block bitmap.
fn block_sum(geometry: &Geometry, bitmap: &[u8]) -> u32 {
    let bytes = (geometry.blocks_per_group / 8) as usize;
    crc32c(geometry.checksum_seed, span(bitmap, 0, bytes))
}

/// The checksum of an inode bitmap.
fn inode_sum(geometry: &Geometry, bitmap: &[u8]) -> u32 {
    let bytes = (geometry.inodes_per_group / 8) as usize;
    crc32c(geometry.checksum_seed, span(bitmap, 0, bytes))
}

/// Whether a descriptor has room for the high half of a field that ends at `end`.
fn is_wide(geometry: &Geometry, end: usize) -> bool {
    geometry.descriptor_size >= end
}

/// Checks a bitmap's checksum, whose halves are at `low` and `high` of the descriptor.
fn check_sum(volume: &Volume, number: u32, found: u32, low: usize, high: usize) -> Result<()> {
    let geometry = &volume.geometry;
    let (block, from) = place(geometry, number);
    let held = volume.blocks.get(block)?;
    let at = |offset: usize| u32::from(le16(held.data(), from.saturating_add(offset)));
    let (expected, found) = match is_wide(geometry, high.saturating_add(2)) {
        true => (at(low) | at(high) << 16, found),
        false => (at(low), found & 0xffff),
    };
    match expected == found {
        true => Ok(()),
        false => bad(
            number,
            format!("bitmap checksum {found:#010x} is wrong (expected {expected:#010x})"),
        ),
    }
}

impl super::Op<'_> {
    /// Makes a group's block bitmap usable: written if it was not yet, checked once.
    pub(crate) fn ready_blocks(&mut self, number: u32) -> Result<u64> {
        let geometry = &self.volume.geometry;
        let Some(group) = self.writer.groups.get(number as usize) else {
            return bad(number, "does not exist");
        };
        let bitmap = group.block_bitmap;
        if group.flags & BLOCK_UNINIT != 0 {
            let mut bits = vec![0u8; geometry.block_size];
            let start = geometry.group_start(number);
            let count = blocks_in(geometry, number);
            for (first, end) in self.writer.zones.within(start, u64::from(count)) {
                let first = u32::try_from(first.saturating_sub(start)).unwrap_or(u32::MAX);
                let end = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
                set_bits(&mut bits, first, end.saturating_sub(first));
            }
            let all = u32::try_from(geometry.block_size.saturating_mul(8)).unwrap_or(0);
            set_bits(&mut bits, count, all.saturating_sub(count));
            let used: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
            let free = all.saturating_sub(used);
            if group.free_blocks != free {
                return bad(
                    number,
                    format!("has no block bitmap and {} free blocks", group.free_blocks),
                );
            }
            self.volume.blocks.replace(bitmap, bits.into())?;
            let group = self.touch_group(number)?;
            group.flags &= !BLOCK_UNINIT;
            group.has_checked_blocks = true;
            return Ok(bitmap);
        }
        if !group.has_checked_blocks {
            let held = self.volume.blocks.get(bitmap)?;
            if geometry.has_checksums() {
                let sum = block_sum(geometry, held.data());
                check_sum(self.volume, number, sum, 0x18, 0x38)?;
            }
            if let Some(group) = self.writer.groups.get_mut(number as usize) {
                group.has_checked_blocks = true;
            }
        }
        Ok(bitmap)
    }

    /// The same for a group's inode bitmap.
    pub(crate) fn ready_inodes(&mut self, number: u32) -> Result<u64> {
        let geometry = &self.volume.geometry;
        let Some(group) = self.writer.groups.get(number as usize) else {
            return bad(number, "does not exist");
        };
        let bitmap = group.inode_bitmap;
        if group.flags & INODE_UNINIT != 0 {
            let mut bits = vec![0u8; geometry.block_size];
            let all = u32::try_from(geometry.block_size.saturating_mul(8)).unwrap_or(0);
            let count = geometry.inodes_per_group;
            set_bits(&mut bits, count, all.saturating_sub(count));
            self.volume.blocks.replace(bitmap, bits.into())?;
            let group = self.touch_group(number)?;
            group.flags &= !INODE_UNINIT;
            group.unused_inodes = count;
            group.has_checked_inodes = true;
            return Ok(bitmap);
        }
        if !group.has_checked_inodes {
            let held = self.volume.blocks.get(bitmap)?;
            if geometry.has_checksums() {
                let sum = inode_sum(geometry, held.data());
                check_sum(self.volume, number, sum, 0x1a, 0x3a)?;
            }
            if let Some(group) = self.writer.groups.get_mut(number as usize) {
                group.has_checked_inodes = true;
            }
        }
        Ok(bitmap)
    }

    /// Writes a group's descriptor into its block.
    pub(crate) fn seal_group(&mut self, number: u32) -> Result<()> {
        let geometry = &self.volume.geometry;
        let blocks = &self.volume.blocks;
        let Some(group) = self.writer.groups.get(number as usize).cloned() else {
            return bad(number, "does not exist");
        };
        let mut sums = (None, None);
        if geometry.has_checksums() {
            if group.flags & BLOCK_UNINIT == 0 && group.has_checked_blocks {
                sums.0 = Some(block_sum(geometry, blocks.get(group.block_bitmap)?.data()));
            }
            if group.flags & INODE_UNINIT == 0 && group.has_checked_inodes {
                sums.1 = Some(inode_sum(geometry, blocks.get(group.inode_bitmap)?.data()));
            }
        }
        let (block, from) = place(geometry, number);
        let size = geometry.descriptor_size;
        blocks.edit(block, |bytes| {
            let Some(bytes) = bytes.get_mut(from..from.saturating_add(size)) else {
                return;
            };
            let mut wide = |low: usize, high: usize, value: u32| {
                put16(bytes, low, value as u16);
                if is_wide(geometry, high.saturating_add(2)) {
                    put16(bytes, high, (value >> 16) as u16);
                }
            };
            wide(0xc, 0x2c, group.free_blocks);
            wide(0xe, 0x2e, group.free_inodes);
            wide(0x10, 0x30, group.directories);
            if geometry.checksums != Checksums::None {
                wide(0x1c, 0x32, group.unused_inodes);
            }
            if let Some(sum) = sums.0 {
                wide(0x18, 0x38, sum);
            }
            if let Some(sum) = sums.1 {
                wide(0x1a, 0x3a, sum);
            }
            if geometry.checksums != Checksums::None {
                put16(bytes, 0x12, group.flags);
            }
            if let Some(sum) = group::checksum(geometry, number, bytes) {
                put16(bytes, 0x1e, sum);
            }
        })
    }

    /// Writes the superblock's counts and the orphan list's head into its block.
    pub(crate) fn seal_superblock(&mut self) -> Result<()> {
        let totals = self.writer.totals;
        let head = self.writer.orphans.last().copied().unwrap_or(0);
        let now = super::now().seconds;
        edit_superblock(self.volume, |bytes| {
            put32(bytes, 0xc, totals.free_blocks as u32);
            if le32(bytes, 0x60) & crate::features::INCOMPAT_64BIT != 0 {
                put32(bytes, 0x158, (totals.free_blocks >> 32) as u32);
            }
            put32(
                bytes,
                0x10,
                u32::try_from(totals.free_inodes).unwrap_or(u32::MAX),
            );
            put32(bytes, 0xe8, head);
            put32(bytes, 0x30, now as u32);
        })
    }
}

/// Changes the superblock inside the running transaction.
pub(crate) fn edit_superblock(volume: &Volume, change: impl FnOnce(&mut [u8])) -> Result<()> {
    let (block, from) = volume.superblock_place();
    volume.blocks.edit(block, |bytes| {
        if let Some(bytes) = bytes.get_mut(from..from.saturating_add(1024)) {
            change(bytes);
            seal_superblock_bytes(bytes);
        }
    })
}

/// Makes the superblock's checksum right again, if it has one, without changing it: `s_snapshot_id`, which nothing uses
/// without the feature `has_snapshot`, takes up the difference.
///
/// All that changes while a file system is in use lies in the superblock's first 512 bytes, the checksum in the last
/// ones. A crash may leave one sector new and the other old, and there is no replay without a valid superblock; so the second
/// sector has to stay as it is.
pub(crate) fn seal_superblock_bytes(bytes: &mut [u8]) {
    const BALANCE: usize = 0x184;
    const SUM: usize = 0x3fc;
    if le32(bytes, 0x64) & crate::features::RO_COMPAT_METADATA_CSUM == 0 {
        return;
    }
    let before = crc32c(!0, span(bytes, 0, BALANCE));
    let rest = span(bytes, BALANCE + 4, SUM);
    let after = crc32c_before(crc32c_before(le32(bytes, SUM), rest), &[0; 4]);
    put32(bytes, BALANCE, before ^ after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_join_and_cut() {
        let ranges = vec![(10, 5), (0, 1), (15, 5), (12, 2), (40, 0)];
        assert!(Zones::overlap(&ranges));
        assert!(!Zones::overlap(&[(10, 5), (0, 1), (15, 5), (12, 0)]));
        let zones = Zones::new(ranges);
        assert_eq!(zones.0, [(0, 1), (10, 20)]);
        assert_eq!(zones.within(12, 100).collect::<Vec<_>>(), [(12, 20)]);
        assert!(!zones.touches(1, 9));
        assert!(zones.touches(1, 10));
        assert!(zones.touches(19, 1));
        assert!(!zones.touches(20, 9));
    }

    #[test]
    fn a_superblock_is_sealed_in_its_first_sector() {
        let mut bytes = vec![0u8; 1024];
        put32(&mut bytes, 0x64, crate::features::RO_COMPAT_METADATA_CSUM);
        let sum = crc32c(!0, span(&bytes, 0, 0x3fc));
        put32(&mut bytes, 0x3fc, sum);
        for count in [5, 0, 7_000_000] {
            put32(&mut bytes, 0xc, count);
            seal_superblock_bytes(&mut bytes);
            assert_eq!(le32(&bytes, 0x3fc), sum);
            assert_eq!(crc32c(!0, span(&bytes, 0, 0x3fc)), sum);
        }
    }

    #[test]
    fn bits_of_bitmaps() {
        let mut bits = vec![0u8; 3];
        set_bits(&mut bits, 6, 4);
        assert_eq!(bits, [0xc0, 0x03, 0]);
        clear_bits(&mut bits, 7, 2);
        assert_eq!(bits, [0x40, 0x02, 0]);
        assert!(has_bit(&bits, 6) && !has_bit(&bits, 7) && has_bit(&bits, 24));
    }
}
