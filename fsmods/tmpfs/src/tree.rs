//! Inodes, the references on them, and the limits of the filesystem.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fuse_compat::{Errno, FileType, INodeNo, StatfsOut};
use rustix::time::ClockId;

use crate::contents::Contents;
use crate::directory::Directory;
use crate::options::{BLOCK_BYTES, Options};

/// Longest name in bytes.
pub(crate) const NAME_MAX: usize = 255;
/// So small a part of the size is let pass by a figure that is not quite new.
const FEW_PART: u64 = 64;

#[derive(Debug)]
pub(crate) enum Node {
    Regular(Arc<Contents>),
    Directory(Directory),
    /// The target.
    Symlink(OsString),
    /// A FIFO, socket or device node with its device number.
    Special(FileType, u32),
}

#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) node: Node,
    pub(crate) perm: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    /// Times; those of a regular file are the memfd's, except `crtime`.
    pub(crate) atime: SystemTime,
    pub(crate) mtime: SystemTime,
    pub(crate) ctime: SystemTime,
    pub(crate) crtime: SystemTime,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// References of the host (lookups without their forgets).
    pub(crate) references: u64,
    /// Made by O_TMPFILE without O_EXCL: may get a name although it has none.
    pub(crate) is_linkable: bool,
}

impl Inode {
    pub(crate) fn new(node: Node, perm: u16, uid: u32, gid: u32) -> Inode {
        let now = now();
        Inode {
            nlink: if matches!(node, Node::Directory(_)) {
                2
            } else {
                1
            },
            node,
            perm,
            uid,
            gid,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            xattrs: BTreeMap::new(),
            references: 0,
            is_linkable: false,
        }
    }

    pub(crate) fn kind(&self) -> FileType {
        match &self.node {
            Node::Regular(_) => FileType::RegularFile,
            Node::Directory(_) => FileType::Directory,
            Node::Symlink(_) => FileType::Symlink,
            Node::Special(kind, _) => *kind,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory(_))
    }

    /// The inode changes: sets ctime.
    pub(crate) fn touch(&mut self) -> Result<(), Errno> {
        if let Node::Regular(contents) = &self.node {
            // The memfd's ctime counts, and the kernel's own clock ticks set it: no reading of a clock can be ahead of
            // a native write that comes later. The memfd may have lost set-id bits meanwhile: keep it so.
            let stat = contents.stat()?;
            self.perm = drop_lost_set_id(self.perm, Contents::set_id_bits(&stat));
            return contents.set_mode(self.perm);
        }
        self.ctime = now();
        Ok(())
    }

    /// The directory's names change: sets mtime and ctime.
    pub(crate) fn touch_names(&mut self) {
        self.ctime = now();
        self.mtime = self.ctime;
    }
}

/// Permission bits without the set-id bits that the memfd (which has `kept`) has lost.
pub(crate) fn drop_lost_set_id(perm: u16, kept: u16) -> u16 {
    perm & (!crate::contents::SET_ID_BITS | kept)
}

/// The time as the kernel stamps files: the clock of the last tick.
pub(crate) fn now() -> SystemTime {
    let time = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
    fuse_compat::time::system_time(time.tv_sec, time.tv_nsec as u32)
}

/// What the memfds took when they were last counted. They grow natively, so the sum is only an estimate.
#[derive(Debug)]
struct Usage {
    bytes: u64,
    counted_at: Option<Instant>,
    cost: Duration,
}

#[derive(Debug)]
pub(crate) struct Tree {
    inodes: HashMap<u64, Inode>,
    next_ino: u64,
    size_bytes: u64,
    nr_inodes: u64,
    usage: Usage,
}

impl Tree {
    pub(crate) fn new(options: &Options) -> Tree {
        let node = Node::Directory(Directory::new(INodeNo::ROOT));
        let mut root = Inode::new(node, options.mode, options.uid, options.gid);
        root.references = 1; // never forgotten
        Tree {
            inodes: HashMap::from([(INodeNo::ROOT.0, root)]),
            next_ino: INodeNo::ROOT.0 + 1,
            size_bytes: options.size_bytes,
            nr_inodes: options.nr_inodes,
            usage: Usage {
                bytes: 0,
                counted_at: None,
                cost: Duration::ZERO,
            },
        }
    }

    /// Number of inodes, for tests of their life.
    #[cfg(test)]
    pub(crate) fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    /// Errors: `ESTALE` when the host asks for an inode that it has forgotten.
    pub(crate) fn inode(&self, ino: INodeNo) -> Result<&Inode, Errno> {
        self.inodes.get(&ino.0).ok_or(Errno::ESTALE)
    }

    pub(crate) fn inode_mut(&mut self, ino: INodeNo) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&ino.0).ok_or(Errno::ESTALE)
    }

    pub(crate) fn directory(&self, ino: INodeNo) -> Result<&Directory, Errno> {
        match &self.inode(ino)?.node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(crate) fn directory_mut(&mut self, ino: INodeNo) -> Result<&mut Directory, Errno> {
        match &mut self.inode_mut(ino)?.node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The memfd of a regular file. Errors: `EISDIR`, `EINVAL`.
    pub(crate) fn contents(&self, ino: INodeNo) -> Result<Arc<Contents>, Errno> {
        match &self.inode(ino)?.node {
            Node::Regular(contents) => Ok(Arc::clone(contents)),
            Node::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Stores a new inode. Errors: `ENOSPC` when there are too many.
    pub(crate) fn add(&mut self, inode: Inode) -> Result<INodeNo, Errno> {
        if self.inodes.len() as u64 >= self.nr_inodes {
            return Err(Errno::ENOSPC);
        }
        let ino = INodeNo(self.next_ino);
        self.next_ino += 1;
        self.inodes.insert(ino.0, inode);
        Ok(ino)
    }

    /// One more reference of the host.
    pub(crate) fn reference(&mut self, ino: INodeNo) -> Result<(), Errno> {
        self.inode_mut(ino)?.references += 1;
        Ok(())
    }

    /// The host hands back references.
    pub(crate) fn forget(&mut self, ino: INodeNo, count: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino.0) {
            if ino != INodeNo::ROOT {
                inode.references = inode.references.saturating_sub(count);
            }
            self.drop_if_unused(ino);
        }
    }

    /// An inode without names and references is gone.
    pub(crate) fn drop_if_unused(&mut self, ino: INodeNo) {
        let is_unused = |inode: &Inode| inode.nlink == 0 && inode.references == 0;
        if self.inodes.get(&ino.0).is_some_and(is_unused) {
            self.inodes.remove(&ino.0);
        }
    }

    /// Counts what the files take.
    fn count_usage(&mut self) -> u64 {
        let start = Instant::now();
        let blocks = |inode: &Inode| match &inode.node {
            Node::Regular(contents) => contents.stat().map_or(0, |stat| stat.st_blocks as u64),
            _ => 0,
        };
        let bytes = self.inodes.values().map(blocks).sum::<u64>() * 512;
        self.usage = Usage {
            bytes,
            counted_at: Some(start),
            cost: start.elapsed(),
        };
        bytes
    }

    /// Is there room for this many more bytes? Counting costs a system call for each file, so for few bytes it is done
    /// seldom: at most a twentieth of the time, and whenever the answer would be no. Errors: `ENOSPC`.
    pub(crate) fn require_space(&mut self, bytes: u64) -> Result<(), Errno> {
        if self.size_bytes == u64::MAX {
            return Ok(());
        }
        let size_bytes = self.size_bytes;
        let fits = |used: u64| {
            let total = used.checked_add(bytes);
            total.is_some_and(|total| total <= size_bytes && used < size_bytes)
        };
        let shelf_life = (self.usage.cost * 20).max(Duration::from_millis(50));
        let is_fresh = self
            .usage
            .counted_at
            .is_some_and(|time| time.elapsed() < shelf_life);
        let are_few = bytes <= size_bytes / FEW_PART;
        if is_fresh && are_few && fits(self.usage.bytes) {
            self.usage.bytes += bytes;
            return Ok(());
        }
        if !fits(self.count_usage()) {
            return Err(Errno::ENOSPC);
        }
        self.usage.bytes += bytes;
        Ok(())
    }

    pub(crate) fn statfs(&mut self) -> StatfsOut {
        let used = self.count_usage().div_ceil(BLOCK_BYTES);
        let inodes = self.inodes.len() as u64;
        // Without a limit Linux's tmpfs reports 0 of everything.
        let (blocks, free) = match self.size_bytes {
            u64::MAX => (0, 0),
            size => {
                let blocks = size.div_ceil(BLOCK_BYTES);
                (blocks, blocks.saturating_sub(used))
            }
        };
        let (files, files_free) = match self.nr_inodes {
            u64::MAX => (0, 0),
            limit => (limit, limit.saturating_sub(inodes)),
        };
        StatfsOut {
            blocks,
            bfree: free,
            bavail: free,
            files,
            ffree: files_free,
            bsize: BLOCK_BYTES as u32,
            namelen: NAME_MAX as u32,
            frsize: BLOCK_BYTES as u32,
        }
    }
}
