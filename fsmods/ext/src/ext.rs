//! [`Ext`]: a mounted image as the host has it, and what its operations share.
//!
//! Locks: `writer`, then `listings`, then those of the volume.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuse_compat::{
    BlockSource, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo,
    ReplyCreate, ReplyEmpty, ReplyEntry, ReplyXattr, Request,
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::error::{Error, MountError, Result};
use crate::geometry::ROOT_INODE;
use crate::inode::{Inode, Kind, Time};
use crate::report::Sink;
use crate::statistics::Statistics;
use crate::volume::Volume;
use crate::write::create::{New, Permissions};
use crate::write::{Caller, Op, Writer};

/// Nothing changes: what was said stays true. (A year; the host adds it to its clock.)
pub(crate) const TTL: Duration = Duration::from_secs(365 * 86_400);
pub(crate) const MAX_NAME_BYTES: u32 = 255;
/// ioctl_iflags(2) and ioctl `FS_IOC_GETVERSION`.
pub(crate) const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
pub(crate) const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
pub(crate) const FS_IOC_GETVERSION: u32 = 0x8008_7601;
/// The flags that the kernel's ext4 shows.
pub(crate) const VISIBLE_FLAGS: u32 = 0x725b_dfff;

/// Attributes of a writable mount change with every write: the host asks each time.
pub(crate) const WRITABLE_ATTR_TTL: Duration = Duration::ZERO;
/// Names change only when the host asks for it.
pub(crate) const WRITABLE_ENTRY_TTL: Duration = Duration::from_secs(3600);

/// A mounted image as a module of the host.
pub struct Ext {
    pub(crate) volume: Volume,
    /// Present on writable mounts. Readers hold it shared, writers alone.
    pub(crate) writer: Option<RwLock<Writer>>,
    /// Open directories of a writable mount, by file handle. Taken after `writer`.
    pub(crate) listings: Mutex<Listings>,
}

/// What open directories show: the names at the time of their first reading, so that cookies stay valid.
#[derive(Default)]
pub(crate) struct Listings {
    pub(crate) last: u64,
    pub(crate) open: HashMap<u64, Arc<Vec<Listed>>>,
}

/// One name of an open directory.
pub(crate) struct Listed {
    name: Vec<u8>,
    inode: u32,
    kind: Option<Kind>,
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
        let (volume, writer) = Volume::open_as(source, options, log, true)?;
        Ok(Self {
            volume,
            writer: writer.map(RwLock::new),
            listings: Mutex::default(),
        })
    }

    /// Whether the mount can be written. It can't when the options or the source say so, or when the image has
    /// what this driver can't write (the log then says what).
    pub fn is_writable(&self) -> bool {
        self.writer.is_some()
    }

    /// Makes everything done so far durable, like syncfs(2).
    ///
    /// # Errors
    /// EIO, or EROFS after a failed write.
    pub fn sync(&self) -> std::result::Result<(), Errno> {
        match &self.writer {
            None => Ok(()),
            Some(_) => self.change(&host(), |op| op.commit()),
        }
    }

    /// Makes the content of files durable, like fdatasync(2).
    ///
    /// # Errors
    /// EIO, or EROFS after a failed write.
    pub fn sync_content(&self) -> std::result::Result<(), Errno> {
        match &self.writer {
            None => Ok(()),
            Some(_) => self.change(&host(), |op| op.commit_content()),
        }
    }

    /// Space and inodes as they are now.
    pub fn statistics(&self) -> Statistics {
        let fixed = self.volume.statistics();
        let Some(writer) = &self.writer else {
            return fixed;
        };
        let totals = writer.read().totals;
        let held_back = fixed.held_back;
        Statistics {
            free_blocks: totals.free_blocks,
            available_blocks: totals.free_blocks.saturating_sub(held_back),
            free_inodes: totals.free_inodes,
            ..fixed
        }
    }

    /// Keeps writers away while the guard lives.
    pub(crate) fn reading(&self) -> Option<RwLockReadGuard<'_, Writer>> {
        self.writer.as_ref().map(RwLock::read)
    }

    /// Runs a writing operation.
    pub(crate) fn change<T>(
        &self,
        req: &Request,
        change: impl FnOnce(&mut Op<'_>) -> Result<T>,
    ) -> std::result::Result<T, Errno> {
        let Some(writer) = &self.writer else {
            return Err(Errno::EROFS);
        };
        let mut writer = writer.write();
        let mut op = Op {
            volume: &self.volume,
            writer: &mut writer,
            caller: Caller {
                uid: req.uid(),
                gid: req.gid(),
                is_late: false,
            },
        };
        change(&mut op).map_err(|error| self.errno(error))
    }

    /// The number of a node that the host names.
    pub(crate) fn number(&self, node: INodeNo) -> Result<u32> {
        match u32::try_from(node.0) {
            Ok(1) => Ok(ROOT_INODE),
            Ok(number) => Ok(number),
            Err(_) => Err(Error::Refused(libc::ESTALE)),
        }
    }

    /// How long attributes and names stay true.
    pub(crate) fn ttls(&self) -> (Duration, Duration) {
        match self.writer {
            Some(_) => (WRITABLE_ATTR_TTL, WRITABLE_ENTRY_TTL),
            None => (TTL, TTL),
        }
    }

    /// What an open directory shows, read now if it is read from its start.
    pub(crate) fn listing(
        &self,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
    ) -> Result<Arc<Vec<Listed>>> {
        if offset > 0
            && let Some(listing) = self.listings.lock().open.get(&handle.0)
        {
            return Ok(Arc::clone(listing));
        }
        let directory = self.node(node)?;
        let mut list = Vec::new();
        self.volume.list(&directory, 0, &mut |entry| {
            list.push(Listed {
                name: entry.name.to_vec(),
                inode: entry.inode,
                kind: entry.kind,
            });
            ControlFlow::Continue(())
        })?;
        if list.is_empty() {
            self.volume.fail_if_damaged(&directory)?;
        }
        let list = Arc::new(list);
        if handle.0 != 0 {
            let mut listings = self.listings.lock();
            listings.open.insert(handle.0, Arc::clone(&list));
        }
        Ok(list)
    }

    /// The engine below.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    pub(crate) fn node(&self, node: INodeNo) -> Result<Arc<Inode>> {
        match u32::try_from(node.0) {
            Ok(1) => self.volume.inode(ROOT_INODE),
            Ok(number) => self.volume.inode(number),
            Err(_) => Err(Error::Refused(libc::ESTALE)),
        }
    }

    /// Logs the fault behind an error and turns it into its errno.
    pub(crate) fn errno(&self, error: Error) -> Errno {
        Errno::from_i32(self.volume.told(error).errno())
    }

    pub(crate) fn attributes(&self, inode: &Inode) -> FileAttr {
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
    pub(crate) fn list(
        &self,
        node: INodeNo,
        offset: u64,
        handle: FileHandle,
        add: &mut dyn FnMut(&crate::dir::Entry<'_>) -> bool,
    ) -> Result<()> {
        if self.writer.is_some() {
            let listing = self.listing(node, handle, offset)?;
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            for (next, entry) in (1u64..).zip(listing.iter()).skip(from) {
                let entry = crate::dir::Entry {
                    name: &entry.name,
                    inode: entry.inode,
                    kind: entry.kind,
                    next,
                };
                if add(&entry) {
                    break;
                }
            }
            return Ok(());
        }
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

    pub(crate) fn xattr_reply(&self, answer: Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
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

pub(crate) fn system_time(time: Time) -> SystemTime {
    fuse_compat::time::system_time(time.seconds, time.nanoseconds)
}

pub(crate) fn file_type(kind: Kind) -> FileType {
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
pub(crate) fn no_such_name() -> FileAttr {
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

pub(crate) fn reply_empty(result: std::result::Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

/// The host itself, which may use all space.
pub(crate) fn host() -> Request {
    Request::new(0, 0, 0, 0)
}

/// The kind and, for devices, the number that mknod(2) asks for.
pub(crate) fn node_of(mode: u32, device: u32) -> std::result::Result<New<'static>, Errno> {
    match mode & libc::S_IFMT {
        // mknod(2): no kind means a regular file.
        0 | libc::S_IFREG => Ok(New::Regular),
        libc::S_IFCHR => Ok(New::Device(Kind::CharacterDevice, device)),
        libc::S_IFBLK => Ok(New::Device(Kind::BlockDevice, device)),
        libc::S_IFIFO => Ok(New::Plain(Kind::Fifo)),
        libc::S_IFSOCK => Ok(New::Plain(Kind::Socket)),
        libc::S_IFDIR => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

impl Ext {
    /// Makes a name in a directory and answers its inode, which the host then refers to.
    pub(crate) fn made(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new: New<'_>,
        permissions: Permissions,
    ) -> std::result::Result<Arc<Inode>, Errno> {
        self.change(req, |op| {
            let parent = self.number(parent)?;
            let number = op.create(parent, name.as_bytes(), new, permissions)?;
            op.writer.refer(number);
            self.volume.inode(number)
        })
    }

    pub(crate) fn reply_made(
        &self,
        made: std::result::Result<Arc<Inode>, Errno>,
        reply: ReplyEntry,
    ) {
        match made {
            Ok(inode) => {
                let (attr_ttl, entry_ttl) = self.ttls();
                let generation = Generation(u64::from(inode.generation));
                reply.entry_with_ttls(&attr_ttl, &entry_ttl, &self.attributes(&inode), generation);
            }
            Err(error) => reply.error(error),
        }
    }

    pub(crate) fn reply_created(
        &self,
        made: std::result::Result<Arc<Inode>, Errno>,
        reply: ReplyCreate,
    ) {
        match made {
            Ok(inode) => reply.created(
                &self.ttls().0,
                &self.attributes(&inode),
                Generation(u64::from(inode.generation)),
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(error),
        }
    }

    /// Copies a range inside the volume, as much of it as one call should.
    pub(crate) fn copy(
        &self,
        req: &Request,
        from: (INodeNo, u64),
        to: (INodeNo, u64),
        length: u64,
    ) -> std::result::Result<usize, Errno> {
        const MOST: u64 = 1 << 20;
        self.change(req, |op| {
            let (source, target) = (self.node(from.0)?, self.number(to.0)?);
            if source.kind != Kind::Regular {
                return Err(Error::Refused(libc::EINVAL));
            }
            let count = length.min(MOST).min(source.size.saturating_sub(from.1));
            let mut data = vec![0; usize::try_from(count).unwrap_or(0)];
            let filled = self.volume.read(&source, from.1, &mut data)?;
            data.truncate(filled);
            op.write(target, to.1, &data, true)
        })
    }
}
