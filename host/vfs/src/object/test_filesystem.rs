//! A small filesystem in memory for the tests: it counts its calls and the references it gave out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fuse_compat::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, Notifier, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;

/// What the test sees of the filesystem while the instance owns it.
#[derive(Default)]
pub(crate) struct Shared {
    nodes: Mutex<BTreeMap<u64, Node>>,
    pub(crate) lookups: AtomicU64,
    pub(crate) getattrs: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) listings: AtomicU64,
    pub(crate) fails_reads: AtomicBool,
    pub(crate) writes: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    /// Error number that writes and fallocate answer, 0 for none.
    pub(crate) write_error: AtomicI32,
    /// The same for fsync.
    pub(crate) fsync_error: AtomicI32,
    pub(crate) fsyncs: AtomicU64,
    /// Bytes that all files together may have; 0: no limit.
    pub(crate) capacity: AtomicU64,
    pub(crate) is_destroyed: AtomicBool,
    pub(crate) open_handles: AtomicU64,
    notifier: Mutex<Option<Notifier>>,
}

struct Node {
    attr: FileAttr,
    parent: u64,
    names: BTreeMap<OsString, u64>,
    contents: Contents,
    target: Vec<u8>,
    xattrs: BTreeMap<OsString, Vec<u8>>,
    references: u64,
}

enum Contents {
    Bytes(Vec<u8>),
    /// Zeros but for one block of 0xAA bytes at this offset.
    Sparse(u64),
}

/// How the filesystem behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) ttl: Duration,
    pub(crate) has_readdirplus: bool,
    pub(crate) has_lseek: bool,
    pub(crate) has_create: bool,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            ttl: Duration::MAX,
            has_readdirplus: true,
            has_lseek: true,
            has_create: true,
        }
    }
}

/// The filesystem.
pub(crate) struct TestFilesystem {
    shared: Arc<Shared>,
    behaviour: Behaviour,
}

const BLOCK: u64 = 4096;

impl Shared {
    /// References that the host still holds, over all inodes.
    pub(crate) fn references(&self) -> u64 {
        self.nodes.lock().values().map(|node| node.references).sum()
    }

    /// Makes a node without the host knowing, all directories on the way included. Returns its number.
    pub(crate) fn make(&self, path: &str, kind: FileType, perm: u16, contents: &[u8]) -> u64 {
        let mut nodes = self.nodes.lock();
        let mut parent = 1;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let known = nodes
                .get(&parent)
                .and_then(|node| node.names.get(OsStr::new(part)).copied());
            parent = match (known, parts.peek()) {
                (Some(number), _) => number,
                (None, Some(_)) => add(&mut nodes, parent, part, FileType::Directory, 0o755),
                (None, None) => add(&mut nodes, parent, part, kind, perm),
            };
        }
        let node = nodes.get_mut(&parent).unwrap();
        node.attr.size = contents.len() as u64;
        node.attr.blocks = node.attr.size.div_ceil(BLOCK) * 8;
        if kind == FileType::Symlink {
            node.target = contents.to_vec();
        }
        node.contents = Contents::Bytes(contents.to_vec());
        parent
    }

    /// A file of zeros with one block of data.
    pub(crate) fn make_sparse(&self, path: &str, size: u64, data_at: u64) {
        let number = self.make(path, FileType::RegularFile, 0o644, b"");
        let mut nodes = self.nodes.lock();
        let node = nodes.get_mut(&number).unwrap();
        node.attr.size = size;
        node.attr.blocks = 8;
        node.contents = Contents::Sparse(data_at);
    }

    /// What the filesystem itself has in a file.
    pub(crate) fn contents(&self, number: u64) -> Vec<u8> {
        match &self.nodes.lock().get(&number).unwrap().contents {
            Contents::Bytes(bytes) => bytes.clone(),
            Contents::Sparse(_) => panic!("sparse"),
        }
    }

    /// The attributes as the filesystem itself has them.
    pub(crate) fn attr(&self, number: u64) -> FileAttr {
        self.nodes.lock().get(&number).unwrap().attr
    }

    /// The number of a name in the root.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let nodes = self.nodes.lock();
        nodes.get(&1).unwrap().names.get(OsStr::new(name)).copied()
    }

    /// Would `end` bytes in this file be too much?
    fn is_full(&self, nodes: &BTreeMap<u64, Node>, number: u64, end: u64) -> bool {
        let capacity = self.capacity.load(Ordering::Relaxed);
        let others = nodes.iter().filter(|(other, _)| **other != number);
        let used: u64 = others.map(|(_, node)| node.attr.size).sum();
        capacity > 0 && used + end > capacity
    }

    /// Changes attributes behind the host's back.
    pub(crate) fn change(&self, number: u64, change: impl FnOnce(&mut FileAttr)) {
        change(&mut self.nodes.lock().get_mut(&number).unwrap().attr);
    }

    pub(crate) fn set_contents(&self, number: u64, contents: &[u8]) {
        let mut nodes = self.nodes.lock();
        let node = nodes.get_mut(&number).unwrap();
        node.contents = Contents::Bytes(contents.to_vec());
        node.attr.size = contents.len() as u64;
        node.attr.mtime += Duration::from_secs(1);
    }

    pub(crate) fn set_xattr(&self, number: u64, name: &str, value: &[u8]) {
        let mut nodes = self.nodes.lock();
        let node = nodes.get_mut(&number).unwrap();
        node.xattrs.insert(name.into(), value.to_vec());
    }

    /// Removes a name in the root without the host knowing.
    pub(crate) fn remove_name(&self, name: &str) {
        self.nodes
            .lock()
            .get_mut(&1)
            .unwrap()
            .names
            .remove(OsStr::new(name));
    }

    /// Removes a name in a directory of the root without the host knowing.
    pub(crate) fn remove_name_in(&self, directory: &str, name: &str) {
        let mut nodes = self.nodes.lock();
        let number = nodes.get(&1).unwrap().names[OsStr::new(directory)];
        nodes
            .get_mut(&number)
            .unwrap()
            .names
            .remove(OsStr::new(name));
    }

    /// Is there this name in a directory of the root?
    pub(crate) fn has_name(&self, directory: &str, name: &str) -> bool {
        let nodes = self.nodes.lock();
        let number = nodes.get(&1).unwrap().names[OsStr::new(directory)];
        nodes
            .get(&number)
            .unwrap()
            .names
            .contains_key(OsStr::new(name))
    }

    /// The way to tell the host something.
    pub(crate) fn notifier(&self) -> Notifier {
        self.notifier.lock().clone().unwrap()
    }

    fn entry(&self, number: u64) -> FileAttr {
        let mut nodes = self.nodes.lock();
        let node = nodes.get_mut(&number).unwrap();
        node.references += 1;
        node.attr
    }
}

fn attr(number: u64, kind: FileType, perm: u16) -> FileAttr {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    FileAttr {
        ino: INodeNo(number),
        size: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: SystemTime::UNIX_EPOCH,
        kind,
        perm,
        nlink: if kind == FileType::Directory { 2 } else { 1 },
        uid: 1000,
        gid: 1000,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn add(
    nodes: &mut BTreeMap<u64, Node>,
    parent: u64,
    name: impl AsRef<OsStr>,
    kind: FileType,
    perm: u16,
) -> u64 {
    let number = nodes.keys().last().map_or(1, |last| last + 1);
    nodes.insert(
        number,
        Node {
            attr: attr(number, kind, perm),
            parent,
            names: BTreeMap::new(),
            contents: Contents::Bytes(Vec::new()),
            target: Vec::new(),
            xattrs: BTreeMap::new(),
            references: 0,
        },
    );
    if let Some(directory) = nodes.get_mut(&parent) {
        directory.names.insert(name.as_ref().to_owned(), number);
    }
    number
}

impl TestFilesystem {
    pub(crate) fn new(behaviour: Behaviour) -> (Box<TestFilesystem>, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        add(&mut shared.nodes.lock(), 1, "", FileType::Directory, 0o755);
        shared.nodes.lock().get_mut(&1).unwrap().names.clear();
        let filesystem = TestFilesystem {
            shared: Arc::clone(&shared),
            behaviour,
        };
        (Box::new(filesystem), shared)
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<u64, Errno> {
        let nodes = self.shared.nodes.lock();
        let directory = nodes.get(&parent.0).ok_or(Errno::ESTALE)?;
        directory.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn make(
        &self,
        parent: INodeNo,
        name: &OsStr,
        kind: FileType,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        if self.find(parent, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let perm = (mode & 0o7777) as u16;
        let number = add(&mut self.shared.nodes.lock(), parent.0, name, kind, perm);
        Ok(self.shared.entry(number))
    }

    fn reply_entry(&self, made: Result<FileAttr, Errno>, reply: ReplyEntry) {
        match made {
            Ok(attr) => reply.entry(&self.behaviour.ttl, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn remove(&self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let number = self.find(parent, name)?;
        let mut nodes = self.shared.nodes.lock();
        if nodes
            .get(&number)
            .is_some_and(|node| !node.names.is_empty())
        {
            return Err(Errno::ENOTEMPTY);
        }
        nodes.get_mut(&parent.0).unwrap().names.remove(name);
        let node = nodes.get_mut(&number).unwrap();
        node.attr.nlink = match node.attr.kind {
            FileType::Directory => 0,
            _ => node.attr.nlink - 1,
        };
        Ok(())
    }

    /// Names from `offset` on, `.` and `..` first.
    fn list(&self, number: u64, offset: u64) -> Vec<(u64, u64, OsString)> {
        self.shared.listings.fetch_add(1, Ordering::Relaxed);
        let nodes = self.shared.nodes.lock();
        let node = nodes.get(&number).unwrap();
        let own = [(number, ".".into()), (node.parent, "..".into())];
        let names = node
            .names
            .iter()
            .map(|(name, number)| (*number, name.clone()));
        own.into_iter()
            .chain(names)
            .enumerate()
            .map(|(index, (number, name))| (number, index as u64 + 1, name))
            .skip(offset as usize)
            .collect()
    }
}

impl Filesystem for TestFilesystem {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        *self.shared.notifier.lock() = config.notifier();
        Ok(())
    }

    fn destroy(&mut self) {
        self.shared.is_destroyed.store(true, Ordering::Relaxed);
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.shared.lookups.fetch_add(1, Ordering::Relaxed);
        let found = self.find(parent, name);
        self.reply_entry(found.map(|number| self.shared.entry(number)), reply);
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        let mut nodes = self.shared.nodes.lock();
        let node = nodes.get_mut(&ino.0).unwrap();
        node.references = node.references.checked_sub(nlookup).unwrap();
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.shared.getattrs.fetch_add(1, Ordering::Relaxed);
        match self.shared.nodes.lock().get(&ino.0) {
            Some(node) => reply.attr(&self.behaviour.ttl, &node.attr),
            None => reply.error(Errno::ESTALE),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = self.shared.nodes.lock();
        let node = nodes.get_mut(&ino.0).unwrap();
        let time = |time: TimeOrNow| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        };
        node.attr.perm = mode.map_or(node.attr.perm, |mode| (mode & 0o7777) as u16);
        node.attr.uid = uid.unwrap_or(node.attr.uid);
        node.attr.gid = gid.unwrap_or(node.attr.gid);
        node.attr.atime = atime.map_or(node.attr.atime, time);
        node.attr.mtime = mtime.map_or(node.attr.mtime, time);
        if let Some(size) = size {
            node.attr.size = size;
            if let Contents::Bytes(bytes) = &mut node.contents {
                bytes.resize(size as usize, 0);
            }
        }
        reply.attr(&self.behaviour.ttl, &node.attr);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        reply.data(&self.shared.nodes.lock().get(&ino.0).unwrap().target);
    }

    fn mknod(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let kind = FileType::from_mode(mode).unwrap();
        self.reply_entry(self.make(parent, name, kind, mode), reply);
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.reply_entry(self.make(parent, name, FileType::Directory, mode), reply);
    }

    fn symlink(
        &self,
        _req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let made = self.make(parent, link_name, FileType::Symlink, 0o777);
        if let Ok(attr) = &made {
            let mut nodes = self.shared.nodes.lock();
            nodes.get_mut(&attr.ino.0).unwrap().target =
                target.as_os_str().as_encoded_bytes().to_vec();
        }
        self.reply_entry(made, reply);
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        {
            let mut nodes = self.shared.nodes.lock();
            let directory = nodes.get_mut(&newparent.0).unwrap();
            directory.names.insert(newname.to_owned(), ino.0);
            nodes.get_mut(&ino.0).unwrap().attr.nlink += 1;
        }
        self.reply_entry(Ok(self.shared.entry(ino.0)), reply);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.remove(parent, name) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.remove(parent, name) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Ok(moved) = self.find(parent, name) else {
            return reply.error(Errno::ENOENT);
        };
        let replaced = self.find(newparent, newname).ok();
        let mut nodes = self.shared.nodes.lock();
        nodes.get_mut(&parent.0).unwrap().names.remove(name);
        let directory = nodes.get_mut(&newparent.0).unwrap();
        directory.names.insert(newname.to_owned(), moved);
        nodes.get_mut(&moved).unwrap().parent = newparent.0;
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            let replaced = replaced.unwrap();
            let directory = nodes.get_mut(&parent.0).unwrap();
            directory.names.insert(name.to_owned(), replaced);
            nodes.get_mut(&replaced).unwrap().parent = parent.0;
        } else if let Some(replaced) = replaced {
            nodes.get_mut(&replaced).unwrap().attr.nlink -= 1;
        }
        reply.ok();
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.shared.open_handles.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(7), FopenFlags::empty());
    }

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
        self.shared.open_handles.fetch_sub(1, Ordering::Relaxed);
        reply.ok();
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
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
        if self.shared.fails_reads.load(Ordering::Relaxed) && offset > 0 {
            return reply.error(Errno::EUCLEAN);
        }
        let nodes = self.shared.nodes.lock();
        let node = nodes.get(&ino.0).unwrap();
        let end = node.attr.size.min(offset + u64::from(size));
        let data: Vec<u8> = match &node.contents {
            Contents::Bytes(bytes) => bytes[offset.min(end) as usize..end as usize].to_vec(),
            Contents::Sparse(at) => {
                let mut data = vec![0; end.saturating_sub(offset) as usize];
                for place in (*at).max(offset)..(at + BLOCK).min(end) {
                    data[(place - offset) as usize] = 0xaa;
                }
                data
            }
        };
        self.shared
            .bytes_read
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        reply.data(&data);
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        assert_eq!(flags.0 & libc::O_APPEND, 0, "places are told");
        let error = self.shared.write_error.load(Ordering::Relaxed);
        if error != 0 {
            return reply.error(Errno::from_i32(error));
        }
        let mut nodes = self.shared.nodes.lock();
        let end = offset + data.len() as u64;
        if self.shared.is_full(&nodes, ino.0, end) {
            return reply.error(Errno::ENOSPC);
        }
        let node = nodes.get_mut(&ino.0).unwrap();
        let Contents::Bytes(bytes) = &mut node.contents else {
            return reply.error(Errno::EIO);
        };
        if bytes.len() < end as usize {
            bytes.resize(end as usize, 0);
        }
        bytes[offset as usize..end as usize].copy_from_slice(data);
        node.attr.size = bytes.len() as u64;
        node.attr.blocks = node.attr.size.div_ceil(BLOCK) * 8;
        node.attr.mtime = SystemTime::now();
        self.shared.writes.fetch_add(1, Ordering::Relaxed);
        self.shared
            .bytes_written
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        reply.written(data.len() as u32);
    }

    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        assert_eq!(mode, 1, "the size stays");
        let error = self.shared.write_error.load(Ordering::Relaxed);
        let nodes = self.shared.nodes.lock();
        if error != 0 {
            reply.error(Errno::from_i32(error));
        } else if self.shared.is_full(&nodes, ino.0, offset + length) {
            reply.error(Errno::ENOSPC);
        } else {
            reply.ok();
        }
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.shared.fsyncs.fetch_add(1, Ordering::Relaxed);
        match self.shared.fsync_error.load(Ordering::Relaxed) {
            0 => reply.ok(),
            error => reply.error(Errno::from_i32(error)),
        }
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
        if !self.behaviour.has_lseek {
            return reply.error(Errno::ENOSYS);
        }
        let nodes = self.shared.nodes.lock();
        let node = nodes.get(&ino.0).unwrap();
        let size = node.attr.size as i64;
        let (start, end) = match node.contents {
            Contents::Bytes(_) => (0, size),
            Contents::Sparse(at) => (at as i64, (at + BLOCK) as i64),
        };
        match whence {
            libc::SEEK_DATA if offset >= end => reply.error(Errno::ENXIO),
            libc::SEEK_DATA => reply.offset(offset.max(start)),
            _ if offset >= start && offset < end => reply.offset(end),
            _ => reply.offset(offset),
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
        for (number, next, name) in self.list(ino.0, offset) {
            let kind = self.shared.nodes.lock().get(&number).unwrap().attr.kind;
            if reply.add(INodeNo(number), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        if !self.behaviour.has_readdirplus {
            return reply.error(Errno::ENOSYS);
        }
        for (number, next, name) in self.list(ino.0, offset) {
            let attr = self.shared.nodes.lock().get(&number).unwrap().attr;
            let (inode, ttl, is_own) = (INodeNo(number), &self.behaviour.ttl, next <= 2);
            if reply.add(inode, next, name, ttl, &attr, Generation(0)) {
                break;
            }
            if !is_own {
                self.shared.entry(number);
            }
        }
        reply.ok();
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        if !self.behaviour.has_create {
            return reply.error(Errno::ENOSYS);
        }
        match self.make(parent, name, FileType::RegularFile, mode) {
            Ok(attr) => {
                self.shared.open_handles.fetch_add(1, Ordering::Relaxed);
                let flags = FopenFlags::empty();
                let ttl = &self.behaviour.ttl;
                reply.created(ttl, &attr, Generation(0), FileHandle(7), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn tmpfile(
        &self,
        _req: &Request,
        parent: INodeNo,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make(parent, OsStr::new("#tmp"), FileType::RegularFile, mode);
        let mut attr = made.unwrap();
        {
            let mut nodes = self.shared.nodes.lock();
            nodes
                .get_mut(&parent.0)
                .unwrap()
                .names
                .remove(OsStr::new("#tmp"));
            nodes.get_mut(&attr.ino.0).unwrap().attr.nlink = 0;
        }
        attr.nlink = 0;
        // A module that gives a descriptor of its own.
        let name = "test-tmpfile";
        let memory = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        self.shared.open_handles.fetch_add(1, Ordering::Relaxed);
        reply.created_descriptor(
            &self.behaviour.ttl,
            &attr,
            Generation(0),
            FileHandle(8),
            FopenFlags::empty(),
            memory,
        );
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.shared.set_xattr(ino.0, name.to_str().unwrap(), value);
        reply.ok();
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let nodes = self.shared.nodes.lock();
        match nodes.get(&ino.0).unwrap().xattrs.get(name) {
            None => reply.error(Errno::ENODATA),
            Some(value) if size == 0 => reply.size(value.len() as u32),
            Some(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
            Some(value) => reply.data(value),
        }
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, _size: u32, reply: ReplyXattr) {
        let nodes = self.shared.nodes.lock();
        let mut list = Vec::new();
        for name in nodes.get(&ino.0).unwrap().xattrs.keys() {
            list.extend_from_slice(name.as_encoded_bytes());
            list.push(0);
        }
        reply.data(&list);
    }
}
