//! What stat(2), statx(2) and statfs(2) say about an object, and their x86-64 encodings.
//!
//! Purpose: one description of an inode for host files and for files on mounts, so that callers need not know
//! where it came from. Neighbours: [`crate::object`] makes it from a module's answers, [`crate::host_ops`] from the
//! kernel's; the system call layer copies the encodings into a tracee. No locks.
//!
//! References: stat(2), statx(2), statfs(2); Linux `arch/x86/include/uapi/asm/stat.h`, `include/uapi/linux/stat.h`.

use std::os::fd::AsFd;
use std::time::SystemTime;

use fuse_compat::time::{seconds_nanoseconds, system_time};
use fuse_compat::{FileAttr, StatfsOut};
use rustix::io::Errno;

pub use fuse_compat::FileType as Kind;

/// Bits of statx(2)'s mask that this layer can answer.
const STATX_BASIC_STATS: u32 = 0x07ff;
const STATX_BTIME: u32 = 0x0800;
const STATX_MNT_ID: u32 = 0x1000;
/// In [`Attributes::flags`]: the object is the root of a mount. Whoever knows the mounts sets it.
pub const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// What identifies a kernel object: `st_dev` and `st_ino`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    /// Device number as stat(2) shows it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl Identity {
    /// The identity of what a descriptor refers to.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of(descriptor: impl AsFd) -> Result<Identity, Errno> {
        let stat = rustix::fs::fstat(descriptor)?;
        Ok(Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }
}

/// A point in time; nanoseconds count forward from the second, also before 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970, may be negative.
    pub seconds: i64,
    /// 0..1_000_000_000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The present.
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let (seconds, nanoseconds) = seconds_nanoseconds(time);
        Timestamp {
            seconds,
            nanoseconds,
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        system_time(time.seconds, time.nanoseconds)
    }
}

/// Attributes of an inode, inode(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Device the inode is on (`st_dev`).
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Kind and permission bits (`st_mode`).
    pub mode: u32,
    /// Number of hard links.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node (`st_rdev`).
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Preferred size of I/O in bytes.
    pub block_size: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
    /// Creation, when it is known.
    pub created: Option<Timestamp>,
    /// `STATX_ATTR_*` that are set.
    pub flags: u64,
    /// `STATX_ATTR_*` that are known.
    pub flags_mask: u64,
}

impl Attributes {
    /// Attributes from a module's answer. `device` is the number of its mount.
    pub fn from_file_attr(attr: &FileAttr, device: u64) -> Attributes {
        Attributes {
            device,
            inode: attr.ino.0,
            mode: attr.mode(),
            links: attr.nlink,
            uid: attr.uid,
            gid: attr.gid,
            rdev: u64::from(attr.rdev),
            size: attr.size,
            blocks: attr.blocks,
            block_size: attr.blksize,
            accessed: attr.atime.into(),
            modified: attr.mtime.into(),
            changed: attr.ctime.into(),
            created: (attr.crtime != SystemTime::UNIX_EPOCH).then(|| attr.crtime.into()),
            flags: 0,
            flags_mask: STATX_ATTR_MOUNT_ROOT,
        }
    }

    /// Attributes of a host object.
    pub fn from_statx(statx: &rustix::fs::Statx) -> Attributes {
        let time = |stamp: &rustix::fs::StatxTimestamp| Timestamp {
            seconds: stamp.tv_sec,
            nanoseconds: stamp.tv_nsec,
        };
        Attributes {
            device: make_device(statx.stx_dev_major, statx.stx_dev_minor),
            inode: statx.stx_ino,
            mode: u32::from(statx.stx_mode),
            links: statx.stx_nlink,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            rdev: make_device(statx.stx_rdev_major, statx.stx_rdev_minor),
            size: statx.stx_size,
            blocks: statx.stx_blocks,
            block_size: statx.stx_blksize,
            accessed: time(&statx.stx_atime),
            modified: time(&statx.stx_mtime),
            changed: time(&statx.stx_ctime),
            created: (statx.stx_mask & STATX_BTIME != 0).then(|| time(&statx.stx_btime)),
            flags: statx.stx_attributes.bits(),
            flags_mask: statx.stx_attributes_mask.bits(),
        }
    }

    /// Attributes of a host object, as far as stat(2) tells them.
    pub fn from_stat(stat: &rustix::fs::Stat) -> Attributes {
        let time = |seconds: i64, nanoseconds: u64| Timestamp {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        Attributes {
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode,
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            block_size: u32::try_from(stat.st_blksize).unwrap_or(4096),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            created: None,
            flags: 0,
            flags_mask: 0,
        }
    }

    /// The kind of object; a mode that names none counts as a regular file.
    pub fn kind(&self) -> Kind {
        Kind::from_mode(self.mode).unwrap_or(Kind::RegularFile)
    }

    /// Is it a directory?
    pub fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Is it a regular file?
    pub fn is_regular(&self) -> bool {
        self.kind() == Kind::RegularFile
    }

    /// Is it a symbolic link?
    pub fn is_symlink(&self) -> bool {
        self.kind() == Kind::Symlink
    }

    /// Device and inode number.
    pub fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
        }
    }

    /// `struct stat` of x86-64.
    pub fn encode_stat(&self) -> [u8; 144] {
        let mut out = Encoder::<144>::new();
        out.put(0, self.device.to_ne_bytes());
        out.put(8, self.inode.to_ne_bytes());
        out.put(16, u64::from(self.links).to_ne_bytes());
        out.put(24, self.mode.to_ne_bytes());
        out.put(28, self.uid.to_ne_bytes());
        out.put(32, self.gid.to_ne_bytes());
        out.put(40, self.rdev.to_ne_bytes());
        out.put(48, self.size.to_ne_bytes());
        out.put(56, u64::from(self.block_size).to_ne_bytes());
        out.put(64, self.blocks.to_ne_bytes());
        for (offset, time) in [
            (72, self.accessed),
            (88, self.modified),
            (104, self.changed),
        ] {
            out.put(offset, time.seconds.to_ne_bytes());
            out.put(offset + 8, u64::from(time.nanoseconds).to_ne_bytes());
        }
        out.bytes
    }

    /// `struct statx`. `mask` is what the caller asked for: as in the kernel the basic fields are always there, the
    /// time of creation when it was asked for and is known.
    pub fn encode_statx(&self, mask: u32, mount_id: u64) -> [u8; 256] {
        let created = self.created.filter(|_| mask & STATX_BTIME != 0);
        let mut valid = STATX_BASIC_STATS | STATX_MNT_ID;
        if created.is_some() {
            valid |= STATX_BTIME;
        }
        let mut out = Encoder::<256>::new();
        out.put(0, valid.to_ne_bytes());
        out.put(4, self.block_size.to_ne_bytes());
        out.put(8, self.flags.to_ne_bytes());
        out.put(16, self.links.to_ne_bytes());
        out.put(20, self.uid.to_ne_bytes());
        out.put(24, self.gid.to_ne_bytes());
        out.put(28, (self.mode as u16).to_ne_bytes()); // st_mode has 16 bits
        out.put(32, self.inode.to_ne_bytes());
        out.put(40, self.size.to_ne_bytes());
        out.put(48, self.blocks.to_ne_bytes());
        out.put(56, self.flags_mask.to_ne_bytes());
        let times = [
            (64, Some(self.accessed)),
            (80, created),
            (96, Some(self.changed)),
            (112, Some(self.modified)),
        ];
        for (offset, time) in times {
            let time = time.unwrap_or_default();
            out.put(offset, time.seconds.to_ne_bytes());
            out.put(offset + 8, time.nanoseconds.to_ne_bytes());
        }
        out.put(128, device_major(self.rdev).to_ne_bytes());
        out.put(132, device_minor(self.rdev).to_ne_bytes());
        out.put(136, device_major(self.device).to_ne_bytes());
        out.put(140, device_minor(self.device).to_ne_bytes());
        out.put(144, mount_id.to_ne_bytes());
        out.bytes
    }
}

/// A C structure that is being filled in; what is not put is zero.
struct Encoder<const SIZE: usize> {
    bytes: [u8; SIZE],
}

impl<const SIZE: usize> Encoder<SIZE> {
    fn new() -> Self {
        Encoder { bytes: [0; SIZE] }
    }

    fn put<const N: usize>(&mut self, offset: usize, value: [u8; N]) {
        if let Some(field) = self.bytes.get_mut(offset..offset + N) {
            field.copy_from_slice(&value);
        }
    }
}

/// A device number from its parts, as stat(2) encodes it (makedev(3)).
pub fn make_device(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xfff) << 8 | (major & !0xfff) << 32 | (minor & 0xff) | (minor & !0xff) << 12
}

/// The major part of a device number.
pub fn device_major(device: u64) -> u32 {
    (((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000)) as u32
}

/// The minor part of a device number.
pub fn device_minor(device: u64) -> u32 {
    ((device & 0xff) | ((device >> 12) & 0xffff_ff00)) as u32
}

/// Usage of a filesystem, statfs(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FilesystemStatistics {
    /// Magic number of the type (`f_type`).
    pub kind: i64,
    /// Preferred size of I/O in bytes.
    pub block_size: u64,
    /// Size, in units of `fragment_size`.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for unprivileged users.
    pub available: u64,
    /// Number of inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Filesystem id.
    pub fsid: u64,
    /// Longest name in bytes.
    pub name_length: u64,
    /// Size of a block in bytes.
    pub fragment_size: u64,
    /// Mount flags (`ST_*`, statvfs(3)); the kernel's `ST_VALID` bit is added on encoding.
    pub flags: u64,
}

impl FilesystemStatistics {
    /// From a module's answer.
    pub fn from_module(answer: &StatfsOut, kind: i64, fsid: u64) -> FilesystemStatistics {
        let fragment_size = match answer.frsize {
            0 => answer.bsize,
            size => size,
        };
        FilesystemStatistics {
            kind,
            block_size: u64::from(answer.bsize),
            blocks: answer.blocks,
            free: answer.bfree,
            available: answer.bavail,
            files: answer.files,
            files_free: answer.ffree,
            fsid,
            name_length: u64::from(answer.namelen),
            fragment_size: u64::from(fragment_size),
            flags: 0,
        }
    }

    /// `struct statfs` of x86-64.
    pub fn encode_statfs(&self) -> [u8; 120] {
        const ST_VALID: u64 = 0x0020;
        let mut out = Encoder::<120>::new();
        out.put(0, self.kind.to_ne_bytes());
        let words = [
            (8, self.block_size),
            (16, self.blocks),
            (24, self.free),
            (32, self.available),
            (40, self.files),
            (48, self.files_free),
            (56, self.fsid),
            (64, self.name_length),
            (72, self.fragment_size),
            (80, self.flags | ST_VALID),
        ];
        for (offset, word) in words {
            out.put(offset, word.to_ne_bytes());
        }
        out.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{AtFlags, CWD, StatxFlags};

    fn read_u64(bytes: &[u8], offset: usize) -> u64 {
        u64::from_ne_bytes(bytes[offset..offset + 8].try_into().unwrap())
    }

    fn read_u32(bytes: &[u8], offset: usize) -> u32 {
        u32::from_ne_bytes(bytes[offset..offset + 4].try_into().unwrap())
    }

    #[test]
    fn device_numbers_are_makedev() {
        for (major, minor) in [(0, 0), (8, 1), (0, 0x10007), (259, 70000), (0xfffff, 0xfff)] {
            let device = make_device(major, minor);
            assert_eq!(device, rustix::fs::makedev(major, minor));
            assert_eq!((device_major(device), device_minor(device)), (major, minor));
        }
    }

    #[test]
    fn encodings_agree_with_the_kernels_own_answers() {
        let path = "/dev/null";
        let stat = rustix::fs::stat(path).unwrap();
        let statx = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::ALL).unwrap();
        let attributes = Attributes::from_statx(&statx);
        let bytes = attributes.encode_stat();
        assert_eq!(read_u64(&bytes, 0), stat.st_dev);
        assert_eq!(read_u64(&bytes, 8), stat.st_ino);
        assert_eq!(read_u64(&bytes, 16), stat.st_nlink);
        assert_eq!(read_u32(&bytes, 24), stat.st_mode);
        assert_eq!(read_u64(&bytes, 40), stat.st_rdev);
        assert_eq!(read_u64(&bytes, 88), stat.st_mtime as u64);
        let bytes = attributes.encode_statx(StatxFlags::ALL.bits(), 77);
        assert_eq!(read_u32(&bytes, 128), statx.stx_rdev_major);
        assert_eq!(read_u32(&bytes, 132), statx.stx_rdev_minor);
        assert_eq!(read_u64(&bytes, 96), statx.stx_ctime.tv_sec as u64);
        assert_eq!(read_u64(&bytes, 144), 77);
        let from_stat = Attributes::from_stat(&stat);
        assert_eq!(from_stat.identity(), attributes.identity());
        assert_eq!(from_stat.kind(), Kind::CharDevice);
    }

    #[test]
    fn time_of_creation_is_given_only_when_asked_for_and_known() {
        let statx = rustix::fs::statx(CWD, "/", AtFlags::empty(), StatxFlags::ALL).unwrap();
        let mut attributes = Attributes::from_statx(&statx);
        attributes.created = Some(Timestamp {
            seconds: -5,
            nanoseconds: 7,
        });
        let asked = attributes.encode_statx(STATX_BTIME, 1);
        assert_eq!(read_u32(&asked, 0) & STATX_BTIME, STATX_BTIME);
        assert_eq!(read_u64(&asked, 80) as i64, -5);
        let not_asked = attributes.encode_statx(STATX_BASIC_STATS, 1);
        assert_eq!(read_u32(&not_asked, 0) & STATX_BTIME, 0);
        assert_eq!(read_u64(&not_asked, 80), 0);
    }
}
