//! The journal's structures on disk. All numbers are big-endian.

use crate::bytes::{array, be16, be32, span, u8_at};
use crate::crc::crc32c;

/// The first word of every block that the journal itself writes.
pub(crate) const MAGIC: u32 = 0xc03b_3998;

pub(super) const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
pub(super) const INCOMPAT_CSUM_V2: u32 = 0x8;
pub(super) const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
/// These and bit 0, "there may be revoke blocks".
const INCOMPAT_KNOWN: u32 = 0x3f;
pub(super) const COMPAT_CHECKSUM: u32 = 0x1;
/// Blocks of the fast-commit area when the superblock doesn't say.
const DEFAULT_FAST_BLOCKS: u32 = 256;
pub(super) const HEADER_BYTES: usize = 12;
pub(super) const CHECKSUM_CRC32: u8 = 1;

pub(super) const TAG_ESCAPED: u32 = 1;
pub(super) const TAG_SAME_UUID: u32 = 2;
pub(super) const TAG_LAST: u32 = 8;

/// How the journal protects its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    None,
    /// One CRC-32 over a whole transaction, in its commit block.
    V1,
    V2,
    V3,
}

/// The validated superblock of the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournalSuperblock {
    /// First block of the log.
    pub(super) first: u64,
    /// One past the log's last block (a fast-commit area follows).
    pub(super) end: u64,
    /// Transaction that the log starts with.
    pub(super) sequence: u32,
    /// Block of the log where it starts; 0 when the journal is empty.
    pub(super) start: u64,
    pub(super) protection: Protection,
    pub(super) is_64bit: bool,
    /// A commit may reach the disk before its blocks.
    pub(super) is_async: bool,
    /// There is a fast-commit area, from `end` on.
    pub(super) has_fast_commits: bool,
    /// What all checksums start from.
    pub(super) seed: u32,
}

impl JournalSuperblock {
    /// Checks the first block of the journal.
    pub(super) fn parse(bytes: &[u8], block_size: usize) -> Result<Self, String> {
        let kind = be32(bytes, 4);
        if be32(bytes, 0) != MAGIC || !(3..=4).contains(&kind) {
            return Err(format!(
                "its superblock has the magic {:#010x} and the type {kind}",
                be32(bytes, 0)
            ));
        }
        // Version 1 has no feature words.
        let (compat, incompat) = if kind == 4 {
            (be32(bytes, 0x24), be32(bytes, 0x28))
        } else {
            (0, 0)
        };
        if incompat & !INCOMPAT_KNOWN != 0 {
            return Err(format!(
                "it uses unknown features ({:#x})",
                incompat & !INCOMPAT_KNOWN
            ));
        }
        if usize::try_from(be32(bytes, 0xc)).ok() != Some(block_size) {
            return Err(format!(
                "its block size {} is not that of the file system",
                be32(bytes, 0xc)
            ));
        }
        let protection = match (
            incompat & INCOMPAT_CSUM_V3,
            incompat & INCOMPAT_CSUM_V2,
            compat & COMPAT_CHECKSUM,
        ) {
            (0, 0, 0) => Protection::None,
            (0, 0, _) => Protection::V1,
            (0, _, _) => Protection::V2,
            _ => Protection::V3,
        };
        if matches!(protection, Protection::V2 | Protection::V3) {
            let before = span(bytes, 0, 0xfc);
            let expected = crc32c(
                crc32c(crc32c(!0, before), &[0; 4]),
                span(bytes, 0x100, 1024),
            );
            let found = be32(bytes, 0xfc);
            if found != expected {
                return Err(format!(
                    "its superblock checksum {found:#010x} is wrong (expected {expected:#010x})"
                ));
            }
        }
        let has_fast_commits = incompat & INCOMPAT_FAST_COMMIT != 0;
        let fast_blocks = match (has_fast_commits, be32(bytes, 0x54)) {
            (false, _) => 0,
            (true, 0) => DEFAULT_FAST_BLOCKS,
            (true, count) => count,
        };
        let (length, first, start) = (be32(bytes, 0x10), be32(bytes, 0x14), be32(bytes, 0x1c));
        let end = length.saturating_sub(fast_blocks);
        if first == 0 || first >= end || (start != 0 && !(first..end).contains(&start)) {
            return Err(format!(
                "its log of {length} blocks starts at {first} and is used from {start}"
            ));
        }
        Ok(Self {
            first: u64::from(first),
            end: u64::from(end),
            sequence: be32(bytes, 0x18),
            start: u64::from(start),
            protection,
            is_64bit: incompat & INCOMPAT_64BIT != 0,
            is_async: incompat & INCOMPAT_ASYNC_COMMIT != 0,
            has_fast_commits,
            seed: crc32c(!0, &array::<16>(bytes, 0x30)),
        })
    }

    /// Bytes of a tag.
    pub(super) fn tag_bytes(&self) -> usize {
        let wide: usize = if self.is_64bit { 4 } else { 0 };
        match self.protection {
            Protection::V3 => 16,
            Protection::V2 => 10 + wide,
            _ => 8 + wide,
        }
    }

    /// The blocks of a descriptor end before the checksum at its end.
    pub(super) fn tail_bytes(&self) -> usize {
        match self.protection {
            Protection::V2 | Protection::V3 => 4,
            _ => 0,
        }
    }

    /// Whether a descriptor or revoke block has the checksum it should have (always, without checksums).
    pub(super) fn has_valid_tail(&self, bytes: &[u8]) -> bool {
        if self.tail_bytes() == 0 {
            return true;
        }
        let Some(tail) = bytes.len().checked_sub(4) else {
            return false;
        };
        let expected = crc32c(crc32c(self.seed, span(bytes, 0, tail)), &[0; 4]);
        be32(bytes, tail) == expected
    }

    /// The same for a commit block, versions 2 and 3.
    pub(super) fn has_valid_commit(&self, bytes: &[u8]) -> bool {
        if self.tail_bytes() == 0 {
            return true;
        }
        let crc = crc32c(crc32c(self.seed, span(bytes, 0, 16)), &[0; 4]);
        be32(bytes, 16) == crc32c(crc, span(bytes, 20, bytes.len()))
    }

    /// The tags of a descriptor block.
    pub(super) fn tags(&self, bytes: &[u8]) -> Vec<Tag> {
        let end = bytes.len().saturating_sub(self.tail_bytes());
        let size = self.tag_bytes();
        let mut tags = Vec::new();
        let mut at = HEADER_BYTES;
        while at.saturating_add(size) <= end {
            let tag = span(bytes, at, at.saturating_add(size));
            let (flags, checksum) = match self.protection {
                Protection::V3 => (be32(tag, 4), be32(tag, 12)),
                _ => (u32::from(be16(tag, 6)), u32::from(be16(tag, 4))),
            };
            let high = if self.is_64bit { be32(tag, 8) } else { 0 };
            let block = u64::from(be32(tag, 0)) | u64::from(high) << 32;
            tags.push(Tag {
                block,
                is_escaped: flags & TAG_ESCAPED != 0,
                checksum,
            });
            at = at.saturating_add(size);
            if flags & TAG_SAME_UUID == 0 {
                at = at.saturating_add(16);
            }
            if flags & TAG_LAST != 0 {
                break;
            }
        }
        tags
    }

    /// Whether the copy of a block in the log is the one its tag was written for.
    pub(super) fn has_valid_copy(&self, tag: &Tag, sequence: u32, copy: &[u8]) -> bool {
        let expected = crc32c(crc32c(self.seed, &sequence.to_be_bytes()), copy);
        match self.protection {
            Protection::None | Protection::V1 => true,
            Protection::V2 => tag.checksum == expected & 0xffff,
            Protection::V3 => tag.checksum == expected,
        }
    }

    /// The blocks that a revoke block revokes.
    pub(super) fn revoked(&self, bytes: &[u8]) -> Vec<u64> {
        let end = bytes.len().saturating_sub(self.tail_bytes());
        let used = usize::try_from(be32(bytes, 12))
            .unwrap_or(usize::MAX)
            .min(end);
        let size = if self.is_64bit { 8 } else { 4 };
        let records = span(bytes, 16, used).chunks_exact(size);
        records
            .map(|record| match size {
                4 => u64::from(be32(record, 0)),
                _ => u64::from(be32(record, 0)) << 32 | u64::from(be32(record, 4)),
            })
            .collect()
    }
}

/// A block that a transaction writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) block: u64,
    pub(super) is_escaped: bool,
    pub(super) checksum: u32,
}

/// The header of a block of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Descriptor,
    Commit,
    Revoke,
    /// Not a block that continues the log.
    Other,
}

impl Header {
    /// What the block is, if it belongs to transaction `sequence`.
    pub(super) fn parse(bytes: &[u8], sequence: u32) -> Self {
        if be32(bytes, 0) != MAGIC || be32(bytes, 8) != sequence {
            return Self::Other;
        }
        match be32(bytes, 4) {
            1 => Self::Descriptor,
            2 => Self::Commit,
            5 => Self::Revoke,
            _ => Self::Other,
        }
    }
}

/// The CRC-32 of its transaction in a commit block of version 1; `None` when it has none.
pub(super) fn transaction_sum(commit: &[u8]) -> Option<u32> {
    (u8_at(commit, 12) == CHECKSUM_CRC32 && u8_at(commit, 13) == 4).then(|| be32(commit, 16))
}
