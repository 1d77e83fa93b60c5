//! System calls on one host object, named by an `O_PATH` descriptor.
//!
//! What cannot be done to such a descriptor directly is done to its magic link `/proc/self/fd/N`, which names the same
//! object whatever happened to its path. Descriptors are borrowed, so that none is closed while its link is in use.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use fuse_compat::{AccessFlags, Errno, FileAttr, FileType, INodeNo, StatfsOut, TimeOrNow, time};
use rustix::fs::{
    Access, AtFlags, CWD, FallocateFlags, Gid, Mode, OFlags, SeekFrom, Stat, StatxFlags, Timespec,
    Timestamps, Uid,
};

/// The magic link of a descriptor.
pub(crate) fn magic_link(object: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", object.as_raw_fd())
}

pub(crate) fn is_kind(stat: &Stat, kind: FileType) -> bool {
    FileType::from_mode(stat.st_mode) == Some(kind)
}

/// Attributes of an object, under the number `ino`.
pub(crate) fn attr(object: &OwnedFd, stat: &Stat, ino: INodeNo) -> Result<FileAttr, Errno> {
    let stamp = |seconds, nanoseconds: u64| time::system_time(seconds, nanoseconds as u32);
    let ctime = stamp(stat.st_ctime, stat.st_ctime_nsec);
    Ok(FileAttr {
        ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        atime: stamp(stat.st_atime, stat.st_atime_nsec),
        mtime: stamp(stat.st_mtime, stat.st_mtime_nsec),
        ctime,
        crtime: birth_time(object).unwrap_or(ctime),
        kind: FileType::from_mode(stat.st_mode).ok_or(Errno::EIO)?,
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        flags: 0,
    })
}

/// Not every filesystem keeps it.
fn birth_time(object: &OwnedFd) -> Option<SystemTime> {
    let found = rustix::fs::statx(object, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let is_known = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    is_known.then(|| time::system_time(found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
}

/// Opens a regular file, directory or device for real. Errors: `ENXIO` for a FIFO or socket, which the caller opens
/// itself, and those of open(2).
pub(crate) fn open(object: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let stat = rustix::fs::fstat(object)?;
    match FileType::from_mode(stat.st_mode) {
        Some(FileType::NamedPipe | FileType::Socket) => return Err(Errno::ENXIO),
        Some(FileType::Symlink) => return Err(Errno::ELOOP),
        _ => {}
    }
    let flags = (flags - OFlags::NOFOLLOW - OFlags::CREATE - OFlags::EXCL)
        | OFlags::CLOEXEC
        | OFlags::NOCTTY;
    let opened = rustix::fs::open(magic_link(object), flags, Mode::empty());
    Ok(opened?)
}

pub(crate) fn set_size(object: &OwnedFd, size_bytes: u64) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(object)?;
    if is_kind(&stat, FileType::Directory) {
        return Err(Errno::EISDIR);
    }
    if !is_kind(&stat, FileType::RegularFile) {
        return Err(Errno::EINVAL);
    }
    let file = open(object, OFlags::WRONLY)?;
    Ok(rustix::fs::ftruncate(file, size_bytes)?)
}

pub(crate) fn set_mode(object: &OwnedFd, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    Ok(rustix::fs::chmod(magic_link(object), mode)?)
}

pub(crate) fn set_owner(object: &OwnedFd, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    // -1 leaves an id as it is and is none itself.
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::EINVAL);
    }
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    Ok(rustix::fs::chownat(
        object,
        "",
        uid,
        gid,
        AtFlags::EMPTY_PATH,
    )?)
}

pub(crate) fn set_times(
    object: &OwnedFd,
    atime: Option<TimeOrNow>,
    mtime: Option<TimeOrNow>,
) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: timespec(atime),
        last_modification: timespec(mtime),
    };
    match rustix::fs::utimensat(object, "", &times, AtFlags::EMPTY_PATH) {
        // Kernels before 5.8 do not take an empty path.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {
            let link = magic_link(object);
            Ok(rustix::fs::utimensat(CWD, link, &times, AtFlags::empty())?)
        }
        other => Ok(other?),
    }
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, rustix::fs::UTIME_OMIT),
        Some(TimeOrNow::Now) => (0, rustix::fs::UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => {
            let (seconds, nanoseconds) = time::seconds_nanoseconds(time);
            (seconds, nanoseconds.into())
        }
    };
    Timespec { tv_sec, tv_nsec }
}

pub(crate) fn access(object: &OwnedFd, mask: AccessFlags) -> Result<(), Errno> {
    let mut wanted = Access::EXISTS;
    for (flag, access) in [
        (AccessFlags::R_OK, Access::READ_OK),
        (AccessFlags::W_OK, Access::WRITE_OK),
        (AccessFlags::X_OK, Access::EXEC_OK),
    ] {
        if mask.contains(flag) {
            wanted |= access;
        }
    }
    let link = magic_link(object);
    Ok(rustix::fs::accessat(CWD, link, wanted, AtFlags::EACCESS)?)
}

/// At most `size` bytes at `offset`; fewer at the end.
pub(crate) fn read(object: &OwnedFd, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
    /// A request for gigabytes of a small file does not allocate gigabytes.
    const STEP_BYTES: usize = 1 << 20;
    let file = File::from(open(object, OFlags::RDONLY)?);
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let mut data = Vec::new();
    while data.len() < size {
        let filled = data.len();
        data.resize(size.min(filled + STEP_BYTES), 0);
        let part = data.get_mut(filled..).unwrap_or_default();
        let count = file.read_at(part, offset.saturating_add(filled as u64))?;
        data.truncate(filled + count);
        if count == 0 {
            break;
        }
    }
    Ok(data)
}

/// Writes all of `data`; `flags` may have `O_SYNC` and `O_DSYNC`.
pub(crate) fn write(
    object: &OwnedFd,
    offset: u64,
    data: &[u8],
    flags: OFlags,
) -> Result<u32, Errno> {
    let sync = flags & (OFlags::SYNC | OFlags::DSYNC);
    let file = File::from(open(object, OFlags::WRONLY | sync)?);
    file.write_all_at(data, offset)?;
    u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
}

pub(crate) fn allocate(object: &OwnedFd, mode: i32, offset: u64, length: u64) -> Result<(), Errno> {
    let file = open(object, OFlags::WRONLY)?;
    let mode = FallocateFlags::from_bits_retain(mode as u32);
    Ok(rustix::fs::fallocate(file, mode, offset, length)?)
}

/// `SEEK_DATA` and `SEEK_HOLE`; other kinds need the caller's position.
pub(crate) fn seek(object: &OwnedFd, offset: i64, whence: i32) -> Result<i64, Errno> {
    let position = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
    let target = match whence {
        libc::SEEK_DATA => SeekFrom::Data(position),
        libc::SEEK_HOLE => SeekFrom::Hole(position),
        _ => return Err(Errno::EINVAL),
    };
    let found = rustix::fs::seek(open(object, OFlags::RDONLY)?, target)?;
    i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

pub(crate) fn sync(object: &OwnedFd, is_data_only: bool) -> Result<(), Errno> {
    let file = open(object, OFlags::RDONLY)?;
    if is_data_only {
        Ok(rustix::fs::fdatasync(file)?)
    } else {
        Ok(rustix::fs::fsync(file)?)
    }
}

pub(crate) fn copy(
    from: &OwnedFd,
    mut offset_in: u64,
    to: &OwnedFd,
    mut offset_out: u64,
    length: u64,
) -> Result<u32, Errno> {
    /// What fits into the answer.
    const MOST_BYTES: u64 = 1 << 30;
    let source = open(from, OFlags::RDONLY)?;
    let target = open(to, OFlags::WRONLY)?;
    let length = usize::try_from(length.min(MOST_BYTES)).map_err(|_| Errno::EINVAL)?;
    let count = rustix::fs::copy_file_range(
        source,
        Some(&mut offset_in),
        target,
        Some(&mut offset_out),
        length,
    )?;
    u32::try_from(count).map_err(|_| Errno::EOVERFLOW)
}

pub(crate) fn statfs(object: &OwnedFd) -> Result<StatfsOut, Errno> {
    let usage = rustix::fs::fstatvfs(object)?;
    Ok(StatfsOut {
        blocks: usage.f_blocks,
        bfree: usage.f_bfree,
        bavail: usage.f_bavail,
        files: usage.f_files,
        ffree: usage.f_ffree,
        bsize: u32::try_from(usage.f_bsize).unwrap_or(4096),
        namelen: u32::try_from(usage.f_namemax).unwrap_or(255),
        frsize: u32::try_from(usage.f_frsize).unwrap_or(4096),
    })
}

/// Removes one entry of a directory.
pub(crate) fn remove(directory: &OwnedFd, name: &OsStr, is_directory: bool) -> Result<(), Errno> {
    let flags = if is_directory {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    Ok(rustix::fs::unlinkat(directory, name, flags)?)
}

/// An `O_PATH` descriptor of a name in a directory, links not followed.
pub(crate) fn named(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    // A name is one component: nothing else may lead out of the directory.
    match name.as_bytes() {
        b"" => return Err(Errno::ENOENT),
        bytes if bytes.contains(&b'/') => return Err(Errno::EINVAL),
        _ => {}
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}
