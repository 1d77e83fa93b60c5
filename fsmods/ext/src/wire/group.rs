//! A block group descriptor: 32 bytes, or more with the 64bit feature.

use crate::bytes::{join, le16, le32};

/// The descriptor's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawGroup {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
    /// In clusters.
    pub(crate) free_clusters: u32,
    pub(crate) free_inodes: u32,
    pub(crate) checksum: u16,
}

impl RawGroup {
    /// Reads the fields; the high halves exist when the descriptor is 64 bytes long or longer.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 32 {
            return None;
        }
        // Beyond a 32-byte descriptor these reads give 0, which is what the high halves then are.
        let high = |at| le32(bytes, at);
        let high16 = |at| u32::from(le16(bytes, at)) << 16;
        Some(Self {
            block_bitmap: join(le32(bytes, 0x0), high(0x20)),
            inode_bitmap: join(le32(bytes, 0x4), high(0x24)),
            inode_table: join(le32(bytes, 0x8), high(0x28)),
            free_clusters: u32::from(le16(bytes, 0xc)) | high16(0x2c),
            free_inodes: u32::from(le16(bytes, 0xe)) | high16(0x2e),
            checksum: le16(bytes, 0x1e),
        })
    }
}
