//! An inode: 128 bytes, or more with room for nanoseconds, a birth time and small xattrs.

use crate::bytes::{array, le16, le32};

/// Size of the part every revision has.
pub(crate) const OLD_INODE_BYTES: usize = 128;

/// A time stamp: the old signed seconds, and the word that extends them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawTime {
    pub(crate) seconds: u32,
    /// Two bits of epoch below 30 bits of nanoseconds; `None` when the inode is too small for it.
    pub(crate) extra: Option<u32>,
}

/// The inode's fields.
#[derive(Clone, Debug)]
pub(crate) struct RawInode {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size_low: u32,
    pub(crate) size_high: u32,
    pub(crate) access: RawTime,
    pub(crate) change: RawTime,
    pub(crate) modify: RawTime,
    /// Birth.
    pub(crate) creation: Option<RawTime>,
    pub(crate) links: u16,
    pub(crate) blocks_low: u32,
    pub(crate) blocks_high: u16,
    pub(crate) flags: u32,
    /// `i_block`: the map of the file, or its content.
    pub(crate) block: [u8; 60],
    pub(crate) generation: u32,
    pub(crate) acl_low: u32,
    pub(crate) acl_high: u16,
    pub(crate) checksum_low: u16,
    /// `None` when the inode has no room for the high half.
    pub(crate) checksum_high: Option<u16>,
    /// `i_extra_isize`; 0 in a 128-byte inode.
    pub(crate) extra_size: u16,
}

impl RawInode {
    /// Reads the fields of an inode of the file system's inode size.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < OLD_INODE_BYTES {
            return None;
        }
        let extra_size = if bytes.len() > OLD_INODE_BYTES {
            le16(bytes, 0x80)
        } else {
            0
        };
        // A field of the extended part exists when i_extra_isize covers it and the inode is that large.
        let fits = |end: usize| {
            bytes.len() >= end && OLD_INODE_BYTES.saturating_add(usize::from(extra_size)) >= end
        };
        let extra = |at: usize| fits(at.saturating_add(4)).then(|| le32(bytes, at));
        let time = |at, extra_at| RawTime {
            seconds: le32(bytes, at),
            extra: extra(extra_at),
        };
        Some(Self {
            mode: le16(bytes, 0x0),
            uid: u32::from(le16(bytes, 0x2)) | (u32::from(le16(bytes, 0x78)) << 16),
            gid: u32::from(le16(bytes, 0x18)) | (u32::from(le16(bytes, 0x7a)) << 16),
            size_low: le32(bytes, 0x4),
            size_high: le32(bytes, 0x6c),
            access: time(0x8, 0x8c),
            change: time(0xc, 0x84),
            modify: time(0x10, 0x88),
            creation: fits(0x98).then(|| RawTime {
                seconds: le32(bytes, 0x90),
                extra: Some(le32(bytes, 0x94)),
            }),
            links: le16(bytes, 0x1a),
            blocks_low: le32(bytes, 0x1c),
            blocks_high: le16(bytes, 0x74),
            flags: le32(bytes, 0x20),
            block: array(bytes, 0x28),
            generation: le32(bytes, 0x64),
            acl_low: le32(bytes, 0x68),
            acl_high: le16(bytes, 0x76),
            checksum_low: le16(bytes, 0x7c),
            checksum_high: fits(0x84).then(|| le16(bytes, 0x82)),
            extra_size,
        })
    }
}
