//! A small filesystem in memory for the tests: it counts its calls and the references it gave out.
//! `operations` has what it answers.

mod operations;

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
