//! open, create and O_TMPFILE, with the checks of Linux's `do_open`, `may_open` and `lookup_open` in their order.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use fuse_compat::{
    CreateOut, FileHandle, FopenFlags, InitFlags, LockOwner, OpenFlags, OpenOut, sync,
};
use rustix::io::Errno;

use super::clock;
use super::dentry::Dentry;
use super::inode::Inode;
use super::instance::Operation;
use super::lookup::os_str;
use super::module_error;
use crate::attributes::{Identity, Kind};
use crate::credentials::Caller;
use crate::page_cache::{ContentSource, NextData, Stamp, Wanted, reopen};
use crate::permission::{MAY_READ, MAY_WRITE};

/// What an open gave.
#[derive(Debug)]
pub enum Opened {
    /// A regular file.
    File(OpenedFile),
    /// A directory: the caller makes a descriptor that stands for it.
    Directory,
    /// A FIFO: the caller makes a descriptor that stands for it.
    Fifo,
    /// A device node with its `st_rdev`: what that means is the caller's to say.
    Device(Kind, u64),
}

/// A descriptor for a regular file.
#[derive(Debug)]
pub struct OpenedFile {
    /// A new open file description with the caller's access mode and status flags; close-on-exec on this side.
    pub descriptor: OwnedFd,
    /// What identifies the file behind it.
    pub identity: Identity,
    /// It is the module's own file: reads and writes go there.
    pub is_passthrough: bool,
}

/// Flags that a module does not get in `open`.
const HOST_FLAGS: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_NOCTTY | libc::O_TRUNC;

/// Does the access mode ask for writing?
fn wants_write(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY
}

/// The permissions that an open needs. Access mode 3 (ioctl only) needs both.
fn access_mask(flags: i32) -> u32 {
    let mask = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => MAY_READ,
        libc::O_WRONLY => MAY_WRITE,
        _ => MAY_READ | MAY_WRITE,
    };
    match flags & libc::O_TRUNC {
        0 => mask,
        _ => mask | MAY_WRITE,
    }
}

impl Dentry {
    /// open(2) of what exists, without creating. `display_path` is the path in the view. `O_PATH` is not for here.
    ///
    /// # Errors
    /// Those of [`Dentry::check_open`], `ENXIO` for a socket, and those of the module. A file of a module that gives
    /// no descriptors cannot be opened for writing yet: `EROFS`.
    pub fn open(
        self: &Arc<Self>,
        flags: i32,
        display_path: &[u8],
        caller: &Caller,
    ) -> Result<Opened, Errno> {
        self.check_open(flags, caller)?;
        match self.kind() {
            Kind::RegularFile => self
                .open_regular(flags, display_path, caller)
                .map(Opened::File),
            Kind::Directory => Ok(Opened::Directory),
            Kind::NamedPipe => Ok(Opened::Fifo),
            Kind::Socket => Err(Errno::NXIO),
            Kind::Symlink => Err(Errno::LOOP),
            kind @ (Kind::CharDevice | Kind::BlockDevice) => {
                Ok(Opened::Device(kind, self.attributes()?.rdev))
            }
        }
    }

    /// The checks of an open of what exists.
    ///
    /// # Errors
    /// `ENOTDIR` (O_DIRECTORY), `ELOOP` for a link, `EISDIR` for writing to a directory, `EROFS`, `EACCES`, `EPERM`
    /// (O_NOATIME).
    pub fn check_open(&self, flags: i32, caller: &Caller) -> Result<(), Errno> {
        let kind = self.kind();
        if flags & libc::O_CREAT != 0 && kind == Kind::Directory {
            return Err(Errno::ISDIR);
        }
        if flags & libc::O_DIRECTORY != 0 && kind != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        let is_regular = kind == Kind::RegularFile;
        if is_regular && flags & libc::O_TRUNC != 0 {
            self.check_writable(caller)?;
        }
        let mask = access_mask(flags);
        match kind {
            Kind::Symlink => return Err(Errno::LOOP),
            Kind::Directory if mask & MAY_WRITE != 0 => return Err(Errno::ISDIR),
            _ => {}
        }
        self.check_access(caller, mask)?;
        if flags & libc::O_NOATIME != 0 && !self.is_owned_by(caller)? {
            return Err(Errno::PERM);
        }
        if is_regular && wants_write(flags) {
            self.check_writable(caller)?;
        }
        Ok(())
    }

    /// open(2) with `O_CREAT` of `name` in this directory. Answers the file, and whether it was created.
    ///
    /// # Errors
    /// `EEXIST` (O_EXCL), `EISDIR`, `ELOOP` for a link (the resolver follows it first), `EROFS`, `EACCES`; those of
    /// [`Dentry::open`] and of the module.
    pub fn create_and_open(
        self: &Arc<Self>,
        name: &[u8],
        flags: i32,
        mode: u32,
        display_path: &[u8],
        caller: &Caller,
    ) -> Result<(Arc<Dentry>, Opened, bool), Errno> {
        if flags & libc::O_DIRECTORY != 0 {
            return Err(Errno::INVAL);
        }
        // Somebody else may make or remove the name in between; each time the kernel would look again as well.
        for _ in 0..16 {
            match self.lookup(name) {
                Ok(_) if flags & libc::O_EXCL != 0 => return Err(Errno::EXIST),
                Ok(found) => match found.open(flags, display_path, caller) {
                    Ok(opened) => return Ok((found, opened, false)),
                    Err(Errno::NOENT | Errno::STALE) => self.forget_name(name),
                    Err(error) => return Err(error),
                },
                Err(Errno::NOENT) => {
                    match self.create_regular(name, flags, mode, display_path, caller) {
                        Ok((dentry, file)) => return Ok((dentry, Opened::File(file), true)),
                        Err(Errno::EXIST) => self.forget_name(name),
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(Errno::BUSY)
    }

    /// open(2) with `O_TMPFILE` in this directory: a file without a name.
    ///
    /// # Errors
    /// `ENOTDIR`, `EROFS`, `EACCES`, `EINVAL` without write access, `EOPNOTSUPP`; those of the module.
    pub fn create_temporary(
        self: &Arc<Self>,
        flags: i32,
        mode: u32,
        display_path: &[u8],
        caller: &Caller,
    ) -> Result<(Arc<Dentry>, Opened), Errno> {
        if !wants_write(flags) {
            return Err(Errno::INVAL);
        }
        if self.kind() != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        self.check_writable(caller)?;
        self.may_create(caller)?;
        let instance = self.instance();
        let seen = instance.changes();
        let request = instance.request_of(&caller.credentials);
        let answer = sync::tmpfile(
            instance.module(),
            &request,
            self.inode().number(),
            libc::S_IFREG | instance.mode_for_module(mode & 0o7777, caller),
            caller.umask,
            flags & !HOST_FLAGS,
        );
        let created = match answer {
            Err(fuse_compat::Errno::ENOSYS) => return Err(Errno::OPNOTSUPP),
            other => other.map_err(module_error)?,
        };
        let inode = instance.adopt(&created.entry, seen);
        inode.set_linkable(flags & libc::O_EXCL == 0);
        let name: Arc<[u8]> = Arc::from(format!("#{}", inode.number()).into_bytes());
        let dentry = Dentry::new(inode, Some(Arc::clone(self)), name, clock::EXPIRED);
        dentry.set_deleted();
        let file = dentry.finish_open(created.open, flags, display_path)?;
        Ok((dentry, Opened::File(file)))
    }

    /// fsync(2), or fdatasync(2) when `data_only`, of a file or directory.
    ///
    /// # Errors
    /// Those of the module.
    pub fn synchronize(&self, data_only: bool) -> Result<(), Errno> {
        let instance = self.instance();
        if instance.is_read_only() {
            return Ok(());
        }
        match self.kind() {
            Kind::Directory => return self.synchronize_directory(data_only),
            Kind::RegularFile => {}
            _ => return Err(Errno::INVAL),
        }
        if instance.lacks(Operation::Fsync) {
            return Ok(());
        }
        let file = OpenFile::open(self.inode(), libc::O_RDONLY, None)?;
        let request = instance.own_request();
        let (number, handle) = (self.inode().number(), file.handle);
        match sync::fsync(instance.module(), &request, number, handle, data_only) {
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::Fsync);
                Ok(())
            }
            other => other.map_err(module_error),
        }
    }

    /// Is the backing file `identity` of this regular file open, or mapped, in any process? What cannot be found out
    /// counts as open.
    pub fn is_opened_elsewhere(&self, identity: Identity) -> bool {
        if self.kind() != Kind::RegularFile {
            return false;
        }
        let cache = self.instance().page_cache();
        if let Some(is_open) = cache.is_open(self.inode().file_key(), identity) {
            return is_open;
        }
        let Ok(file) = OpenFile::open(self.inode(), libc::O_RDONLY, None) else {
            return true;
        };
        match &file.descriptor {
            Some(descriptor) => view_sys::file::is_opened_elsewhere(descriptor).unwrap_or(true),
            // The cache knows every file of its own that may be open.
            None => false,
        }
    }

    fn open_regular(
        &self,
        flags: i32,
        display_path: &[u8],
        caller: &Caller,
    ) -> Result<OpenedFile, Errno> {
        let instance = self.instance();
        if instance.is_immutable()
            && let Some((descriptor, identity)) = instance
                .page_cache()
                .open_cached(&self.wanted(display_path, false)?, flags)?
        {
            return Ok(OpenedFile {
                descriptor,
                identity,
                is_passthrough: false,
            });
        }
        let truncates = flags & libc::O_TRUNC != 0;
        let is_atomic = instance.has_requested(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let mut module_flags = flags & !HOST_FLAGS;
        if truncates && is_atomic {
            module_flags |= libc::O_TRUNC;
        }
        let open = OpenFile::open(self.inode(), module_flags, Some(caller))?;
        if truncates {
            if is_atomic {
                self.inode().expire_attributes();
                instance.page_cache().forget_file(self.inode().file_key());
            } else {
                self.send_size(0, caller, Some(open.handle))?;
            }
        }
        self.hand_out(open, flags, display_path)
    }

    fn create_regular(
        self: &Arc<Self>,
        name: &[u8],
        flags: i32,
        mode: u32,
        display_path: &[u8],
        caller: &Caller,
    ) -> Result<(Arc<Dentry>, OpenedFile), Errno> {
        self.check_writable(caller)?;
        self.may_create(caller)?;
        let instance = self.instance();
        let request = instance.request_of(&caller.credentials);
        let sent_mode = libc::S_IFREG | instance.mode_for_module(mode & 0o7777, caller);
        if !instance.lacks(Operation::Create) {
            let seen = instance.changes();
            let answer = sync::create(
                instance.module(),
                &request,
                self.inode().number(),
                os_str(name),
                sent_mode,
                caller.umask,
                flags & !libc::O_NOCTTY,
            );
            match answer {
                Ok(CreateOut { entry, open }) => {
                    let dentry = self.record_created(name, &entry, seen)?;
                    if dentry.kind() != Kind::RegularFile {
                        return Err(Errno::IO);
                    }
                    let file = dentry.finish_open(open, flags, display_path)?;
                    return Ok((dentry, file));
                }
                Err(fuse_compat::Errno::ENOSYS) => instance.note_missing(Operation::Create),
                Err(error) => return Err(module_error(error)),
            }
        }
        let mode = libc::S_IFREG | (mode & 0o7777);
        let dentry = self.create_node(name, mode, 0, false, caller)?;
        let open = OpenFile::open(dentry.inode(), flags & !HOST_FLAGS, Some(caller))?;
        let file = dentry.hand_out(open, flags, display_path)?;
        Ok((dentry, file))
    }

    /// Hands out what the module opened together with creating it.
    fn finish_open(
        &self,
        open: OpenOut,
        flags: i32,
        display_path: &[u8],
    ) -> Result<OpenedFile, Errno> {
        let open = OpenFile::from_answer(self.inode(), open, flags & !HOST_FLAGS);
        self.hand_out(open, flags, display_path)
    }

    /// From the module's open file to the caller's descriptor. The module's is released: a descriptor of the module
    /// lives on its own, and cached contents are complete.
    fn hand_out(
        &self,
        open: OpenFile<'_>,
        flags: i32,
        display_path: &[u8],
    ) -> Result<OpenedFile, Errno> {
        if let Some(descriptor) = &open.descriptor {
            if wants_write(flags) {
                self.inode().set_changes_natively();
            }
            return Ok(OpenedFile {
                identity: Identity::of(descriptor)?,
                descriptor: reopen(descriptor.as_fd(), flags)?,
                is_passthrough: true,
            });
        }
        if wants_write(flags) {
            return Err(Errno::ROFS);
        }
        let is_direct = open.opened_flags.contains(FopenFlags::FOPEN_DIRECT_IO);
        let wanted = self.wanted(display_path, is_direct)?;
        let (descriptor, identity) = self.instance().page_cache().open(&wanted, flags, &open)?;
        Ok(OpenedFile {
            descriptor,
            identity,
            is_passthrough: false,
        })
    }

    fn wanted<'a>(&self, display_path: &'a [u8], is_direct: bool) -> Result<Wanted<'a>, Errno> {
        let attributes = self.attributes()?;
        let allocated = attributes.blocks.saturating_mul(512);
        Ok(Wanted {
            key: self.inode().file_key(),
            stamp: Stamp {
                size: attributes.size,
                modified: attributes.modified,
                is_executable: attributes.mode & 0o111 != 0,
            },
            allocated_bytes: match allocated {
                0 => attributes.size,
                bytes => bytes.min(attributes.size),
            },
            is_direct,
            is_sealed: self.instance().is_read_only(),
            name: display_path,
        })
    }
}

/// A file that is open at the module; released when dropped.
struct OpenFile<'a> {
    inode: &'a Inode,
    handle: FileHandle,
    flags: i32,
    opened_flags: FopenFlags,
    descriptor: Option<OwnedFd>,
    is_open: bool,
}

impl<'a> OpenFile<'a> {
    fn open(inode: &'a Inode, flags: i32, caller: Option<&Caller>) -> Result<OpenFile<'a>, Errno> {
        let instance = inode.instance();
        let not_needed = OpenFile {
            inode,
            handle: FileHandle(0),
            flags,
            opened_flags: FopenFlags::FOPEN_KEEP_CACHE,
            descriptor: None,
            is_open: false,
        };
        if instance.lacks(Operation::Open) {
            return Ok(not_needed);
        }
        let request = match caller {
            Some(caller) => instance.request_of(&caller.credentials),
            None => instance.own_request(),
        };
        match sync::open(
            instance.module(),
            &request,
            inode.number(),
            OpenFlags(flags),
        ) {
            Ok(opened) => Ok(OpenFile::from_answer(inode, opened, flags)),
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::Open);
                Ok(not_needed)
            }
            Err(error) => Err(module_error(error)),
        }
    }

    fn from_answer(inode: &'a Inode, opened: OpenOut, flags: i32) -> OpenFile<'a> {
        OpenFile {
            inode,
            handle: opened.fh,
            flags,
            opened_flags: opened.flags,
            descriptor: opened.descriptor,
            is_open: true,
        }
    }
}

impl Drop for OpenFile<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let instance = self.inode.instance();
            // The answer to a release means nothing, fuse(4).
            let _ = sync::release(
                instance.module(),
                &instance.own_request(),
                self.inode.number(),
                self.handle,
                OpenFlags(self.flags),
                None,
                false,
            );
        }
    }
}

impl ContentSource for OpenFile<'_> {
    fn read(&self, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let instance = self.inode.instance();
        sync::read(
            instance.module(),
            &instance.own_request(),
            self.inode.number(),
            self.handle,
            offset,
            size,
            OpenFlags(self.flags),
            None::<LockOwner>,
        )
        .map_err(module_error)
    }

    fn next_data(&self, offset: u64) -> Result<NextData, Errno> {
        let instance = self.inode.instance();
        if instance.lacks(Operation::Lseek) {
            return Ok(NextData::Unknown);
        }
        let seek = |offset: u64, whence: i32| {
            let offset = i64::try_from(offset).map_err(|_| fuse_compat::Errno::EOVERFLOW)?;
            let found = sync::lseek(
                instance.module(),
                &instance.own_request(),
                self.inode.number(),
                self.handle,
                offset,
                whence,
            )?;
            u64::try_from(found).map_err(|_| fuse_compat::Errno::EIO)
        };
        let start = match seek(offset, libc::SEEK_DATA) {
            Ok(start) => start,
            Err(fuse_compat::Errno::ENXIO) => return Ok(NextData::None),
            Err(fuse_compat::Errno::ENOSYS | fuse_compat::Errno::EINVAL) => {
                instance.note_missing(Operation::Lseek);
                return Ok(NextData::Unknown);
            }
            Err(error) => return Err(module_error(error)),
        };
        match seek(start, libc::SEEK_HOLE) {
            Ok(end) => Ok(NextData::Range { start, end }),
            Err(error) => Err(module_error(error)),
        }
    }
}
