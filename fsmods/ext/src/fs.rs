//! The `Filesystem` operations on a [`Volume`]: reading ones answer from it, writing ones with EROFS.
//!
//! Node ids are inode numbers, except that the host knows the root as 1 and ext as 2: node 1 means inode
//! 2, and so does node 2 (inode 1, the list of bad blocks, has no name). Attributes and listings carry
//! the inode numbers that the kernel's ext4 shows.
//!
//! No operation keeps state: file handles are 0 and lookups are not counted.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuse_compat::{
    BlockSource, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};

use crate::data::Seek;
use crate::error::{Error, MountError, Result};
use crate::geometry::ROOT_INODE;
use crate::inode::{Inode, Kind, Time};
use crate::report::Sink;
use crate::volume::Volume;

/// Nothing changes: what was said stays true. (A year; the host adds it to its clock.)
const TTL: Duration = Duration::from_secs(365 * 86_400);
const MAX_NAME_BYTES: u32 = 255;
/// ioctl_iflags(2) and ioctl `FS_IOC_GETVERSION`.
const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
/// The flags that the kernel's ext4 shows.
const VISIBLE_FLAGS: u32 = 0x725b_dfff;

/// A mounted image as a module of the host.
pub struct Ext {
    volume: Volume,
}

impl Ext {
    /// Mounts an image, see [`Volume::open`].
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn open(
        source: Arc<dyn BlockSource>,
        options: &str,
        log: Sink,
    ) -> std::result::Result<Self, MountError> {
        Ok(Self {
            volume: Volume::open(source, options, log)?,
        })
    }

    /// The engine below.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    fn node(&self, node: INodeNo) -> Result<Arc<Inode>> {
        match u32::try_from(node.0) {
            Ok(1) => self.volume.inode(ROOT_INODE),
            Ok(number) => self.volume.inode(number),
            Err(_) => Err(Error::Refused(libc::ESTALE)),
        }
    }

    /// Logs the fault behind an error and turns it into its errno.
    fn errno(&self, error: Error) -> Errno {
        Errno::from_i32(self.volume.told(error).errno())
    }

    fn attributes(&self, inode: &Inode) -> FileAttr {
        FileAttr {
            ino: INodeNo(u64::from(inode.number)),
            size: inode.size,
            blocks: inode.sectors,
            atime: system_time(inode.accessed),
            mtime: system_time(inode.modified),
            ctime: system_time(inode.changed),
            crtime: inode.created.map_or(UNIX_EPOCH, system_time),
            kind: file_type(inode.kind),
            perm: inode.mode & 0o7777,
            nlink: u32::from(inode.links),
            uid: inode.uid,
            gid: inode.gid,
            rdev: inode.device(),
            blksize: self.volume.block_size(),
            flags: inode.flags & VISIBLE_FLAGS,
        }
    }

    /// Lists a directory for a reply; `add` answers true when the entry did not fit. The errno, if any,
    /// is for the call after the last entry: what can be read is listed first.
    fn list(
        &self,
        node: INodeNo,
        offset: u64,
        add: &mut dyn FnMut(&crate::dir::Entry<'_>) -> bool,
    ) -> Result<()> {
        let directory = self.node(node)?;
        let mut has_entries = false;
        let mut is_full = false;
        self.volume.list(&directory, offset, &mut |entry| {
            is_full = add(&entry);
            if is_full {
                return ControlFlow::Break(());
            }
            has_entries = true;
            ControlFlow::Continue(())
        })?;
        match has_entries || is_full {
            true => Ok(()),
            false => self.volume.fail_if_damaged(&directory),
        }
    }

    fn xattr_reply(&self, answer: Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
        match answer {
            Ok(value) => match (size, u32::try_from(value.len())) {
                (0, Ok(length)) => reply.size(length),
                (_, Ok(length)) if length <= size => reply.data(&value),
                (0, Err(_)) => reply.error(Errno::E2BIG),
                _ => reply.error(Errno::ERANGE),
            },
            Err(error) => reply.error(self.errno(error)),
        }
    }
}

fn system_time(time: Time) -> SystemTime {
    fuse_compat::time::system_time(time.seconds, time.nanoseconds)
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Regular => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::CharacterDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}

/// "There is no such name", in the form that may be cached.
fn no_such_name() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

impl Filesystem for Ext {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self
            .node(parent)
            .and_then(|parent| self.volume.lookup(&parent, name.as_bytes()));
        match found {
            Ok(Some(inode)) => {
                let generation = Generation(u64::from(inode.generation));
                reply.entry(&TTL, &self.attributes(&inode), generation);
            }
            Ok(None) => reply.entry(&TTL, &no_such_name(), Generation(0)),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(ino) {
            Ok(inode) => reply.attr(&TTL, &self.attributes(&inode)),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self
            .node(ino)
            .and_then(|inode| self.volume.read_link(&inode))
        {
            Ok(target) => reply.data_vec(target),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & libc::O_ACCMODE != libc::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        match self.node(ino) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let answer = self.node(ino).and_then(|inode| {
            if inode.kind == Kind::Directory {
                return Err(Error::Refused(libc::EISDIR));
            }
            let length = u64::from(size).min(inode.size.saturating_sub(offset));
            let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
            let filled = self.volume.read(&inode, offset, &mut data)?;
            data.truncate(filled);
            Ok(data)
        });
        match answer {
            Ok(data) => reply.data_vec(data),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.node(ino) {
            Ok(inode) if inode.kind != Kind::Directory => reply.error(Errno::ENOTDIR),
            Ok(_) => {
                let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
                reply.opened(FileHandle(0), flags);
            }
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let result = self.list(ino, offset, &mut |entry| {
            let known = entry.kind.map(file_type);
            let kind = known.unwrap_or_else(|| match self.volume.inode(entry.inode) {
                Ok(inode) => file_type(inode.kind),
                Err(_) => FileType::RegularFile,
            });
            reply.add(
                INodeNo(u64::from(entry.inode)),
                entry.next,
                kind,
                OsStr::from_bytes(entry.name),
            )
        });
        match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let result = self.list(ino, offset, &mut |entry| {
            let name = OsStr::from_bytes(entry.name);
            let number = INodeNo(u64::from(entry.inode));
            match self.volume.named_inode(entry.inode) {
                Ok(inode) => {
                    let generation = Generation(u64::from(inode.generation));
                    reply.add(
                        number,
                        entry.next,
                        name,
                        &TTL,
                        &self.attributes(&inode),
                        generation,
                    )
                }
                Err(error) => {
                    // A name without attributes (inode 0 there): a lookup will say what is wrong.
                    drop(self.volume.told(error));
                    let kind = entry.kind.map_or(FileType::RegularFile, file_type);
                    let attributes = FileAttr {
                        kind,
                        ..no_such_name()
                    };
                    reply.add(
                        number,
                        entry.next,
                        name,
                        &Duration::ZERO,
                        &attributes,
                        Generation(0),
                    )
                }
            }
        });
        match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let figures = self.volume.statistics();
        reply.statfs(
            figures.blocks,
            figures.free_blocks,
            figures.available_blocks,
            figures.inodes,
            figures.free_inodes,
            figures.block_size,
            MAX_NAME_BYTES,
            figures.block_size,
        );
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let answer = self
            .node(ino)
            .and_then(|inode| self.volume.xattr(&inode, name.as_bytes()));
        self.xattr_reply(answer, size, reply);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let answer = self
            .node(ino)
            .and_then(|inode| self.volume.list_xattrs(&inode));
        self.xattr_reply(answer, size, reply);
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let what = match whence {
            libc::SEEK_DATA => Seek::Data,
            libc::SEEK_HOLE => Seek::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let answer = self.node(ino).and_then(|inode| {
            let offset = u64::try_from(offset).map_err(|_| Error::Refused(libc::ENXIO))?;
            self.volume.seek(&inode, offset, what)
        });
        match answer {
            // Sizes are below 2^63, so places are.
            Ok(place) => reply.offset(i64::try_from(place).unwrap_or(i64::MAX)),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn ioctl(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        match (cmd, self.node(ino)) {
            (FS_IOC_GETFLAGS, Ok(inode)) => {
                reply.ioctl(0, &(inode.flags & VISIBLE_FLAGS).to_ne_bytes())
            }
            (FS_IOC_GETVERSION, Ok(inode)) => reply.ioctl(0, &inode.generation.to_ne_bytes()),
            (_, Err(error)) => reply.error(self.errno(error)),
            _ => reply.error(Errno::ENOTTY),
        }
    }

    fn bmap(&self, _req: &Request, _ino: INodeNo, _blocksize: u32, _idx: u64, reply: ReplyBmap) {
        reply.error(Errno::ENOTTY);
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    // Everything below would write.

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
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

    fn mkdir(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _link_name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

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
        reply.error(Errno::EROFS);
    }

    fn tmpfile(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EROFS);
    }
}
