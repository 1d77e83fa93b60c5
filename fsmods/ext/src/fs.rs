//! The `Filesystem` operations on a [`Volume`]; on read-only mounts the writing ones answer EROFS.
//!
//! Node ids are inode numbers, except that the host knows the root as 1 and ext as 2: node 1 means inode
//! 2, and so does node 2 (inode 1, the list of bad blocks, has no name). Attributes and listings carry
//! the inode numbers that the kernel's ext4 shows.
//!
//! File handles are 0. On writable mounts open directories have one (a listing shows the names of when it was
//! begun), and the host's references are counted: an inode without names lives as long as one is out.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuse_compat::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};

use crate::data::Seek;
use crate::error::Error;
use crate::ext::{
    Ext, FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_SETFLAGS, MAX_NAME_BYTES, TTL, VISIBLE_FLAGS,
    file_type, host, no_such_name, node_of, reply_empty,
};
use crate::inode::Kind;
use crate::write::attributes::Change;
use crate::write::create::{New, Permissions};
use crate::write::rename::{At, Flags};
use crate::write::{self};

impl Filesystem for Ext {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The umask is applied here, because a default ACL takes its place. A host that offers less is fine.
        let _not_offered = config.add_capabilities(InitFlags::FUSE_DONT_MASK);
        Ok(())
    }

    fn destroy(&mut self) {
        if let Err(error) = self.change(&host(), |op| op.unmount())
            && self.writer.is_some()
        {
            self.volume
                .reporter
                .note(&format!("the image could not be left clean: {error}"));
        }
        self.writer = None;
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        if self.writer.is_none() {
            return;
        }
        let _reported = self.change(&host(), |op| {
            let number = self.number(ino)?;
            op.forget(number, nlookup)
        });
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let guard = self.reading();
        let found = self
            .node(parent)
            .and_then(|parent| self.volume.lookup(&parent, name.as_bytes()));
        match found {
            Ok(Some(inode)) => {
                // Before any writer can come: the inode must not go in between.
                if let Some(writer) = &guard {
                    writer.refer(inode.number);
                }
                self.reply_made(Ok(inode), reply);
            }
            Ok(None) if self.writer.is_some() => reply.error(Errno::ENOENT),
            Ok(None) => reply.entry(&TTL, &no_such_name(), Generation(0)),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let _guard = self.reading();
        match self.node(ino) {
            Ok(inode) => reply.attr(&self.ttls().0, &self.attributes(&inode)),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        let _guard = self.reading();
        match self
            .node(ino)
            .and_then(|inode| self.volume.read_link(&inode))
        {
            Ok(target) => reply.data_vec(target),
            Err(error) => reply.error(self.errno(error)),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & libc::O_ACCMODE != libc::O_RDONLY && self.writer.is_none() {
            return reply.error(Errno::EROFS);
        }
        let _guard = self.reading();
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
        let _guard = self.reading();
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
        let _guard = self.reading();
        match self.node(ino) {
            Ok(inode) if inode.kind != Kind::Directory => reply.error(Errno::ENOTDIR),
            Ok(_) if self.writer.is_some() => {
                let mut listings = self.listings.lock();
                listings.last = listings.last.saturating_add(1);
                reply.opened(FileHandle(listings.last), FopenFlags::empty());
            }
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
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _guard = self.reading();
        let result = self.list(ino, offset, fh, &mut |entry| {
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
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let guard = self.reading();
        let (attr_ttl, _) = self.ttls();
        let result = self.list(ino, offset, fh, &mut |entry| {
            let name = OsStr::from_bytes(entry.name);
            let number = INodeNo(u64::from(entry.inode));
            match self.volume.named_inode(entry.inode) {
                Ok(inode) => {
                    let generation = Generation(u64::from(inode.generation));
                    let attributes = self.attributes(&inode);
                    let is_full =
                        reply.add(number, entry.next, name, &attr_ttl, &attributes, generation);
                    if !is_full
                        && entry.name != b"."
                        && entry.name != b".."
                        && let Some(writer) = &guard
                    {
                        writer.refer(entry.inode);
                    }
                    is_full
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
        let figures = self.statistics();
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
        let _guard = self.reading();
        let answer = self
            .node(ino)
            .and_then(|inode| self.volume.xattr(&inode, name.as_bytes()));
        self.xattr_reply(answer, size, reply);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let _guard = self.reading();
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
        let _guard = self.reading();
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
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        cmd: u32,
        in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        if cmd == FS_IOC_SETFLAGS {
            let Some(flags) = in_data
                .first_chunk()
                .map(|bytes| u32::from_ne_bytes(*bytes))
            else {
                return reply.error(Errno::EINVAL);
            };
            return match self.change(req, |op| op.set_flags(self.number(ino)?, flags)) {
                Ok(()) => reply.ioctl(0, &[]),
                Err(error) => reply.error(error),
            };
        }
        let _guard = self.reading();
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
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let result = match datasync {
            true => self.sync_content(),
            false => self.sync(),
        };
        reply_empty(result, reply);
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(self.sync(), reply);
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().open.remove(&fh.0);
        reply.ok();
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let given = |time: Option<TimeOrNow>| {
            time.map(|time| match time {
                TimeOrNow::SpecificTime(time) => write::time(time),
                TimeOrNow::Now => write::now(),
            })
        };
        let is_set = |time: &Option<TimeOrNow>| matches!(time, Some(TimeOrNow::SpecificTime(_)));
        let sets_times = is_set(&atime) || is_set(&mtime);
        let change = Change {
            mode,
            uid,
            gid,
            size,
            accessed: given(atime),
            modified: given(mtime),
            changed: ctime.map(write::time),
            created: crtime.map(write::time),
            sets_times,
        };
        let changed = self.change(req, |op| {
            let number = self.number(ino)?;
            op.set_attributes(number, change)?;
            self.volume.inode(number)
        });
        match changed {
            Ok(inode) => reply.attr(&self.ttls().0, &self.attributes(&inode)),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let permissions = Permissions { mode, umask };
        let made =
            node_of(mode, rdev).and_then(|new| self.made(req, parent, name, new, permissions));
        self.reply_made(made, reply);
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        // mkdir(2) takes the permission and sticky bits only; set-group-id comes from the parent.
        let permissions = Permissions {
            mode: mode & 0o1777,
            umask,
        };
        let made = self.made(req, parent, name, New::Directory, permissions);
        self.reply_made(made, reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = New::Symlink(target.as_os_str().as_bytes());
        let permissions = Permissions {
            mode: 0o777,
            umask: 0,
        };
        let made = self.made(req, parent, link_name, new, permissions);
        self.reply_made(made, reply);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.made(req, parent, name, New::Regular, Permissions { mode, umask });
        self.reply_created(made, reply);
    }

    fn tmpfile(
        &self,
        req: &Request,
        parent: INodeNo,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.change(req, |op| {
            let parent = self.number(parent)?;
            let number = op.create_unnamed(parent, Permissions { mode, umask })?;
            op.writer.refer(number);
            self.volume.inode(number)
        });
        self.reply_created(made, reply);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.change(req, |op| op.unlink(self.number(parent)?, name.as_bytes()));
        reply_empty(result, reply);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.change(req, |op| op.rmdir(self.number(parent)?, name.as_bytes()));
        reply_empty(result, reply);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let known = RenameFlags::RENAME_NOREPLACE
            | RenameFlags::RENAME_EXCHANGE
            | RenameFlags::RENAME_WHITEOUT;
        if !known.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        let flags = Flags {
            keeps_existing: flags.contains(RenameFlags::RENAME_NOREPLACE),
            exchanges: flags.contains(RenameFlags::RENAME_EXCHANGE),
            leaves_whiteout: flags.contains(RenameFlags::RENAME_WHITEOUT),
        };
        let result = self.change(req, |op| {
            let from = At {
                parent: self.number(parent)?,
                name: name.as_bytes(),
            };
            let to = At {
                parent: self.number(newparent)?,
                name: newname.as_bytes(),
            };
            op.rename(from, to, flags)
        });
        reply_empty(result, reply);
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let linked = self.change(req, |op| {
            let number = self.number(ino)?;
            op.link(number, self.number(newparent)?, newname.as_bytes())?;
            op.writer.refer(number);
            self.volume.inode(number)
        });
        self.reply_made(linked, reply);
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let kills_ids = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let is_cached = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let written = self.change(req, |op| {
            let number = self.number(ino)?;
            if !is_cached {
                op.may_write(number, offset)?;
            }
            op.caller.is_late = is_cached;
            op.write(number, offset, data, kills_ids)
        });
        match written {
            Ok(count) => reply.written(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let result = self.change(req, |op| {
            op.set_xattr(self.number(ino)?, name.as_bytes(), value, flags)
        });
        reply_empty(result, reply);
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.change(req, |op| {
            op.remove_xattr(self.number(ino)?, name.as_bytes())
        });
        reply_empty(result, reply);
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let result = self.change(req, |op| {
            op.fallocate(self.number(ino)?, offset, length, mode)
        });
        reply_empty(result, reply);
    }

    fn copy_file_range(
        &self,
        req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        match self.copy(req, (ino_in, offset_in), (ino_out, offset_out), len) {
            Ok(count) => reply.written(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }
}
