//! Attributes of host objects, and changing them.

use std::os::fd::AsFd;

use rustix::fs::{
    Access, AtFlags, Gid, Mode, StatxFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    accessat, chmodat, chownat, fstat, fstatfs, fstatvfs, ftruncate, readlinkat, statat, statx,
    utimensat,
};
use rustix::io::Errno;

use super::open::{open, open_path};
use super::target::Target;
use crate::attributes::{Attributes, FilesystemStatistics, Kind};
use crate::object::TimeChange;

/// statx(2) of the object itself.
///
/// # Errors
/// The kernel's.
pub fn attributes(path: &[u8]) -> Result<Attributes, Errno> {
    let target = Target::new(path)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match statx(target.directory(), target.rest, flags, wanted) {
        Ok(statx) => Ok(Attributes::from_statx(&statx)),
        // Old seccomp profiles do not know statx.
        Err(Errno::NOSYS) => statat(target.directory(), target.rest, AtFlags::SYMLINK_NOFOLLOW)
            .map(|stat| Attributes::from_stat(&stat)),
        Err(error) => Err(error),
    }
}

/// Attributes of what a descriptor refers to.
///
/// # Errors
/// The kernel's.
pub fn attributes_of(descriptor: impl AsFd) -> Result<Attributes, Errno> {
    let descriptor = descriptor.as_fd();
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match statx(descriptor, "", AtFlags::EMPTY_PATH, wanted) {
        Ok(statx) => Ok(Attributes::from_statx(&statx)),
        Err(Errno::NOSYS) => fstat(descriptor).map(|stat| Attributes::from_stat(&stat)),
        Err(error) => Err(error),
    }
}

/// readlink(2).
///
/// # Errors
/// The kernel's.
pub fn read_link(path: &[u8]) -> Result<Vec<u8>, Errno> {
    let target = Target::new(path)?;
    readlinkat(target.directory(), target.rest, Vec::new()).map(|link| link.into_bytes())
}

/// access(2) of the object itself; `mask` is a sum of `R_OK`, `W_OK`, `X_OK`.
///
/// # Errors
/// The kernel's.
pub fn access(path: &[u8], mask: u32, use_effective_ids: bool) -> Result<(), Errno> {
    let target = Target::new(path)?;
    let access = Access::from_bits_retain(mask);
    let mut flags = AtFlags::SYMLINK_NOFOLLOW;
    if use_effective_ids {
        flags |= AtFlags::EACCESS;
    }
    match accessat(target.directory(), target.rest, access, flags) {
        // Kernels before 5.8 have no faccessat2(2). This process has one set of ids, and only the permissions of a
        // link itself would be lost.
        Err(Errno::NOSYS) => accessat(target.directory(), target.rest, access, AtFlags::empty()),
        answer => answer,
    }
}

/// chmod(2) with the bits 07777.
///
/// # Errors
/// The kernel's; `EOPNOTSUPP` for a symbolic link.
pub fn set_mode(path: &[u8], mode: u32) -> Result<(), Errno> {
    if attributes(path)?.is_symlink() {
        return Err(Errno::OPNOTSUPP);
    }
    let target = Target::new(path)?;
    chmodat(
        target.directory(),
        target.rest,
        Mode::from_bits_retain(mode & 0o7777),
        AtFlags::empty(),
    )
}

/// lchown(2); `None` leaves it.
///
/// # Errors
/// The kernel's.
pub fn set_owner(path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let target = Target::new(path)?;
    // -1 means "leave it" to the kernel, and cannot be an id.
    let uid = uid.filter(|&uid| uid != u32::MAX).map(Uid::from_raw);
    let gid = gid.filter(|&gid| gid != u32::MAX).map(Gid::from_raw);
    chownat(
        target.directory(),
        target.rest,
        uid,
        gid,
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// truncate(2).
///
/// # Errors
/// The kernel's: `EISDIR` for a directory, `EINVAL` for what is no file.
pub fn truncate(path: &[u8], length: u64) -> Result<(), Errno> {
    match attributes(path)?.kind() {
        Kind::RegularFile => {}
        Kind::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    let file = open(path, libc::O_WRONLY | libc::O_NONBLOCK, 0, 0)?;
    ftruncate(file, length)
}

/// utimensat(2) of the object itself.
///
/// # Errors
/// The kernel's.
pub fn set_times(path: &[u8], accessed: TimeChange, modified: TimeChange) -> Result<(), Errno> {
    let target = Target::new(path)?;
    let times = Timestamps {
        last_access: time_argument(accessed),
        last_modification: time_argument(modified),
    };
    utimensat(
        target.directory(),
        target.rest,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

fn time_argument(change: TimeChange) -> Timespec {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match change {
        TimeChange::Omit => special(UTIME_OMIT),
        TimeChange::Now => special(UTIME_NOW),
        TimeChange::At(time) => Timespec {
            tv_sec: time.seconds,
            tv_nsec: time.nanoseconds.into(),
        },
    }
}

/// statfs(2) of the filesystem that the object itself is on.
///
/// # Errors
/// The kernel's.
pub fn statistics(path: &[u8]) -> Result<FilesystemStatistics, Errno> {
    let object = open_path(path)?;
    let statfs = fstatfs(&object)?;
    let statvfs = fstatvfs(&object)?;
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(FilesystemStatistics {
        kind: statfs.f_type,
        block_size: unsigned(statfs.f_bsize),
        blocks: statfs.f_blocks,
        free: statfs.f_bfree,
        available: statfs.f_bavail,
        files: statfs.f_files,
        files_free: statfs.f_ffree,
        fsid: statvfs.f_fsid,
        name_length: unsigned(statfs.f_namelen),
        fragment_size: unsigned(statfs.f_frsize),
        flags: unsigned(statfs.f_flags),
    })
}
