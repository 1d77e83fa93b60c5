//! Level two of the inode: attributes in Linux's terms, and what the file's content is found by.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::bytes::{join, le16, le32, put16, span};
use crate::crc::crc32c;
use crate::error::{Error, Place, Problem, Result, bad_inode};
use crate::features::{INCOMPAT_INLINE_DATA, INCOMPAT_LARGEDIR, RO_COMPAT_HUGE_FILE};
use crate::geometry::Geometry;
use crate::map::Run;
use crate::wire::inode::{OLD_INODE_BYTES, RawInode, RawTime};

const FLAG_INDEX: u32 = 0x1000;
const FLAG_HUGE_FILE: u32 = 0x4_0000;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_EA_INODE: u32 = 0x20_0000;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;
const XATTR_MAGIC: u32 = 0xea02_0000;
/// `i_extra_isize` that the kernel assumes when the field is 0.
const DEFAULT_EXTRA_BYTES: usize = 32;

/// What kind of object an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharacterDevice,
    /// Block device.
    BlockDevice,
    /// FIFO.
    Fifo,
    /// AF_UNIX socket node.
    Socket,
}

impl Kind {
    /// From the type bits of `i_mode`.
    fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode & 0xf000 {
            0x8000 => Self::Regular,
            0x4000 => Self::Directory,
            0xa000 => Self::Symlink,
            0x2000 => Self::CharacterDevice,
            0x6000 => Self::BlockDevice,
            0x1000 => Self::Fifo,
            0xc000 => Self::Socket,
            _ => return None,
        })
    }

    /// From the file type byte of a directory entry; `None` for unknown.
    pub(crate) fn from_entry(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Regular,
            2 => Self::Directory,
            3 => Self::CharacterDevice,
            4 => Self::BlockDevice,
            5 => Self::Fifo,
            6 => Self::Socket,
            7 => Self::Symlink,
            _ => return None,
        })
    }
}

/// A time stamp: seconds since 1970 (negative before) and nanoseconds below one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl From<RawTime> for Time {
    fn from(raw: RawTime) -> Self {
        let extra = raw.extra.unwrap_or(0);
        // The low 32 bits are signed; the two epoch bits then count multiples of 2^32.
        let seconds =
            i64::from(raw.seconds.cast_signed()).saturating_add(i64::from(extra & 3) << 32);
        Self {
            seconds,
            nanoseconds: (extra >> 2).min(999_999_999),
        }
    }
}

/// A validated inode. Immutable, shared by all who use it.
pub struct Inode {
    /// Inode number.
    pub number: u32,
    /// Kind of object.
    pub kind: Kind,
    /// `i_mode`: type and permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Hard links.
    pub links: u16,
    /// Space in use, in units of 512 bytes.
    pub sectors: u64,
    /// `i_flags` (ioctl_iflags(2)).
    pub flags: u32,
    /// `i_generation`.
    pub generation: u32,
    /// Last access.
    pub accessed: Time,
    /// Last change of the contents.
    pub modified: Time,
    /// Last change of the inode.
    pub changed: Time,
    /// Birth, where the inode has room for it.
    pub created: Option<Time>,
    /// `i_block`.
    pub(crate) block: [u8; 60],
    /// Block of extended attributes, or 0.
    pub(crate) xattr_block: u64,
    /// The xattr entries inside the inode; empty when there are none.
    pub(crate) xattr_body: Box<[u8]>,
    /// Where the checksums of this inode's own blocks start from.
    pub(crate) checksum_seed: u32,
    /// The run that the last read of this inode ended in.
    pub(crate) last_run: Mutex<Run>,
}

impl Inode {
    /// Checks the bytes of an inode.
    ///
    /// # Errors
    /// Corrupt: wrong checksum, impossible sizes, unknown type.
    pub(crate) fn new(geometry: &Geometry, number: u32, bytes: &[u8]) -> Result<Arc<Self>> {
        Self::build(geometry, number, bytes, geometry.has_checksums())
    }

    /// The same for bytes whose checksum is not up to date.
    ///
    /// # Errors
    /// As [`Inode::new`].
    pub(crate) fn unverified(geometry: &Geometry, number: u32, bytes: &[u8]) -> Result<Arc<Self>> {
        Self::build(geometry, number, bytes, false)
    }

    fn build(geometry: &Geometry, number: u32, bytes: &[u8], has_sum: bool) -> Result<Arc<Self>> {
        let Some(raw) = RawInode::parse(bytes) else {
            return bad_inode(number, "is cut off");
        };
        let checksum_seed = seed(geometry, number, raw.generation);
        if has_sum {
            check_checksum(number, &raw, checksum_seed, bytes)?;
        }
        let extra = usize::from(raw.extra_size);
        if OLD_INODE_BYTES.saturating_add(extra) > bytes.len().max(OLD_INODE_BYTES)
            || extra % 4 != 0
        {
            return bad_inode(number, format!("has an extra size of {extra} bytes"));
        }
        if raw.mode == 0 && raw.links == 0 {
            return bad_inode(number, "is not in use but something refers to it");
        }
        let Some(kind) = Kind::from_mode(raw.mode) else {
            return bad_inode(number, format!("has the unknown file type {:#o}", raw.mode));
        };
        let inode = Self {
            number,
            kind,
            mode: raw.mode,
            uid: raw.uid,
            gid: raw.gid,
            size: size(geometry, number, kind, &raw)?,
            links: raw.links,
            sectors: sectors(geometry, &raw),
            flags: raw.flags,
            generation: raw.generation,
            accessed: raw.access.into(),
            modified: raw.modify.into(),
            changed: raw.change.into(),
            created: raw.creation.map(Time::from),
            block: raw.block,
            xattr_block: join(raw.acl_low, u32::from(raw.acl_high)),
            xattr_body: xattr_body(&raw, bytes),
            checksum_seed,
            last_run: Mutex::new(Run::default()),
        };
        if inode.has_inline_data() && !geometry.features.incompat(INCOMPAT_INLINE_DATA) {
            return bad_inode(
                number,
                "has inline data, which the file system does not use",
            );
        }
        Ok(Arc::new(inode))
    }

    /// The content lies inside the inode.
    pub(crate) fn has_inline_data(&self) -> bool {
        self.flags & FLAG_INLINE_DATA != 0
    }

    /// The content is mapped by extents, not by indirect blocks.
    pub(crate) fn has_extents(&self) -> bool {
        self.flags & FLAG_EXTENTS != 0
    }

    /// The directory has a hash tree.
    pub(crate) fn has_index(&self) -> bool {
        self.flags & FLAG_INDEX != 0
    }

    /// The inode holds the value of an extended attribute.
    pub(crate) fn is_xattr_value(&self) -> bool {
        self.flags & FLAG_EA_INODE != 0
    }

    /// Device number of a device node, in Linux's 32-bit encoding (12 bits of major, 20 of minor).
    pub fn device(&self) -> u32 {
        if !matches!(self.kind, Kind::CharacterDevice | Kind::BlockDevice) {
            return 0;
        }
        // The first word holds the old 8:8 form, which means the same in the new one; else the second counts.
        match le32(&self.block, 0) & 0xffff {
            0 => le32(&self.block, 4),
            old => old,
        }
    }
}

/// Where the checksums of an inode and its own blocks start from.
pub(crate) fn seed(geometry: &Geometry, number: u32, generation: u32) -> u32 {
    let seed = crc32c(geometry.checksum_seed, &number.to_le_bytes());
    crc32c(seed, &generation.to_le_bytes())
}

/// The checksum of an inode's bytes; `has_high` when they have room for its high half.
fn checksum(seed: u32, bytes: &[u8], has_high: bool) -> u32 {
    let zeros = [0u8; 2];
    let mut crc = crc32c(seed, span(bytes, 0, 0x7c));
    crc = crc32c(crc, &zeros);
    crc = crc32c(crc, span(bytes, 0x7e, OLD_INODE_BYTES));
    if bytes.len() > OLD_INODE_BYTES {
        crc = crc32c(crc, span(bytes, OLD_INODE_BYTES, 0x82));
        let rest = match has_high {
            true => {
                crc = crc32c(crc, &zeros);
                0x84
            }
            false => 0x82,
        };
        crc = crc32c(crc, span(bytes, rest, bytes.len()));
    }
    crc
}

/// Puts the checksum into an inode's bytes, if the file system has one.
pub(crate) fn seal(geometry: &Geometry, seed: u32, bytes: &mut [u8]) {
    if !geometry.has_checksums() {
        return;
    }
    let extra = usize::from(le16(bytes, 0x80));
    let has_high = bytes.len() >= 0x84 && OLD_INODE_BYTES.saturating_add(extra) >= 0x84;
    let sum = checksum(seed, bytes, has_high);
    put16(bytes, 0x7c, sum as u16);
    if has_high {
        put16(bytes, 0x82, (sum >> 16) as u16);
    }
}

fn check_checksum(number: u32, raw: &RawInode, seed: u32, bytes: &[u8]) -> Result<()> {
    let crc = checksum(seed, bytes, raw.checksum_high.is_some());
    let (found, expected) = match raw.checksum_high {
        Some(high) => (u32::from(raw.checksum_low) | u32::from(high) << 16, crc),
        None => (u32::from(raw.checksum_low), crc & 0xffff),
    };
    if found != expected {
        return bad_inode(
            number,
            format!("checksum {found:#010x} is wrong (expected {expected:#010x})"),
        );
    }
    Ok(())
}

fn size(geometry: &Geometry, number: u32, kind: Kind, raw: &RawInode) -> Result<u64> {
    let is_wide = match kind {
        Kind::Regular => true,
        Kind::Directory => geometry.features.incompat(INCOMPAT_LARGEDIR),
        _ => false,
    };
    let size = join(raw.size_low, if is_wide { raw.size_high } else { 0 });
    if size > i64::MAX as u64 {
        return bad_inode(number, format!("size {size} is out of range"));
    }
    // Every block of a directory is read at some time; more of them than there are can't be right.
    if kind == Kind::Directory && size.div_ceil(geometry.block_size as u64) > geometry.blocks {
        return bad_inode(
            number,
            format!("directory size {size} exceeds the file system"),
        );
    }
    Ok(size)
}

fn sectors(geometry: &Geometry, raw: &RawInode) -> u64 {
    if !geometry.features.ro_compat(RO_COMPAT_HUGE_FILE) {
        return u64::from(raw.blocks_low);
    }
    let count = join(raw.blocks_low, u32::from(raw.blocks_high));
    match raw.flags & FLAG_HUGE_FILE {
        0 => count,
        _ => count << (geometry.block_bits - 9),
    }
}

/// The part of the inode after its fields, when xattrs are kept there.
fn xattr_body(raw: &RawInode, bytes: &[u8]) -> Box<[u8]> {
    let extra = match usize::from(raw.extra_size) {
        0 => DEFAULT_EXTRA_BYTES,
        extra => extra,
    };
    let start = OLD_INODE_BYTES.saturating_add(extra);
    let body = span(bytes, start, bytes.len());
    if raw.extra_size == 0 || le32(body, 0) != XATTR_MAGIC {
        return Box::default();
    }
    span(body, 4, body.len()).into()
}

impl Inode {
    /// The place of an inode in its table: the block, and the byte inside it.
    pub(crate) fn place(geometry: &Geometry, number: u32) -> Result<(u32, u64, usize)> {
        if number == 0 || number > geometry.inodes {
            let detail = format!("does not exist (the last is {})", geometry.inodes);
            return Err(Error::Corrupt(Problem::new(Place::Inode(number), detail)));
        }
        let index = number - 1;
        let group = index / geometry.inodes_per_group;
        let byte = u64::from(index % geometry.inodes_per_group) * geometry.inode_size as u64;
        let inside = usize::try_from(byte % geometry.block_size as u64).unwrap_or(0);
        Ok((group, byte / geometry.block_size as u64, inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_reach_from_1901_to_2446() {
        let time = |seconds: i32, extra| {
            Time::from(RawTime {
                seconds: seconds.cast_unsigned(),
                extra,
            })
        };
        assert_eq!(
            time(-1, None),
            Time {
                seconds: -1,
                nanoseconds: 0
            }
        );
        assert_eq!(time(i32::MIN, Some(0)).seconds, -0x8000_0000);
        assert_eq!(time(i32::MIN, Some(1)).seconds, 0x8000_0000);
        assert_eq!(time(i32::MAX, Some(3)).seconds, 0x3_7fff_ffff);
        assert_eq!(
            time(5, Some(999_999_999 << 2)),
            Time {
                seconds: 5,
                nanoseconds: 999_999_999
            }
        );
        assert_eq!(time(5, Some(u32::MAX)).nanoseconds, 999_999_999);
    }
}
