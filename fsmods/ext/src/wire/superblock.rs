//! The superblock: 1024 bytes at byte 1024 of the file system.

use crate::bytes::{array, join, le16, le32, u8_at};
use crate::crc::crc32c;
use crate::features::Features;

/// Size of the superblock on disk.
pub(crate) const SUPERBLOCK_BYTES: usize = 1024;
/// Where it starts.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// `s_magic`.
pub(crate) const MAGIC: u16 = 0xef53;

/// The superblock's fields.
#[derive(Clone, Debug)]
pub(crate) struct RawSuperblock {
    pub(crate) inodes_count: u32,
    pub(crate) blocks_count_low: u32,
    pub(crate) blocks_count_high: u32,
    pub(crate) reserved_blocks_low: u32,
    pub(crate) reserved_blocks_high: u32,
    pub(crate) free_blocks_low: u32,
    pub(crate) free_blocks_high: u32,
    pub(crate) free_inodes: u32,
    pub(crate) first_data_block: u32,
    pub(crate) log_block_size: u32,
    pub(crate) log_cluster_size: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) clusters_per_group: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) magic: u16,
    pub(crate) state: u16,
    pub(crate) revision: u32,
    pub(crate) first_inode: u32,
    pub(crate) inode_size: u16,
    pub(crate) features: Features,
    pub(crate) uuid: [u8; 16],
    pub(crate) label: [u8; 16],
    pub(crate) reserved_gdt_blocks: u16,
    pub(crate) journal_inode: u32,
    pub(crate) journal_uuid: [u8; 16],
    pub(crate) hash_seed: [u32; 4],
    pub(crate) descriptor_size: u16,
    pub(crate) first_meta_bg: u32,
    pub(crate) flags: u32,
    pub(crate) checksum_type: u8,
    pub(crate) backup_groups: [u32; 2],
    pub(crate) overhead_clusters: u32,
    pub(crate) checksum_seed: u32,
    pub(crate) checksum: u32,
    /// The checksum the bytes should have.
    pub(crate) computed_checksum: u32,
}

impl RawSuperblock {
    /// Reads the fields; `None` when `bytes` is shorter than a superblock.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SUPERBLOCK_BYTES)?;
        let u32_at = |at| le32(bytes, at);
        Some(Self {
            inodes_count: u32_at(0x0),
            blocks_count_low: u32_at(0x4),
            blocks_count_high: u32_at(0x150),
            reserved_blocks_low: u32_at(0x8),
            reserved_blocks_high: u32_at(0x154),
            free_blocks_low: u32_at(0xc),
            free_blocks_high: u32_at(0x158),
            free_inodes: u32_at(0x10),
            first_data_block: u32_at(0x14),
            log_block_size: u32_at(0x18),
            log_cluster_size: u32_at(0x1c),
            blocks_per_group: u32_at(0x20),
            clusters_per_group: u32_at(0x24),
            inodes_per_group: u32_at(0x28),
            magic: le16(bytes, 0x38),
            state: le16(bytes, 0x3a),
            revision: u32_at(0x4c),
            first_inode: u32_at(0x54),
            inode_size: le16(bytes, 0x58),
            features: Features {
                compat: u32_at(0x5c),
                incompat: u32_at(0x60),
                ro_compat: u32_at(0x64),
            },
            uuid: array(bytes, 0x68),
            label: array(bytes, 0x78),
            reserved_gdt_blocks: le16(bytes, 0xce),
            journal_uuid: array(bytes, 0xd0),
            journal_inode: u32_at(0xe0),
            hash_seed: [u32_at(0xec), u32_at(0xf0), u32_at(0xf4), u32_at(0xf8)],
            descriptor_size: le16(bytes, 0xfe),
            first_meta_bg: u32_at(0x104),
            flags: u32_at(0x160),
            checksum_type: u8_at(bytes, 0x175),
            overhead_clusters: u32_at(0x248),
            backup_groups: [u32_at(0x24c), u32_at(0x250)],
            checksum_seed: u32_at(0x270),
            checksum: u32_at(0x3fc),
            computed_checksum: crc32c(!0, crate::bytes::span(bytes, 0, 0x3fc)),
        })
    }

    /// All blocks, as far as the 64bit feature allows more than 32 bits.
    pub(crate) fn wide(&self, low: u32, high: u32) -> u64 {
        let has_64bit = self.features.incompat(crate::features::INCOMPAT_64BIT);
        join(low, if has_64bit { high } else { 0 })
    }
}
