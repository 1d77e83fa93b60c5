//! What the test filesystem answers.

use super::*;

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
