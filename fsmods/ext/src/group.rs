//! Group descriptors: found, verified, and summed up.

use crate::blocks::Blocks;
use crate::bytes::span;
use crate::crc::{crc16, crc32c};
use crate::error::{Error, Place, Problem, Result};
use crate::geometry::{Checksums, Geometry};
use crate::wire::group::RawGroup;

const CHECKSUM_AT: usize = 0x1e;

/// The verified descriptor of a group.
///
/// # Errors
/// Corrupt: wrong checksum, or an inode table outside the file system.
pub(crate) fn descriptor(blocks: &Blocks, geometry: &Geometry, group: u32) -> Result<RawGroup> {
    let bad = |detail: String| Err(Error::Corrupt(Problem::new(Place::Group(group), detail)));
    if group >= geometry.groups {
        return bad(format!("there are only {} groups", geometry.groups));
    }
    let index = group / geometry.descriptors_per_block;
    let left = u64::from(geometry.groups.div_ceil(geometry.descriptors_per_block) - index);
    let block = blocks.get_ahead(geometry.descriptor_block(index), left)?;
    let from = (group % geometry.descriptors_per_block) as usize * geometry.descriptor_size;
    let bytes = span(
        block.data(),
        from,
        from.saturating_add(geometry.descriptor_size),
    );
    let Some(raw) = RawGroup::parse(bytes) else {
        return bad("the descriptor is cut off".to_owned());
    };
    if let Some(expected) = checksum(geometry, group, bytes)
        && expected != raw.checksum
    {
        let found = raw.checksum;
        return bad(format!(
            "descriptor checksum {found:#06x} is wrong (expected {expected:#06x})"
        ));
    }
    if !geometry.holds(raw.inode_table, geometry.inode_table_blocks()) {
        return bad(format!(
            "the inode table at block {} is outside the file system",
            raw.inode_table
        ));
    }
    Ok(raw)
}

/// The checksum a descriptor should have; `None` when the file system has none.
pub(crate) fn checksum(geometry: &Geometry, group: u32, bytes: &[u8]) -> Option<u16> {
    let before = span(bytes, 0, CHECKSUM_AT);
    let after = span(bytes, CHECKSUM_AT + 2, bytes.len());
    let number = group.to_le_bytes();
    match geometry.checksums {
        Checksums::None => None,
        Checksums::Groups => {
            let crc = crc16(crc16(crc16(!0, &geometry.uuid), &number), before);
            Some(crc16(crc, after))
        }
        Checksums::All => {
            let crc = crc32c(crc32c(geometry.checksum_seed, &number), before);
            Some(crc32c(crc32c(crc, &[0, 0]), after) as u16)
        }
    }
}

/// Free clusters and free inodes, summed over the groups.
///
/// # Errors
/// Those of the first descriptor that can't be used.
pub(crate) fn free_counts(blocks: &Blocks, geometry: &Geometry) -> Result<(u64, u64)> {
    let mut clusters = 0u64;
    let mut inodes = 0u64;
    for group in 0..geometry.groups {
        let raw = descriptor(blocks, geometry, group)?;
        clusters = clusters.saturating_add(u64::from(raw.free_clusters));
        inodes = inodes.saturating_add(u64::from(raw.free_inodes));
    }
    Ok((clusters, inodes))
}
