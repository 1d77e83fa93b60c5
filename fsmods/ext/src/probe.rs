//! What an image is, decided from its first bytes.

use fuse_compat::BlockSource;

use crate::features::Variant;
use crate::partitions;
use crate::wire::superblock::{MAGIC, RawSuperblock, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET};

/// The answer of [`probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// No journal, nothing that ext2 doesn't know.
    Ext2,
    /// A journal, nothing that ext3 doesn't know.
    Ext3,
    /// Anything newer.
    Ext4,
    /// A disk with partitions; the text lists them with their offsets, one a line.
    Partitioned(String),
    /// Something else; the text says what it looks like (`a qcow2 image`), or why it can't be told.
    Other(String),
}

/// Looks at an image. Never fails: an unreadable source is [`Probe::Other`].
pub fn probe(source: &dyn BlockSource) -> Probe {
    let size = match source.size_bytes() {
        Ok(size) => size,
        Err(error) => return Probe::Other(format!("unreadable: {error}")),
    };
    if let Some(variant) = ext_at(source, 0) {
        return match variant {
            Variant::Ext2 => Probe::Ext2,
            Variant::Ext3 => Probe::Ext3,
            Variant::Ext4 => Probe::Ext4,
        };
    }
    if size < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES as u64 {
        return Probe::Other(format!("only {size} bytes long"));
    }
    // Whole-disk formats may carry a boot sector, so they come before the partition table.
    if let Some(name) = known_format(source) {
        return Probe::Other(name.to_owned());
    }
    match partitions::list(source) {
        Some(text) => Probe::Partitioned(text),
        None => Probe::Other("of no known type".to_owned()),
    }
}

/// The ext file system that starts at byte `offset`, if there is one.
pub(crate) fn ext_at(source: &dyn BlockSource, offset: u64) -> Option<Variant> {
    let mut bytes = [0u8; SUPERBLOCK_BYTES];
    source
        .read_at(offset.checked_add(SUPERBLOCK_OFFSET)?, &mut bytes)
        .ok()?;
    let raw = RawSuperblock::parse(&bytes)?;
    let is_plausible = raw.magic == MAGIC && raw.log_block_size <= 6 && raw.inodes_count > 0;
    is_plausible.then(|| raw.features.variant())
}

/// Other formats by their magic numbers, for the sake of a helpful message.
fn known_format(source: &dyn BlockSource) -> Option<&'static str> {
    let has = |at: u64, magic: &[u8]| {
        let mut bytes = vec![0u8; magic.len()];
        source.read_at(at, &mut bytes).is_ok() && bytes == magic
    };
    let formats: [(u64, &[u8], &str); 17] = [
        (0, b"QFI\xfb", "a qcow2 image"),
        (0, b"KDMV", "a VMDK image"),
        (0, b"vhdxfile", "a VHDX image"),
        (0, b"hsqs", "a squashfs file system"),
        (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
        (0, b"XFSB", "an XFS file system"),
        (0x10040, b"_BHRfS_M", "a btrfs file system"),
        (0x8001, b"CD001", "an ISO 9660 file system"),
        (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
        (0, b"\x1f\x8b", "gzip-compressed"),
        (0, b"\xfd7zXZ\0", "xz-compressed"),
        (0, b"\x28\xb5\x2f\xfd", "zstd-compressed"),
        (0, b"BZh", "bzip2-compressed"),
        (3, b"NTFS    ", "an NTFS file system"),
        (3, b"EXFAT   ", "an exFAT file system"),
        (54, b"FAT1", "a FAT file system"),
        (82, b"FAT32", "a FAT file system"),
    ];
    let found = formats.iter().find(|(at, magic, _)| has(*at, magic));
    found
        .map(|(_, _, name)| *name)
        .or_else(|| has(4086, b"SWAPSPACE2").then_some("swap space"))
}
