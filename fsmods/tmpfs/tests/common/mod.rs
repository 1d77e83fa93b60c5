//! A filesystem with short names for its operations.
#![allow(dead_code)] // each test binary uses a part

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use fuse_compat::*;
use view_tmpfs::Tmpfs;

pub const ROOT: INodeNo = INodeNo::ROOT;
pub const NO_HANDLE: FileHandle = FileHandle(0);
pub const UID: u32 = 1000;
pub const GID: u32 = 2000;

pub struct T {
    pub fs: Arc<dyn Filesystem>,
    pub req: Request,
}

pub fn new(options: &str) -> T {
    let mut fs = Tmpfs::new(options).unwrap();
    let req = Request::new(1, UID, GID, 7);
    fs.init(&req, &mut KernelConfig::default()).unwrap();
    T {
        fs: Arc::new(fs),
        req,
    }
}

impl T {
    pub fn lookup(&self, parent: INodeNo, name: &str) -> Result<FileAttr, Errno> {
        sync::lookup(&*self.fs, &self.req, parent, OsStr::new(name)).map(|entry| entry.attr)
    }

    pub fn attr(&self, ino: INodeNo) -> FileAttr {
        sync::getattr(&*self.fs, &self.req, ino, None).unwrap().attr
    }

    pub fn mkdir(&self, parent: INodeNo, name: &str) -> Result<INodeNo, Errno> {
        sync::mkdir(&*self.fs, &self.req, parent, OsStr::new(name), 0o755, 0)
            .map(|entry| entry.attr.ino)
    }

    pub fn create(&self, parent: INodeNo, name: &str) -> Result<(FileAttr, OwnedFd), Errno> {
        let flags = libc::O_RDWR;
        sync::create(
            &*self.fs,
            &self.req,
            parent,
            OsStr::new(name),
            0o644,
            0,
            flags,
        )
        .map(|made| (made.entry.attr, made.open.descriptor.unwrap()))
    }

    /// A file that nobody holds open.
    pub fn file(&self, parent: INodeNo, name: &str) -> INodeNo {
        self.create(parent, name).unwrap().0.ino
    }

    pub fn mknod(
        &self,
        parent: INodeNo,
        name: &str,
        mode: u32,
        rdev: u32,
    ) -> Result<FileAttr, Errno> {
        sync::mknod(
            &*self.fs,
            &self.req,
            parent,
            OsStr::new(name),
            mode,
            0,
            rdev,
        )
        .map(|entry| entry.attr)
    }

    pub fn symlink(&self, parent: INodeNo, name: &str, target: &str) -> Result<FileAttr, Errno> {
        sync::symlink(
            &*self.fs,
            &self.req,
            parent,
            OsStr::new(name),
            Path::new(target),
        )
        .map(|entry| entry.attr)
    }

    pub fn link(&self, ino: INodeNo, parent: INodeNo, name: &str) -> Result<FileAttr, Errno> {
        sync::link(&*self.fs, &self.req, ino, parent, OsStr::new(name)).map(|entry| entry.attr)
    }

    pub fn unlink(&self, parent: INodeNo, name: &str) -> Result<(), Errno> {
        sync::unlink(&*self.fs, &self.req, parent, OsStr::new(name))
    }

    pub fn rmdir(&self, parent: INodeNo, name: &str) -> Result<(), Errno> {
        sync::rmdir(&*self.fs, &self.req, parent, OsStr::new(name))
    }

    pub fn rename(&self, from: (INodeNo, &str), to: (INodeNo, &str)) -> Result<(), Errno> {
        self.rename_with(from, to, RenameFlags::empty())
    }

    pub fn rename_with(
        &self,
        from: (INodeNo, &str),
        to: (INodeNo, &str),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let (name, new_name) = (OsStr::new(from.1), OsStr::new(to.1));
        sync::rename(&*self.fs, &self.req, from.0, name, to.0, new_name, flags)
    }

    /// Opens as the VFS does: the module's descriptor, opened again with the caller's flags.
    pub fn open(&self, ino: INodeNo, options: &OpenOptions) -> File {
        let open = sync::open(&*self.fs, &self.req, ino, OpenFlags(libc::O_RDONLY)).unwrap();
        reopen(&open.descriptor.unwrap(), options)
    }

    pub fn write(&self, ino: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let flags = WriteFlags::empty();
        sync::write(
            &*self.fs,
            &self.req,
            ino,
            NO_HANDLE,
            offset,
            data,
            flags,
            OpenFlags(0),
            None,
        )
    }

    pub fn read(&self, ino: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        sync::read(
            &*self.fs,
            &self.req,
            ino,
            NO_HANDLE,
            offset,
            size,
            OpenFlags(0),
            None,
        )
    }

    pub fn setattr(&self, ino: INodeNo, set: Set) -> Result<FileAttr, Errno> {
        sync::setattr(
            &*self.fs, &self.req, ino, set.mode, set.uid, set.gid, set.size, set.atime, set.mtime,
            None, None, None, None, None, None,
        )
        .map(|out| out.attr)
    }

    pub fn list(&self, ino: INodeNo) -> Vec<String> {
        let entries = sync::readdir(&*self.fs, &self.req, ino, NO_HANDLE, 0, 1 << 20).unwrap();
        let names = entries
            .into_iter()
            .map(|entry| entry.name.into_string().unwrap());
        names.filter(|name| name != "." && name != "..").collect()
    }

    pub fn set_xattr(
        &self,
        ino: INodeNo,
        name: &str,
        value: &[u8],
        flags: i32,
    ) -> Result<(), Errno> {
        sync::setxattr(&*self.fs, &self.req, ino, OsStr::new(name), value, flags, 0)
    }

    pub fn xattr(&self, ino: INodeNo, name: &str) -> Result<Vec<u8>, Errno> {
        match sync::getxattr(&*self.fs, &self.req, ino, OsStr::new(name), 65536)? {
            XattrOut::Data(data) => Ok(data),
            XattrOut::Size(_) => panic!("asked for the value"),
        }
    }

    pub fn forget(&self, ino: INodeNo, count: u64) {
        self.fs.forget(&self.req, ino, count);
    }
}

#[derive(Default)]
pub struct Set {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<TimeOrNow>,
    pub mtime: Option<TimeOrNow>,
}

pub fn reopen(descriptor: &OwnedFd, options: &OpenOptions) -> File {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    options.open(path).unwrap()
}
