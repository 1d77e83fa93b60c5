//! Every operation of [`Filesystem`] as an ordinary function that answers a `Result`.
//!
//! For a module that answers at once, which is the common case, a call costs one small allocation: no thread, no
//! channel, no system call. Otherwise the calling thread sleeps until the reply comes. The host must not hold a lock
//! that the module's other threads may need (through a [`Notifier`]) while it calls.
//!
//! Arguments are those of the trait, the reply object left out; `readdir` and `readdirplus` take the most bytes of
//! the answer instead (counted as on the FUSE wire: 24 or 152 and the name, rounded up to 8).

use std::ffi::OsStr;
use std::path::Path;
use std::time::SystemTime;

use crate::reply::Slot;
use crate::*;

/// Calls `ask` with a sink and waits for what the sink gets.
fn wait_for<T>(ask: impl FnOnce(Sink<T>)) -> Result<T, Errno> {
    let slot = Slot::new();
    ask(Sink::from_slot(&slot));
    slot.wait()
}

/// See [`Filesystem::lookup`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn lookup(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
) -> Result<EntryOut, Errno> {
    wait_for(|sink| fs.lookup(req, parent, name, ReplyEntry::new(sink)))
}

/// See [`Filesystem::getattr`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn getattr(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: Option<FileHandle>,
) -> Result<AttrOut, Errno> {
    wait_for(|sink| fs.getattr(req, ino, fh, ReplyAttr::new(sink)))
}

/// See [`Filesystem::setattr`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn setattr(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    atime: Option<TimeOrNow>,
    mtime: Option<TimeOrNow>,
    ctime: Option<SystemTime>,
    fh: Option<FileHandle>,
    crtime: Option<SystemTime>,
    chgtime: Option<SystemTime>,
    bkuptime: Option<SystemTime>,
    flags: Option<BsdFileFlags>,
) -> Result<AttrOut, Errno> {
    wait_for(|sink| {
        fs.setattr(
            req,
            ino,
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
            ctime,
            fh,
            crtime,
            chgtime,
            bkuptime,
            flags,
            ReplyAttr::new(sink),
        )
    })
}

/// See [`Filesystem::readlink`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn readlink(fs: &dyn Filesystem, req: &Request, ino: INodeNo) -> Result<Vec<u8>, Errno> {
    wait_for(|sink| fs.readlink(req, ino, ReplyData::new(sink)))
}

/// See [`Filesystem::mknod`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn mknod(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
    mode: u32,
    umask: u32,
    rdev: u32,
) -> Result<EntryOut, Errno> {
    wait_for(|sink| fs.mknod(req, parent, name, mode, umask, rdev, ReplyEntry::new(sink)))
}

/// See [`Filesystem::mkdir`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn mkdir(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
    mode: u32,
    umask: u32,
) -> Result<EntryOut, Errno> {
    wait_for(|sink| fs.mkdir(req, parent, name, mode, umask, ReplyEntry::new(sink)))
}

/// See [`Filesystem::unlink`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn unlink(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
) -> Result<(), Errno> {
    wait_for(|sink| fs.unlink(req, parent, name, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::rmdir`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn rmdir(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
) -> Result<(), Errno> {
    wait_for(|sink| fs.rmdir(req, parent, name, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::symlink`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn symlink(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    link_name: &OsStr,
    target: &Path,
) -> Result<EntryOut, Errno> {
    wait_for(|sink| fs.symlink(req, parent, link_name, target, ReplyEntry::new(sink)))
}

/// See [`Filesystem::rename`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn rename(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
    newparent: INodeNo,
    newname: &OsStr,
    flags: RenameFlags,
) -> Result<(), Errno> {
    wait_for(|sink| {
        fs.rename(
            req,
            parent,
            name,
            newparent,
            newname,
            flags,
            ReplyEmpty::new(sink),
        )
    })
}

/// See [`Filesystem::link`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn link(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    newparent: INodeNo,
    newname: &OsStr,
) -> Result<EntryOut, Errno> {
    wait_for(|sink| fs.link(req, ino, newparent, newname, ReplyEntry::new(sink)))
}

/// See [`Filesystem::open`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn open(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    flags: OpenFlags,
) -> Result<OpenOut, Errno> {
    wait_for(|sink| fs.open(req, ino, flags, ReplyOpen::new(sink)))
}

/// See [`Filesystem::read`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn read(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    offset: u64,
    size: u32,
    flags: OpenFlags,
    lock_owner: Option<LockOwner>,
) -> Result<Vec<u8>, Errno> {
    wait_for(|sink| {
        fs.read(
            req,
            ino,
            fh,
            offset,
            size,
            flags,
            lock_owner,
            ReplyData::new(sink),
        )
    })
}

/// See [`Filesystem::write`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn write(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    offset: u64,
    data: &[u8],
    write_flags: WriteFlags,
    flags: OpenFlags,
    lock_owner: Option<LockOwner>,
) -> Result<u32, Errno> {
    wait_for(|sink| {
        fs.write(
            req,
            ino,
            fh,
            offset,
            data,
            write_flags,
            flags,
            lock_owner,
            ReplyWrite::new(sink),
        )
    })
}

/// See [`Filesystem::flush`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn flush(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    lock_owner: LockOwner,
) -> Result<(), Errno> {
    wait_for(|sink| fs.flush(req, ino, fh, lock_owner, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::release`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn release(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    flags: OpenFlags,
    lock_owner: Option<LockOwner>,
    flush: bool,
) -> Result<(), Errno> {
    wait_for(|sink| {
        fs.release(
            req,
            ino,
            fh,
            flags,
            lock_owner,
            flush,
            ReplyEmpty::new(sink),
        )
    })
}

/// See [`Filesystem::fsync`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn fsync(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    datasync: bool,
) -> Result<(), Errno> {
    wait_for(|sink| fs.fsync(req, ino, fh, datasync, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::opendir`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn opendir(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    flags: OpenFlags,
) -> Result<OpenOut, Errno> {
    wait_for(|sink| fs.opendir(req, ino, flags, ReplyOpen::new(sink)))
}

/// See [`Filesystem::readdir`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn readdir(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    offset: u64,
    max_bytes: usize,
) -> Result<Vec<DirEntry>, Errno> {
    wait_for(|sink| fs.readdir(req, ino, fh, offset, ReplyDirectory::new(sink, max_bytes)))
}

/// See [`Filesystem::readdirplus`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn readdirplus(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    offset: u64,
    max_bytes: usize,
) -> Result<Vec<DirEntryPlus>, Errno> {
    wait_for(|sink| {
        fs.readdirplus(
            req,
            ino,
            fh,
            offset,
            ReplyDirectoryPlus::new(sink, max_bytes),
        )
    })
}

/// See [`Filesystem::releasedir`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn releasedir(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    flags: OpenFlags,
) -> Result<(), Errno> {
    wait_for(|sink| fs.releasedir(req, ino, fh, flags, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::fsyncdir`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn fsyncdir(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    datasync: bool,
) -> Result<(), Errno> {
    wait_for(|sink| fs.fsyncdir(req, ino, fh, datasync, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::statfs`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn statfs(fs: &dyn Filesystem, req: &Request, ino: INodeNo) -> Result<StatfsOut, Errno> {
    wait_for(|sink| fs.statfs(req, ino, ReplyStatfs::new(sink)))
}

/// See [`Filesystem::setxattr`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn setxattr(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    name: &OsStr,
    value: &[u8],
    flags: i32,
    position: u32,
) -> Result<(), Errno> {
    wait_for(|sink| {
        fs.setxattr(
            req,
            ino,
            name,
            value,
            flags,
            position,
            ReplyEmpty::new(sink),
        )
    })
}

/// See [`Filesystem::getxattr`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn getxattr(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    name: &OsStr,
    size: u32,
) -> Result<XattrOut, Errno> {
    wait_for(|sink| fs.getxattr(req, ino, name, size, ReplyXattr::new(sink)))
}

/// See [`Filesystem::listxattr`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn listxattr(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    size: u32,
) -> Result<XattrOut, Errno> {
    wait_for(|sink| fs.listxattr(req, ino, size, ReplyXattr::new(sink)))
}

/// See [`Filesystem::removexattr`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn removexattr(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    name: &OsStr,
) -> Result<(), Errno> {
    wait_for(|sink| fs.removexattr(req, ino, name, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::access`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn access(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    mask: AccessFlags,
) -> Result<(), Errno> {
    wait_for(|sink| fs.access(req, ino, mask, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::create`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn create(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
    mode: u32,
    umask: u32,
    flags: i32,
) -> Result<CreateOut, Errno> {
    wait_for(|sink| {
        fs.create(
            req,
            parent,
            name,
            mode,
            umask,
            flags,
            ReplyCreate::new(sink),
        )
    })
}

/// See [`Filesystem::getlk`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn getlk(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    lock_owner: LockOwner,
    start: u64,
    end: u64,
    typ: i32,
    pid: u32,
) -> Result<LockOut, Errno> {
    wait_for(|sink| {
        fs.getlk(
            req,
            ino,
            fh,
            lock_owner,
            start,
            end,
            typ,
            pid,
            ReplyLock::new(sink),
        )
    })
}

/// See [`Filesystem::setlk`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn setlk(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    lock_owner: LockOwner,
    start: u64,
    end: u64,
    typ: i32,
    pid: u32,
    sleep: bool,
) -> Result<(), Errno> {
    wait_for(|sink| {
        fs.setlk(
            req,
            ino,
            fh,
            lock_owner,
            start,
            end,
            typ,
            pid,
            sleep,
            ReplyEmpty::new(sink),
        )
    })
}

/// See [`Filesystem::bmap`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn bmap(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    blocksize: u32,
    idx: u64,
) -> Result<u64, Errno> {
    wait_for(|sink| fs.bmap(req, ino, blocksize, idx, ReplyBmap::new(sink)))
}

/// See [`Filesystem::ioctl`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn ioctl(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    flags: IoctlFlags,
    cmd: u32,
    in_data: &[u8],
    out_size: u32,
) -> Result<IoctlOut, Errno> {
    wait_for(|sink| {
        fs.ioctl(
            req,
            ino,
            fh,
            flags,
            cmd,
            in_data,
            out_size,
            ReplyIoctl::new(sink),
        )
    })
}

/// See [`Filesystem::poll`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn poll(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    ph: PollNotifier,
    events: PollEvents,
    flags: PollFlags,
) -> Result<PollEvents, Errno> {
    wait_for(|sink| fs.poll(req, ino, fh, ph, events, flags, ReplyPoll::new(sink)))
}

/// See [`Filesystem::fallocate`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn fallocate(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    offset: u64,
    length: u64,
    mode: i32,
) -> Result<(), Errno> {
    wait_for(|sink| fs.fallocate(req, ino, fh, offset, length, mode, ReplyEmpty::new(sink)))
}

/// See [`Filesystem::lseek`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn lseek(
    fs: &dyn Filesystem,
    req: &Request,
    ino: INodeNo,
    fh: FileHandle,
    offset: i64,
    whence: i32,
) -> Result<i64, Errno> {
    wait_for(|sink| fs.lseek(req, ino, fh, offset, whence, ReplyLseek::new(sink)))
}

/// See [`Filesystem::copy_file_range`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
#[allow(clippy::too_many_arguments)]
pub fn copy_file_range(
    fs: &dyn Filesystem,
    req: &Request,
    ino_in: INodeNo,
    fh_in: FileHandle,
    offset_in: u64,
    ino_out: INodeNo,
    fh_out: FileHandle,
    offset_out: u64,
    len: u64,
    flags: CopyFileRangeFlags,
) -> Result<u32, Errno> {
    wait_for(|sink| {
        fs.copy_file_range(
            req,
            ino_in,
            fh_in,
            offset_in,
            ino_out,
            fh_out,
            offset_out,
            len,
            flags,
            ReplyWrite::new(sink),
        )
    })
}

/// See [`Filesystem::tmpfile`].
///
/// # Errors
/// Those of the module; `EIO` when it gave no answer.
pub fn tmpfile(
    fs: &dyn Filesystem,
    req: &Request,
    parent: INodeNo,
    mode: u32,
    umask: u32,
    flags: i32,
) -> Result<CreateOut, Errno> {
    wait_for(|sink| fs.tmpfile(req, parent, mode, umask, flags, ReplyCreate::new(sink)))
}
