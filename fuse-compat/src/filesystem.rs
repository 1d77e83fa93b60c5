//! The trait that a filesystem module implements.
//!
//! Names, argument types and defaults are fuser 0.18's (FUSE low-level operations). Where a doc comment lists errors,
//! they are those a caller expects besides `EIO`. The host checks permissions before it asks; names are never empty,
//! never contain `/`, and are `.` or `..` only when the module asked for `FUSE_EXPORT_SUPPORT`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::*;

/// A filesystem. All operations take `&self` and may run at the same time; each answers through its reply object,
/// which may be kept and completed later by another thread.
///
/// The host calls `init` once, shares the module as `Arc<dyn Filesystem>`, and calls `destroy` when it is the last
/// owner again. An operation that is not implemented answers `ENOSYS`.
#[allow(clippy::too_many_arguments)]
pub trait Filesystem: Send + Sync + 'static {
    /// Called first. The module says in `config` what it wants.
    ///
    /// # Errors
    /// Make the mount fail.
    fn init(&mut self, _req: &Request, _config: &mut KernelConfig) -> io::Result<()> {
        Ok(())
    }

    /// Called last: writes back what has to be kept.
    fn destroy(&mut self) {}

    /// The directory (or file) of the host that this module shows unchanged, if it is such a view. The host may then
    /// use that path directly instead of asking the module. Not in fuser.
    fn host_root(&self) -> Option<&Path> {
        None
    }

    /// The host hands back `nlookup` references on an inode, see [`INodeNo`].
    fn forget(&self, _req: &Request, _ino: INodeNo, _nlookup: u64) {}

    /// Many forgets at once.
    fn batch_forget(&self, req: &Request, nodes: &[ForgetOne]) {
        for node in nodes {
            self.forget(req, node.nodeid(), node.nlookup());
        }
    }

    /// Looks up `name` in the directory `parent`. Gives the host a reference on the inode.
    ///
    /// Errors: `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`.
    fn lookup(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::ENOSYS);
    }

    /// Attributes of an inode, stat(2). With `fh`: asked through that open file.
    fn getattr(&self, _req: &Request, _ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.error(Errno::ENOSYS);
    }

    /// Changes attributes: chmod(2), chown(2), truncate(2), utimensat(2); all that are given in one step.
    ///
    /// `mode` may carry kind bits, which are ignored. `ctime`: set by the module when `None`. The host has checked permission.
    /// Errors: `EPERM`, `EINVAL`, `EISDIR` (size of a directory), `EFBIG`, `ENOSPC`, `EROFS`.
    fn setattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Target of a symbolic link. Errors: `EINVAL` when it is none.
    fn readlink(&self, _req: &Request, _ino: INodeNo, reply: ReplyData) {
        reply.error(Errno::ENOSYS);
    }

    /// Makes a regular file, FIFO, socket or device node. `mode` has kind and permission bits, `rdev` as in `st_rdev`.
    ///
    /// The umask has been applied unless the module asked for `FUSE_DONT_MASK`. Errors: `EEXIST`, `ENOSPC`, `EPERM`, `EROFS`.
    fn mknod(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Makes a directory. Errors: `EEXIST`, `ENOSPC`, `EMLINK`, `EROFS`.
    fn mkdir(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Removes a name that is not a directory. The inode stays while it is referenced. Errors: `ENOENT`, `EISDIR`.
    fn unlink(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// Removes an empty directory. Errors: `ENOENT`, `ENOTDIR`, `ENOTEMPTY`.
    fn rmdir(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// Makes a symbolic link `link_name` that points to `target`. Errors: `EEXIST`, `EPERM` (not supported).
    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _link_name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    /// Moves a name, rename(2). Without flags an existing new name is replaced.
    ///
    /// Errors: `ENOENT`, `EEXIST`, `ENOTEMPTY`, `EISDIR`, `ENOTDIR`, `EINVAL` (into its own descendant, unknown flags).
    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _newparent: INodeNo,
        _newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Makes another name of the inode `ino`. Errors: `EEXIST`, `EMLINK`, `EPERM` (a directory, or not supported).
    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    /// Opens a file. `flags` are those of open(2) without `O_CREAT`, `O_EXCL` and `O_NOCTTY`; `O_TRUNC` comes only when the
    /// module asked for `FUSE_ATOMIC_O_TRUNC`, else the host truncates by `setattr`.
    ///
    /// The default answers file handle 0: reads and writes name the inode alone.
    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    /// Reads `size` bytes at `offset`; fewer only at the end of the file. Not called for passthrough opens.
    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Writes `data` at `offset` and answers how many bytes were taken. Errors: `ENOSPC`, `EFBIG`, `EROFS`, `EIO`.
    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// A descriptor of the open file was closed. May report delayed write errors; also drops the owner's POSIX locks.
    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// The last descriptor of the open file was closed: once for each open. The answer is ignored.
    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    /// Makes contents (and, unless `datasync`, attributes) durable, fsync(2).
    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Opens a directory. The default answers file handle 0.
    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    /// Lists a directory from `offset`: 0 for the start, else the offset of the entry to continue after.
    ///
    /// An empty answer is the end. A name that stays during the listing is given exactly once.
    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        reply: ReplyDirectory,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// As `readdir`, with attributes. Each entry other than `.` and `..` gives the host a reference.
    fn readdirplus(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// The open directory was closed: once for each opendir.
    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    /// Makes the names of a directory durable.
    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Usage of the filesystem, statfs(2).
    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 512, 255, 0);
    }

    /// Sets an extended attribute. `flags`: `XATTR_CREATE`, `XATTR_REPLACE`; `position` is 0 on Linux.
    ///
    /// Errors: `EEXIST`, `ENODATA`, `EOPNOTSUPP` (no such namespace), `ENOSPC`, `ERANGE` (name too long), `E2BIG`.
    fn setxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Value of an extended attribute; its length when `size` is 0. Errors: `ENODATA`, `ERANGE` (longer than `size`).
    fn getxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: ReplyXattr,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Names of the extended attributes, each followed by a zero byte; their length when `size` is 0. Errors: `ERANGE`.
    fn listxattr(&self, _req: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    /// Removes an extended attribute. Errors: `ENODATA`.
    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// May the caller do this? access(2). `ENOSYS` leaves the decision to the host.
    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// Makes and opens a regular file. `ENOSYS` makes the host use `mknod` and `open`.
    ///
    /// `flags` are those of open(2). Errors: `EEXIST`, `ENOSPC`, `EROFS`.
    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Which POSIX lock is in the way? `end` is inclusive. `ENOSYS`: the host keeps locks itself.
    fn getlk(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        _start: u64,
        _end: u64,
        _typ: i32,
        _pid: u32,
        reply: ReplyLock,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Takes or drops a POSIX lock; `sleep`: waits for it. `ENOSYS`: the host keeps locks itself.
    fn setlk(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        _start: u64,
        _end: u64,
        _typ: i32,
        _pid: u32,
        _sleep: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Block number on the device of block `idx` of a file.
    fn bmap(&self, _req: &Request, _ino: INodeNo, _blocksize: u32, _idx: u64, reply: ReplyBmap) {
        reply.error(Errno::ENOSYS);
    }

    /// ioctl(2) with the bytes the command passes in; at most `out_size` bytes go back.
    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Which of `events` are ready? With `FUSE_POLL_SCHEDULE_NOTIFY`, `ph` is called when that changes.
    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Reserves or punches a range, fallocate(2); `mode` are its `FALLOC_FL_*`. Errors: `EOPNOTSUPP`, `ENOSPC`.
    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// `SEEK_DATA` and `SEEK_HOLE` of lseek(2). Errors: `ENXIO` (past the end), `EINVAL` (other `whence`).
    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Copies between two open files inside the module, copy_file_range(2).
    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Makes and opens a file without a name in the directory `parent`, open(2) with `O_TMPFILE`. Not in fuser.
    ///
    /// `link` may give it a name later. Its link count is 0 until then.
    fn tmpfile(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
