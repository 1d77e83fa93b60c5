//! The `Filesystem` trait over host system calls.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuse_compat::*;
use rustix::fs::{Mode, OFlags, XattrFlags};

use crate::{Bind, object};

/// The host changes its files without asking: nothing may be cached.
const TTL: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);
/// There is no state per open file.
const NO_HANDLE: FileHandle = FileHandle(0);
/// Longest extended attribute and longest list of names (Linux `XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const XATTR_MAX_BYTES: u32 = 65536;
/// A getxattr(2) or listxattr(2), with a flag for symbolic links: answers the length, fills the buffer.
type XattrCall<'a> = &'a dyn Fn(&OsStr, bool, &mut [u8]) -> rustix::io::Result<usize>;
/// What stays valid over an open: the descriptor is the file.
const OPENED: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE;

fn reply_entry(attr: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match attr {
        Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
        Err(error) => reply.error(error),
    }
}

fn reply_attr(attr: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match attr {
        Ok(attr) => reply.attr(&TTL, &attr),
        Err(error) => reply.error(error),
    }
}

fn reply_empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn reply_create(made: Result<(FileAttr, OwnedFd), Errno>, reply: ReplyCreate) {
    match made {
        Ok((attr, descriptor)) => {
            reply.created_descriptor(&TTL, &attr, GENERATION, NO_HANDLE, OPENED, descriptor);
        }
        Err(error) => reply.error(error),
    }
}

fn raw_mode(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

fn open_flags(flags: i32) -> OFlags {
    OFlags::from_bits_retain(flags as u32)
}

impl Bind {
    /// Path for extended attributes of an inode, and whether it is a symbolic link's own (`l*xattr`).
    fn xattr_path(&self, ino: INodeNo) -> Result<(Arc<OwnedFd>, OsString, bool), Errno> {
        let found = self.object(ino)?;
        let stat = rustix::fs::fstat(&found)?;
        if !object::is_kind(&stat, FileType::Symlink) {
            let link = object::magic_link(&found).into();
            return Ok((found, link, false));
        }
        let place = self.table().name(ino).map(|(p, n)| (p, n.to_owned()));
        let (parent, name) = place.ok_or(Errno::ENOENT)?;
        let directory = self.object(parent)?;
        let mut path: OsString = object::magic_link(&directory).into();
        path.push("/");
        path.push(name);
        Ok((directory, path, true))
    }

    fn xattr_answer(&self, ino: INodeNo, size: u32, reply: ReplyXattr, call: XattrCall<'_>) {
        let answer = self.xattr_path(ino).and_then(|(_holds, path, is_link)| {
            // The length alone is asked for with the largest buffer too: one call for both.
            let room = if size == 0 {
                XATTR_MAX_BYTES
            } else {
                size.min(XATTR_MAX_BYTES)
            };
            let mut value = vec![0; room as usize];
            let length = call(&path, is_link, &mut value)?;
            value.truncate(length);
            Ok((length, value))
        });
        match answer {
            Ok((length, _)) if size == 0 => match u32::try_from(length) {
                Ok(length) => reply.size(length),
                Err(_) => reply.error(Errno::E2BIG),
            },
            Ok((_, value)) => reply.data(&value),
            Err(error) => reply.error(error),
        }
    }

    fn open_file(&self, ino: INodeNo, flags: OpenFlags) -> Result<OwnedFd, Errno> {
        let found = self.object(ino)?;
        let stat = rustix::fs::fstat(&found)?;
        if object::is_kind(&stat, FileType::Directory) {
            return Err(Errno::EISDIR);
        }
        object::open(&found, open_flags(flags.0))
    }

    fn create_file(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: OFlags,
    ) -> Result<(FileAttr, OwnedFd), Errno> {
        let directory = self.object(parent)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let exclusive = flags | OFlags::CREATE | OFlags::EXCL;
        match rustix::fs::openat(&directory, name, exclusive, raw_mode(mode)) {
            Ok(file) => Ok((self.made(req, parent, name, Some(mode))?, file)),
            // Somebody else made it meanwhile: without O_EXCL that file is as good.
            Err(rustix::io::Errno::EXIST) if !flags.contains(OFlags::EXCL) => {
                let attr = self.lookup(parent, name)?;
                let opened = self.open_file(attr.ino, OpenFlags(flags.bits() as i32));
                if opened.is_err() {
                    self.table().forget(attr.ino, 1);
                }
                Ok((attr, opened?))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Filesystem for Bind {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The host filesystem inherits ACLs itself, so it needs modes without the umask applied.
        for wish in [
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_PASSTHROUGH,
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_EXPORT_SUPPORT,
        ] {
            let _not_offered = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn host_root(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply_entry(Bind::lookup(self, parent, name), reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, nlookup: u64) {
        self.table().forget(ino, nlookup);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply_attr(self.attr(ino), reply);
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
        let attr = self.object(ino).and_then(|found| {
            if let Some(size) = size {
                object::set_size(&found, size)?;
            }
            if uid.is_some() || gid.is_some() {
                object::set_owner(&found, uid, gid)?;
            }
            if let Some(mode) = mode {
                object::set_mode(&found, mode)?;
            }
            if atime.is_some() || mtime.is_some() {
                object::set_times(&found, atime, mtime)?;
            }
            object::attr(&found, &rustix::fs::fstat(&found)?, ino)
        });
        reply_attr(attr, reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let target = self.object(ino).and_then(|found| {
            let stat = rustix::fs::fstat(&found)?;
            if !object::is_kind(&stat, FileType::Symlink) {
                return Err(Errno::EINVAL);
            }
            Ok(rustix::fs::readlinkat(&found, "", Vec::new())?)
        });
        match target {
            Ok(target) => reply.data_vec(target.into_bytes()),
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
        let attr = self.object(parent).and_then(|directory| {
            let mode = Bind::creation_mode(&directory, mode, umask);
            let kind = match mode & libc::S_IFMT {
                0 => libc::S_IFREG,
                kind => kind,
            };
            let kind = rustix::fs::FileType::from_raw_mode(kind);
            rustix::fs::mknodat(&directory, name, kind, raw_mode(mode), rdev.into())?;
            self.made(req, parent, name, Some(mode))
        });
        reply_entry(attr, reply);
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
        let attr = self.object(parent).and_then(|directory| {
            let mode = Bind::creation_mode(&directory, mode & 0o1777, umask);
            rustix::fs::mkdirat(&directory, name, raw_mode(mode))?;
            self.made(req, parent, name, Some(mode))
        });
        reply_entry(attr, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(self.remove(parent, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(self.remove(parent, name, true), reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let attr = self.object(parent).and_then(|directory| {
            rustix::fs::symlinkat(target, &directory, link_name)?;
            self.made(req, parent, link_name, None)
        });
        reply_entry(attr, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let result = Bind::rename(self, (parent, name), (newparent, newname), flags);
        reply_empty(result, reply);
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply_entry(Bind::link(self, ino, newparent, newname), reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(ino, flags) {
            Ok(descriptor) => reply.opened_descriptor(NO_HANDLE, descriptor, OPENED),
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
        let data = self.object(ino);
        match data.and_then(|found| object::read(&found, offset, size)) {
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
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.object(ino);
        match written.and_then(|found| object::write(&found, offset, data, open_flags(flags.0))) {
            Ok(count) => reply.written(count),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let result = self.object(ino);
        reply_empty(
            result.and_then(|found| object::sync(&found, datasync)),
            reply,
        );
    }

    fn fsyncdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let result = self.object(ino);
        reply_empty(
            result.and_then(|found| object::sync(&found, datasync)),
            reply,
        );
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.open_listing(ino) {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.close_listing(fh);
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.list(ino, fh, offset, &mut |entry, number| {
            // Some filesystems do not say; the host's lookup will tell the truth.
            let kind = entry.kind.unwrap_or(FileType::RegularFile);
            reply.add(number, entry.offset, kind, &entry.name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.list(ino, fh, offset, &mut |entry, number| {
            let is_dot = entry.name == "." || entry.name == "..";
            let found = if is_dot {
                self.attr(number)
            } else {
                Bind::lookup(self, ino, &entry.name)
            };
            let Ok(attr) = found else {
                return false; // gone meanwhile
            };
            let is_full = reply.add(attr.ino, entry.offset, &entry.name, &TTL, &attr, GENERATION);
            if is_full && !is_dot {
                self.table().forget(attr.ino, 1);
            }
            is_full
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        match self.object(ino).and_then(|found| object::statfs(&found)) {
            Ok(s) => reply.statfs(
                s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.bsize, s.namelen, s.frsize,
            ),
            Err(error) => reply.error(error),
        }
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
        let flags = XattrFlags::from_bits_retain(flags as u32);
        let result = self.xattr_path(ino).and_then(|(_holds, path, is_link)| {
            match is_link {
                true => rustix::fs::lsetxattr(&path, name, value, flags)?,
                false => rustix::fs::setxattr(&path, name, value, flags)?,
            }
            Ok(())
        });
        reply_empty(result, reply);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.xattr_answer(ino, size, reply, &|path, is_link, value| match is_link {
            true => rustix::fs::lgetxattr(path, name, value),
            false => rustix::fs::getxattr(path, name, value),
        });
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.xattr_answer(ino, size, reply, &|path, is_link, value| match is_link {
            true => rustix::fs::llistxattr(path, value),
            false => rustix::fs::listxattr(path, value),
        });
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let result = self.xattr_path(ino).and_then(|(_holds, path, is_link)| {
            match is_link {
                true => rustix::fs::lremovexattr(&path, name)?,
                false => rustix::fs::removexattr(&path, name)?,
            }
            Ok(())
        });
        reply_empty(result, reply);
    }

    fn access(&self, _: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let result = self.object(ino);
        reply_empty(result.and_then(|found| object::access(&found, mask)), reply);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.object(parent).and_then(|directory| {
            let mode = Bind::creation_mode(&directory, mode, umask);
            self.create_file(req, parent, name, mode, open_flags(flags))
        });
        reply_create(made, reply);
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
        let made = self.object(parent).and_then(|directory| {
            let mode = Bind::creation_mode(&directory, mode, umask);
            self.make_unnamed(req, parent, mode, open_flags(flags))
        });
        reply_create(made, reply);
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
        let result = self.object(ino);
        reply_empty(
            result.and_then(|found| object::allocate(&found, mode, offset, length)),
            reply,
        );
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
        let found = self.object(ino);
        match found.and_then(|found| object::seek(&found, offset, whence)) {
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
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let copied = self.object(ino_in).and_then(|from| {
            let to = self.object(ino_out)?;
            object::copy(&from, offset_in, &to, offset_out, len)
        });
        match copied {
            Ok(count) => reply.written(count),
            Err(error) => reply.error(error),
        }
    }
}
