//! Level two of the superblock: sizes, counts and places that are known to fit together.
//!
//! Built once at mount; everything below relies on these promises (block size is a power of two from
//! 1 to 64 KiB, no count is zero, inodes and groups match).

use crate::crc::crc32c;
use crate::error::MountError;
use crate::features::{
    COMPAT_SPARSE_SUPER2, Features, INCOMPAT_64BIT, INCOMPAT_CSUM_SEED, INCOMPAT_META_BG,
    RO_COMPAT_BIGALLOC, RO_COMPAT_GDT_CSUM, RO_COMPAT_METADATA_CSUM, RO_COMPAT_SPARSE_SUPER,
};
use crate::wire::superblock::{MAGIC, RawSuperblock};

/// The root directory's inode.
pub(crate) const ROOT_INODE: u32 = 2;
const FLAG_UNSIGNED_HASH: u32 = 0x2;
const STATE_ERRORS: u16 = 0x2;
const CHECKSUM_CRC32C: u8 = 1;

/// Which checksum protects the group descriptors (and, for CRC-32C, everything else).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksums {
    None,
    /// `gdt_csum`: descriptors only.
    Groups,
    /// `metadata_csum`.
    All,
}

/// The validated superblock.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Bytes in a block: 1024 to 65536.
    pub(crate) block_size: usize,
    pub(crate) block_bits: u32,
    /// log2 of the blocks in a cluster; 0 without bigalloc.
    pub(crate) cluster_bits: u32,
    pub(crate) blocks: u64,
    pub(crate) reserved_blocks: u64,
    /// As the superblock says; the descriptors know better.
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u32,
    pub(crate) first_data_block: u32,
    /// The block that the superblock in use is in; the descriptors follow it.
    pub(crate) superblock_block: u64,
    pub(crate) blocks_per_group: u32,
    pub(crate) groups: u32,
    pub(crate) inodes: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) first_inode: u32,
    pub(crate) inode_size: usize,
    pub(crate) descriptor_size: usize,
    pub(crate) descriptors_per_block: u32,
    pub(crate) first_meta_bg: u32,
    pub(crate) reserved_gdt_blocks: u16,
    pub(crate) backup_groups: [u32; 2],
    pub(crate) overhead_clusters: u32,
    pub(crate) features: Features,
    pub(crate) checksums: Checksums,
    /// What every metadata checksum starts from.
    pub(crate) checksum_seed: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) label: [u8; 16],
    pub(crate) hash_seed: [u32; 4],
    /// Directory hashes treat name bytes as unsigned.
    pub(crate) is_hash_unsigned: bool,
    /// 0: none, or an external journal.
    pub(crate) journal_inode: u32,
    pub(crate) journal_uuid: [u8; 16],
    /// The last writer found errors.
    pub(crate) has_error_mark: bool,
}

fn bad<T>(detail: impl Into<String>) -> Result<T, MountError> {
    Err(MountError::Geometry(detail.into()))
}

impl Geometry {
    /// Checks a superblock, which was found at byte `place`, as far as that is possible without reading more.
    ///
    /// # Errors
    /// Bad magic, unsupported features, a wrong checksum, or values that don't fit together.
    pub(crate) fn new(raw: &RawSuperblock, place: u64) -> Result<Self, MountError> {
        if raw.magic != MAGIC {
            return Err(MountError::BadMagic { found: raw.magic });
        }
        let features = raw.features;
        let names = features.unsupported();
        if !names.is_empty() {
            return Err(MountError::Features { names });
        }
        let checksums = Self::checksums(raw)?;
        if raw.log_block_size > 6 {
            return bad(format!(
                "block size 2^(10 + {}) is not supported",
                raw.log_block_size
            ));
        }
        let block_bits = raw.log_block_size + 10;
        let block_size = 1usize << block_bits;
        let cluster_bits = Self::cluster_bits(raw)?;
        let blocks = raw.wide(raw.blocks_count_low, raw.blocks_count_high);
        if blocks == 0 || blocks > (1 << 48) {
            return bad(format!("block count {blocks} is out of range"));
        }
        if u64::from(raw.first_data_block) >= blocks {
            return bad(format!(
                "first data block {} is beyond the end",
                raw.first_data_block
            ));
        }
        let (inode_size, first_inode) = match raw.revision {
            0 => (128, 11),
            _ => (usize::from(raw.inode_size), raw.first_inode.max(11)),
        };
        if inode_size < 128 || inode_size > block_size || !inode_size.is_power_of_two() {
            return bad(format!("inode size {inode_size} is not supported"));
        }
        let descriptor_size = match features.incompat(INCOMPAT_64BIT) {
            true => usize::from(raw.descriptor_size),
            false => 32,
        };
        let is_valid = descriptor_size.is_power_of_two() && (32..=1024).contains(&descriptor_size);
        if !is_valid || (features.incompat(INCOMPAT_64BIT) && descriptor_size < 64) {
            return bad(format!(
                "group descriptor size {descriptor_size} is not supported"
            ));
        }
        let groups = Self::groups(raw, block_size, cluster_bits, blocks)?;
        let per_block = (block_size / inode_size) as u64;
        if !(per_block..=block_size as u64 * 8).contains(&u64::from(raw.inodes_per_group)) {
            return bad(format!(
                "{} inodes per group is out of range",
                raw.inodes_per_group
            ));
        }
        if u64::from(groups) * u64::from(raw.inodes_per_group) != u64::from(raw.inodes_count) {
            return bad(format!(
                "inode count {} does not match {groups} groups of {}",
                raw.inodes_count, raw.inodes_per_group
            ));
        }
        let checksum_seed = match features.incompat(INCOMPAT_CSUM_SEED) {
            true => raw.checksum_seed,
            false => crc32c(!0, &raw.uuid),
        };
        Ok(Self {
            block_size,
            block_bits,
            cluster_bits,
            blocks,
            reserved_blocks: raw.wide(raw.reserved_blocks_low, raw.reserved_blocks_high),
            free_blocks: raw.wide(raw.free_blocks_low, raw.free_blocks_high),
            free_inodes: raw.free_inodes,
            first_data_block: raw.first_data_block,
            superblock_block: place / block_size as u64,
            blocks_per_group: raw.blocks_per_group,
            groups,
            inodes: raw.inodes_count,
            inodes_per_group: raw.inodes_per_group,
            first_inode,
            inode_size,
            descriptor_size,
            descriptors_per_block: u32::try_from(block_size / descriptor_size).unwrap_or(1),
            first_meta_bg: raw.first_meta_bg,
            reserved_gdt_blocks: raw.reserved_gdt_blocks,
            backup_groups: raw.backup_groups,
            overhead_clusters: raw.overhead_clusters,
            features,
            checksums,
            checksum_seed,
            uuid: raw.uuid,
            label: raw.label,
            hash_seed: raw.hash_seed,
            is_hash_unsigned: raw.flags & FLAG_UNSIGNED_HASH != 0,
            journal_inode: raw.journal_inode,
            journal_uuid: raw.journal_uuid,
            has_error_mark: raw.state & STATE_ERRORS != 0,
        })
    }

    fn checksums(raw: &RawSuperblock) -> Result<Checksums, MountError> {
        if raw.features.ro_compat(RO_COMPAT_METADATA_CSUM) {
            if raw.checksum_type != CHECKSUM_CRC32C {
                return bad(format!(
                    "checksum type {} is not supported",
                    raw.checksum_type
                ));
            }
            if raw.checksum != raw.computed_checksum {
                return Err(MountError::Checksum {
                    found: raw.checksum,
                    expected: raw.computed_checksum,
                });
            }
            return Ok(Checksums::All);
        }
        Ok(match raw.features.ro_compat(RO_COMPAT_GDT_CSUM) {
            true => Checksums::Groups,
            false => Checksums::None,
        })
    }

    fn cluster_bits(raw: &RawSuperblock) -> Result<u32, MountError> {
        if !raw.features.ro_compat(RO_COMPAT_BIGALLOC) {
            return Ok(0);
        }
        match raw.log_cluster_size.checked_sub(raw.log_block_size) {
            Some(bits) if raw.log_cluster_size <= 20 => Ok(bits),
            _ => bad(format!(
                "cluster size 2^(10 + {}) is not supported",
                raw.log_cluster_size
            )),
        }
    }

    fn groups(
        raw: &RawSuperblock,
        block_size: usize,
        cluster_bits: u32,
        blocks: u64,
    ) -> Result<u32, MountError> {
        let per_group = raw.blocks_per_group;
        let limit = (block_size as u64 * 8) << cluster_bits;
        if per_group == 0 || u64::from(per_group) > limit {
            return bad(format!("{per_group} blocks per group is out of range"));
        }
        if cluster_bits > 0
            && u64::from(raw.clusters_per_group) << cluster_bits != u64::from(per_group)
        {
            return bad(format!(
                "{} clusters and {per_group} blocks per group disagree",
                raw.clusters_per_group
            ));
        }
        let groups = (blocks - u64::from(raw.first_data_block)).div_ceil(u64::from(per_group));
        match u32::try_from(groups) {
            Ok(groups) => Ok(groups),
            Err(_) => bad(format!("{groups} block groups are too many")),
        }
    }

    /// Whether the group starts with a copy of the superblock.
    pub(crate) fn has_superblock(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.features.compat(COMPAT_SPARSE_SUPER2) {
            return self.backup_groups.contains(&group);
        }
        if group == 1 || !self.features.ro_compat(RO_COMPAT_SPARSE_SUPER) {
            return true;
        }
        [3u64, 5, 7].iter().any(|base| {
            let mut power = *base;
            while power < u64::from(group) {
                power *= base;
            }
            power == u64::from(group)
        })
    }

    /// Blocks of group descriptors in this group.
    pub(crate) fn descriptor_blocks(&self, group: u32) -> u32 {
        let meta_group = group / self.descriptors_per_block;
        let has_meta_bg = self.features.incompat(INCOMPAT_META_BG);
        if !has_meta_bg || meta_group < self.first_meta_bg {
            let all = if has_meta_bg {
                self.first_meta_bg
            } else {
                self.groups.div_ceil(self.descriptors_per_block)
            };
            return if self.has_superblock(group) { all } else { 0 };
        }
        let place = group % self.descriptors_per_block;
        u32::from(place <= 1 || place == self.descriptors_per_block - 1)
    }

    /// First block of a group.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// The block that holds the `index`-th block of group descriptors.
    pub(crate) fn descriptor_block(&self, index: u32) -> u64 {
        if !self.features.incompat(INCOMPAT_META_BG) || index < self.first_meta_bg {
            return self
                .superblock_block
                .saturating_add(u64::from(index))
                .saturating_add(1);
        }
        let group = u64::from(index) * u64::from(self.descriptors_per_block);
        let group = u32::try_from(group).unwrap_or(u32::MAX);
        let mut skipped = u64::from(self.has_superblock(group));
        // With 1 KiB blocks and clusters, block 0 is the boot block and the superblock is block 1.
        if self.block_size == 1024 && index == 0 && self.first_data_block == 0 {
            skipped += 1;
        }
        self.group_start(group) + skipped
    }

    /// Blocks that an inode table occupies in each group.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group) * self.inode_size as u64).div_ceil(self.block_size as u64)
    }

    /// Whether all `count` blocks from `first` belong to the file system's data area.
    pub(crate) fn holds(&self, first: u64, count: u64) -> bool {
        first >= u64::from(self.first_data_block)
            && first
                .checked_add(count)
                .is_some_and(|end| end <= self.blocks)
            && first != 0
    }

    /// Whether metadata carries CRC-32C checksums.
    pub(crate) fn has_checksums(&self) -> bool {
        self.checksums == Checksums::All
    }
}
