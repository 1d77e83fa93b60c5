//! statfs(2): the figures that the kernel's ext4 gives for the same image.

use crate::blocks::Blocks;
use crate::features::{COMPAT_HAS_JOURNAL, INCOMPAT_EXTENTS, RO_COMPAT_BIGALLOC};
use crate::geometry::Geometry;
use crate::group;

/// Space and inodes, in blocks of `block_size` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Blocks for data and directories: all blocks but the file system's own.
    pub blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Free blocks less those reserved for root and for the kernel's own use.
    pub available_blocks: u64,
    /// Free blocks that only root, or the kernel for its own use, may take.
    pub held_back: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// Bytes in a block.
    pub block_size: u32,
    /// The file system's UUID.
    pub uuid: [u8; 16],
}

/// Most clusters the kernel keeps back for turning delayed extents into written ones.
const MAX_KEPT_CLUSTERS: u64 = 4096;

/// With more groups than this (128 TiB in blocks of 4 KiB) the superblock's own figures are good enough.
const MAX_COUNTED_GROUPS: u32 = 1 << 20;

/// Computes the figures. Where descriptors can't be read the superblock's counts stand in.
pub(crate) fn compute(blocks: &Blocks, geometry: &Geometry, journal_blocks: u64) -> Statistics {
    let counts = match geometry.groups {
        0..=MAX_COUNTED_GROUPS => group::free_counts(blocks, geometry).ok(),
        _ => None,
    };
    let (free_clusters, free_inodes) = counts.unwrap_or((
        geometry.free_blocks >> geometry.cluster_bits,
        u64::from(geometry.free_inodes),
    ));
    let free_blocks = free_clusters
        .saturating_mul(1 << geometry.cluster_bits)
        .min(geometry.blocks);
    let kept = match geometry.features.incompat(INCOMPAT_EXTENTS) {
        true => {
            ((geometry.blocks >> geometry.cluster_bits) / 50).min(MAX_KEPT_CLUSTERS)
                << geometry.cluster_bits
        }
        false => 0,
    };
    let overhead = overhead(blocks, geometry, journal_blocks);
    Statistics {
        blocks: geometry.blocks.saturating_sub(overhead),
        free_blocks,
        available_blocks: free_blocks.saturating_sub(geometry.reserved_blocks.saturating_add(kept)),
        held_back: geometry.reserved_blocks.saturating_add(kept),
        inodes: u64::from(geometry.inodes),
        free_inodes: free_inodes.min(u64::from(geometry.inodes)),
        block_size: u32::try_from(geometry.block_size).unwrap_or(u32::MAX),
        uuid: geometry.uuid,
    }
}

/// Blocks that the file system uses for itself.
fn overhead(blocks: &Blocks, geometry: &Geometry, journal_blocks: u64) -> u64 {
    let journal = match geometry.features.compat(COMPAT_HAS_JOURNAL) {
        true => journal_blocks,
        false => 0,
    };
    if !geometry.features.ro_compat(RO_COMPAT_BIGALLOC) && geometry.groups <= MAX_COUNTED_GROUPS {
        let groups = (0..geometry.groups).map(|group| group_overhead(geometry, group));
        let groups = groups.fold(0u64, u64::saturating_add);
        return groups
            .saturating_add(u64::from(geometry.first_data_block))
            .saturating_add(journal);
    }
    let stored = u64::from(geometry.overhead_clusters);
    let is_stored = stored != 0 && stored <= geometry.blocks;
    let clusters = match is_stored || geometry.groups > MAX_COUNTED_GROUPS {
        true => stored,
        false => cluster_overhead(blocks, geometry)
            .saturating_add(journal.div_ceil(1 << geometry.cluster_bits))
            .saturating_add(u64::from(geometry.first_data_block) >> geometry.cluster_bits),
    };
    clusters.saturating_mul(1 << geometry.cluster_bits)
}

/// Superblock, descriptors and their reserve, two bitmaps, inode table.
fn group_overhead(geometry: &Geometry, group: u32) -> u64 {
    let (superblock, reserve) = match geometry.has_superblock(group) {
        true => (1, u64::from(geometry.reserved_gdt_blocks)),
        false => (0, 0),
    };
    superblock
        + reserve
        + u64::from(geometry.descriptor_blocks(group))
        + 2
        + geometry.inode_table_blocks()
}

/// With bigalloc: the clusters that hold any metadata. Several pieces may share one.
fn cluster_overhead(blocks: &Blocks, geometry: &Geometry) -> u64 {
    let mut ranges = Vec::new();
    let mut add = |first: u64, count: u64| {
        if let (true, Some(last)) = (count > 0, first.checked_add(count)) {
            let first_data = u64::from(geometry.first_data_block);
            let cluster = |block: u64| block.saturating_sub(first_data) >> geometry.cluster_bits;
            ranges.push((cluster(first), cluster(last - 1)));
        }
    };
    for number in 0..geometry.groups {
        let own = u64::from(geometry.has_superblock(number))
            + u64::from(geometry.descriptor_blocks(number));
        add(geometry.group_start(number), own);
        match group::descriptor(blocks, geometry, number) {
            Ok(raw) => {
                add(raw.block_bitmap, 1);
                add(raw.inode_bitmap, 1);
                add(raw.inode_table, geometry.inode_table_blocks());
            }
            Err(_) => break,
        }
    }
    ranges.sort_unstable();
    let mut end = 0u64;
    let mut clusters = 0u64;
    for (first, last) in ranges {
        let first = first.max(end);
        clusters = clusters.saturating_add(last.saturating_add(1).saturating_sub(first));
        end = end.max(last.saturating_add(1));
    }
    clusters
}
