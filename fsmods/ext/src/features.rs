//! Feature bits of the superblock, their names as in mke2fs(8) and ext4(5), and what we support.

/// COMPAT: a journal exists.
pub(crate) const COMPAT_HAS_JOURNAL: u32 = 0x4;
/// COMPAT: at most two backup superblocks.
pub(crate) const COMPAT_SPARSE_SUPER2: u32 = 0x200;

/// INCOMPAT: directory entries hold the file type.
pub(crate) const INCOMPAT_FILETYPE: u32 = 0x2;
/// INCOMPAT: the journal must be replayed.
pub(crate) const INCOMPAT_RECOVER: u32 = 0x4;
/// INCOMPAT: this is a journal device, not a file system.
pub(crate) const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
/// INCOMPAT: descriptor blocks are spread over the meta block groups.
pub(crate) const INCOMPAT_META_BG: u32 = 0x10;
/// INCOMPAT: files may use extents.
pub(crate) const INCOMPAT_EXTENTS: u32 = 0x40;
/// INCOMPAT: 64-bit block numbers and wide group descriptors.
pub(crate) const INCOMPAT_64BIT: u32 = 0x80;
/// INCOMPAT: several hosts keep each other from mounting.
pub(crate) const INCOMPAT_MMP: u32 = 0x100;
const INCOMPAT_FLEX_BG: u32 = 0x200;
/// INCOMPAT: large xattr values live in inodes of their own.
pub(crate) const INCOMPAT_EA_INODE: u32 = 0x400;
/// INCOMPAT: the checksum seed is stored, not derived from the UUID.
pub(crate) const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// INCOMPAT: directories over 2 GiB, htrees three levels deep.
pub(crate) const INCOMPAT_LARGEDIR: u32 = 0x4000;
/// INCOMPAT: small files and directories inside the inode.
pub(crate) const INCOMPAT_INLINE_DATA: u32 = 0x8000;

/// What a reader may meet and still read everything right.
const INCOMPAT_SUPPORTED: u32 = INCOMPAT_FILETYPE
    | INCOMPAT_RECOVER
    | INCOMPAT_META_BG
    | INCOMPAT_EXTENTS
    | INCOMPAT_64BIT
    | INCOMPAT_MMP
    | INCOMPAT_FLEX_BG
    | INCOMPAT_EA_INODE
    | INCOMPAT_CSUM_SEED
    | INCOMPAT_LARGEDIR
    | INCOMPAT_INLINE_DATA;

/// RO_COMPAT: backups only in groups that are powers of 3, 5 and 7.
pub(crate) const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
/// RO_COMPAT: a file is 2 GiB long or longer.
pub(crate) const RO_COMPAT_LARGE_FILE: u32 = 0x2;
const RO_COMPAT_BTREE_DIR: u32 = 0x4;
/// RO_COMPAT: 48-bit i_blocks.
pub(crate) const RO_COMPAT_HUGE_FILE: u32 = 0x8;
/// RO_COMPAT: group descriptors have a CRC-16.
pub(crate) const RO_COMPAT_GDT_CSUM: u32 = 0x10;
/// RO_COMPAT: allocation in clusters of blocks.
pub(crate) const RO_COMPAT_BIGALLOC: u32 = 0x200;
/// RO_COMPAT: all metadata has a CRC-32C.
pub(crate) const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

const EXT2_RO_COMPAT: u32 = RO_COMPAT_SPARSE_SUPER | RO_COMPAT_LARGE_FILE | RO_COMPAT_BTREE_DIR;
const EXT2_INCOMPAT: u32 = INCOMPAT_FILETYPE | INCOMPAT_META_BG;

/// The three feature words of a superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) compat: u32,
    pub(crate) incompat: u32,
    pub(crate) ro_compat: u32,
}

/// What the feature words make a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Ext2,
    Ext3,
    Ext4,
}

impl Features {
    pub(crate) fn compat(self, bit: u32) -> bool {
        self.compat & bit != 0
    }

    pub(crate) fn incompat(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    pub(crate) fn ro_compat(self, bit: u32) -> bool {
        self.ro_compat & bit != 0
    }

    /// The features a reader would have to know and we don't, by name; empty when all is well.
    pub(crate) fn unsupported(self) -> String {
        let mut names = Vec::new();
        for bit in 0..32u32 {
            let mask = 1u32 << bit;
            if self.incompat & !INCOMPAT_SUPPORTED & mask != 0 {
                names.push(incompat_name(mask));
            }
        }
        names.join(", ")
    }

    /// ext2, ext3 or ext4, decided as blkid(8) does: by whether the older drivers could mount it.
    pub(crate) fn variant(self) -> Variant {
        let old_ro = self.ro_compat & !EXT2_RO_COMPAT == 0;
        let old_incompat = self.incompat & !(EXT2_INCOMPAT | INCOMPAT_RECOVER) == 0;
        match (old_ro && old_incompat, self.compat(COMPAT_HAS_JOURNAL)) {
            (false, _) => Variant::Ext4,
            (true, true) => Variant::Ext3,
            (true, false) => Variant::Ext2,
        }
    }
}

fn incompat_name(mask: u32) -> String {
    match mask {
        0x1 => "compression".to_owned(),
        INCOMPAT_JOURNAL_DEV => "journal_dev".to_owned(),
        0x1000 => "dirdata".to_owned(),
        0x1_0000 => "encrypt".to_owned(),
        0x2_0000 => "casefold".to_owned(),
        other => format!("FEATURE_I{}", other.trailing_zeros()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_features_are_named() {
        let features = Features {
            incompat: 0x2 | 0x1_0000 | 0x2_0000 | 0x8000_0000,
            ..Features::default()
        };
        assert_eq!(features.unsupported(), "encrypt, casefold, FEATURE_I31");
        assert_eq!(
            Features {
                incompat: 0x2c2,
                ..Features::default()
            }
            .unsupported(),
            ""
        );
    }
}
