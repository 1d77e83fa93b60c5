//! The `Filesystem` trait over the tree: takes the lock, asks, answers.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuse_compat::*;

use crate::Tmpfs;
use crate::attr::Change;
use crate::contents::Contents;
use crate::directory::{POSITION_DOT, POSITION_DOT_DOT};
use crate::names::New;
use crate::tree::{Node, Tree};
use crate::xattr;

/// Attributes change without the host asking (native writes): it must ask each time.
const ATTR_TTL: Duration = Duration::ZERO;
/// Names change only when the host asks for it.
const ENTRY_TTL: Duration = Duration::from_secs(3600);
/// Inode numbers are not used again.
const GENERATION: Generation = Generation(0);
/// There is no state per open file.
const NO_HANDLE: FileHandle = FileHandle(0);

/// Answers an entry and counts the host's reference.
fn reply_entry(tree: &mut Tree, found: Result<INodeNo, Errno>, reply: ReplyEntry) {
    let entry = found.and_then(|ino| {
        let attr = tree.attr(ino)?;
        tree.reference(ino)?;
        Ok(attr)
    });
    match entry {
        Ok(attr) => reply.entry_with_ttls(&ATTR_TTL, &ENTRY_TTL, &attr, GENERATION),
        Err(error) => reply.error(error),
    }
}

fn reply_empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn reply_xattr(value: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match value.and_then(|value| xattr::fit(value, size)) {
        Ok(XattrOut::Size(length)) => reply.size(length),
        Ok(XattrOut::Data(data)) => reply.data(&data),
        Err(error) => reply.error(error),
    }
}

/// Answers a new open file with its memfd.
fn reply_create(tree: &mut Tree, made: Result<INodeNo, Errno>, reply: ReplyCreate) {
    let ino = match made {
        Ok(ino) => ino,
        Err(error) => return reply.error(error),
    };
    let opened = tree.contents(ino).and_then(|contents| {
        let descriptor = contents.descriptor()?;
        let attr = tree.attr(ino)?;
        tree.reference(ino)?;
        Ok((attr, descriptor))
    });
    match opened {
        Ok((attr, descriptor)) => reply.created_descriptor(
            &ATTR_TTL,
            &attr,
            GENERATION,
            NO_HANDLE,
            FopenFlags::FOPEN_KEEP_CACHE,
            descriptor,
        ),
        Err(error) => {
            tree.drop_if_unused(ino);
            reply.error(error);
        }
    }
}

impl Tmpfs {
    /// A regular file's memfd, with room for a range that is about to be filled.
    fn contents_with_room(
        &self,
        ino: INodeNo,
        offset: u64,
        length: u64,
    ) -> Result<Arc<Contents>, Errno> {
        let mut tree = self.tree.lock();
        let contents = tree.contents(ino)?;
        let missing = contents.missing_bytes(offset, length)?;
        if missing > 0 {
            tree.require_space(missing)?;
        }
        Ok(contents)
    }
}

impl Filesystem for Tmpfs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The umask is applied here, because a default ACL takes its place. A host that offers less is fine.
        for wish in [
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_PASSTHROUGH,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_EXPORT_SUPPORT,
        ] {
            let _not_offered = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = self.tree.lock();
        let found = tree.lookup(parent, name);
        reply_entry(&mut tree, found, reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.tree.lock().forget(ino, nlookup);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attr = self.tree.lock().attr(ino);
        match attr {
            Ok(attr) => reply.attr(&ATTR_TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
        };
        let mut tree = self.tree.lock();
        let changed = tree.set_attr(ino, &change);
        match changed.and_then(|()| tree.attr(ino)) {
            Ok(attr) => reply.attr(&ATTR_TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let mut tree = self.tree.lock();
        tree.accessed(ino);
        match tree.inode(ino).map(|inode| &inode.node) {
            Ok(Node::Symlink(target)) => reply.data(target.as_bytes()),
            Ok(_) => reply.error(Errno::EINVAL),
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
        let new = match FileType::from_mode(mode) {
            // mknod(2): no kind means a regular file.
            None if mode & libc::S_IFMT == 0 => New::Regular,
            None => return reply.error(Errno::EINVAL),
            Some(FileType::RegularFile) => New::Regular,
            Some(FileType::Directory) => return reply.error(Errno::EPERM),
            Some(FileType::Symlink) => return reply.error(Errno::EINVAL),
            Some(kind @ (FileType::CharDevice | FileType::BlockDevice)) => New::Special(kind, rdev),
            Some(kind) => New::Special(kind, 0),
        };
        let mut tree = self.tree.lock();
        let made = tree.create(req, parent, name, &new, mode, umask);
        reply_entry(&mut tree, made, reply);
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
        let mode = mode & 0o1777;
        let mut tree = self.tree.lock();
        let made = tree.create(req, parent, name, &New::Directory, mode, umask);
        reply_entry(&mut tree, made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.tree.lock().unlink(parent, name);
        reply_empty(result, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.tree.lock().rmdir(parent, name);
        reply_empty(result, reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.as_os_str();
        if target.is_empty() {
            return reply.error(Errno::ENOENT);
        }
        if target.len() >= libc::PATH_MAX as usize {
            return reply.error(Errno::ENAMETOOLONG);
        }
        let mut tree = self.tree.lock();
        let made = tree.create(req, parent, link_name, &New::Symlink(target), 0o777, 0);
        reply_entry(&mut tree, made, reply);
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
        let mut tree = self.tree.lock();
        reply_empty(
            tree.rename(req, parent, name, newparent, newname, flags),
            reply,
        );
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let mut tree = self.tree.lock();
        let linked = tree.link(ino, newparent, newname).map(|()| ino);
        reply_entry(&mut tree, linked, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let contents = self.tree.lock().contents(ino);
        let descriptor = contents.and_then(|contents| {
            if flags.0 & libc::O_TRUNC != 0 {
                contents.set_size(0)?;
            }
            contents.descriptor()
        });
        match descriptor {
            Ok(fd) => reply.opened_descriptor(NO_HANDLE, fd, FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let contents = self.tree.lock().contents(ino);
        match contents.and_then(|contents| contents.read(offset, size)) {
            Ok(data) => reply.data_vec(data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let contents = self.contents_with_room(ino, offset, data.len() as u64);
        let mut written = contents.and_then(|contents| contents.write(offset, data));
        if written.is_ok() && write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
            written = self.tree.lock().drop_set_id(ino);
        }
        match (written, u32::try_from(data.len())) {
            (Ok(()), Ok(count)) => reply.written(count),
            (Ok(()), Err(_)) => reply.error(Errno::EINVAL),
            (Err(error), _) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let tree = self.tree.lock();
        match tree.directory(ino) {
            Ok(_) => reply.opened(NO_HANDLE, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut tree = self.tree.lock();
        tree.accessed(ino);
        let directory = match tree.directory(ino) {
            Ok(directory) => directory,
            Err(error) => return reply.error(error),
        };
        let parent = directory.parent;
        let dots = [(POSITION_DOT, ".", ino), (POSITION_DOT_DOT, "..", parent)];
        for (position, name, target) in dots {
            if position > offset && reply.add(target, position, FileType::Directory, name) {
                return reply.ok();
            }
        }
        for (position, name, target) in directory.after(offset) {
            let Ok(inode) = tree.inode(target) else {
                continue;
            };
            if reply.add(target, position, inode.kind(), name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        /// More do not fit into one answer of 1 MiB anyway.
        const MOST_NAMES: usize = 8192;
        let mut tree = self.tree.lock();
        tree.accessed(ino);
        let directory = match tree.directory(ino) {
            Ok(directory) => directory,
            Err(error) => return reply.error(error),
        };
        let dots = [
            (POSITION_DOT, OsStr::new("."), ino),
            (POSITION_DOT_DOT, OsStr::new(".."), directory.parent),
        ];
        let names: Vec<_> = dots
            .into_iter()
            .filter(|(position, ..)| *position > offset)
            .chain(directory.after(offset))
            .take(MOST_NAMES)
            .map(|(position, name, target)| (position, name.to_owned(), target))
            .collect();
        for (position, name, target) in names {
            let Ok(attr) = tree.attr(target) else {
                continue;
            };
            if reply.add(target, position, &name, &ATTR_TTL, &attr, GENERATION) {
                break;
            }
            if position > POSITION_DOT_DOT {
                // The inode exists: its attributes were just read.
                let _counted = tree.reference(target);
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let s = self.tree.lock().statfs();
        reply.statfs(
            s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.bsize, s.namelen, s.frsize,
        );
    }

    fn setxattr(
        &self,
        _: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let result = self.tree.lock().set_xattr(ino, name, value, flags);
        reply_empty(result, reply);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = self.tree.lock().xattr(ino, name).map(<[u8]>::to_vec);
        reply_xattr(value, size, reply);
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.tree.lock().xattr_names(ino);
        reply_xattr(names, size, reply);
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.tree.lock().remove_xattr(ino, name);
        reply_empty(result, reply);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut tree = self.tree.lock();
        let made = tree.create(req, parent, name, &New::Regular, mode, umask);
        reply_create(&mut tree, made, reply);
    }

    fn tmpfile(
        &self,
        req: &Request,
        parent: INodeNo,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let is_linkable = flags & libc::O_EXCL == 0;
        let mut tree = self.tree.lock();
        let made = tree.create_unnamed(req, parent, mode, umask, is_linkable);
        reply_create(&mut tree, made, reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let is_punch = mode & libc::FALLOC_FL_PUNCH_HOLE != 0;
        let needed = if is_punch { 0 } else { length };
        let contents = self.contents_with_room(ino, offset, needed);
        let result = contents.and_then(|contents| contents.allocate(mode, offset, length));
        reply_empty(result, reply);
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let contents = self.tree.lock().contents(ino);
        match contents.and_then(|contents| contents.seek(offset, whence)) {
            Ok(position) => reply.offset(position),
            Err(error) => reply.error(error),
        }
    }

    fn copy_file_range(
        &self,
        _: &Request,
        ino_in: INodeNo,
        _: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _: FileHandle,
        offset_out: u64,
        len: u64,
        flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        /// What fits into the answer.
        const MOST_BYTES: u64 = 1 << 30;
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let source = self.tree.lock().contents(ino_in);
        let copied = source.and_then(|source| {
            // cp(1) asks for more than there is.
            let rest = source.size_bytes()?.saturating_sub(offset_in);
            let len = len.min(rest).min(MOST_BYTES);
            let target = self.contents_with_room(ino_out, offset_out, len)?;
            source.copy_to(offset_in, &target, offset_out, len)
        });
        match copied.map(u32::try_from) {
            Ok(Ok(count)) => reply.written(count),
            Ok(Err(_)) => reply.error(Errno::EOVERFLOW),
            Err(error) => reply.error(error),
        }
    }
}
