//! open, create and O_TMPFILE, with the checks of Linux's `do_open`, `may_open` and `lookup_open` in their order.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use fuse_compat::{CreateOut, FopenFlags, InitFlags, OpenOut, sync};
use rustix::io::Errno;

use super::clock;
use super::dentry::Dentry;
use super::instance::Operation;
use super::lookup::os_str;
use super::module_error;
use super::open_file::OpenFile;
use crate::attributes::{Identity, Kind};
use crate::credentials::Caller;
use crate::page_cache::{
    Allocation, ContentSink, FileKey, PageCache, Reporter, Stamp, Wanted, reopen,
};
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
    /// Those of [`Dentry::check_open`], `ENXIO` for a socket, and those of the module. `ETXTBSY` for writing to a
    /// program that is running.
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
        let mode = libc::S_IFREG | instance.mode_for_module(mode & 0o7777, caller);
        let answer = instance.with_room(|| {
            sync::tmpfile(
                instance.module(),
                &request,
                self.inode().number(),
                mode,
                caller.umask,
                flags & !HOST_FLAGS,
            )
        });
        let created = match answer {
            Err(fuse_compat::Errno::ENOSYS) => return Err(Errno::OPNOTSUPP),
            other => other.map_err(module_error)?,
        };
        let inode = instance.adopt(&created.entry, seen);
        inode.set_linkable(flags & libc::O_EXCL == 0);
        inode.set_nameless();
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
        instance
            .page_cache()
            .write_back_file(self.inode().file_key())?;
        OpenFile::open(self.inode(), libc::O_RDONLY, None)?.synchronize(data_only)
    }

    /// fsync(2) through a descriptor whose file is `identity`. Answers false for a file of the module's own, which
    /// the kernel knows how to synchronize.
    ///
    /// # Errors
    /// Those of writing back, now or at any time since `reporter` was last told, and of the module.
    pub fn synchronize_open(
        &self,
        identity: Identity,
        reporter: &dyn Reporter,
        data_only: bool,
    ) -> Result<bool, Errno> {
        if self.kind() != Kind::RegularFile {
            return self.synchronize(data_only).map(|()| true);
        }
        let (cache, key) = (self.instance().page_cache(), self.inode().file_key());
        if let Some(answer) = cache.synchronize_file(key, reporter, data_only) {
            return answer.map(|()| true);
        }
        if cache.is_open(key, identity).is_none() {
            return Ok(false);
        }
        self.synchronize(data_only).map(|()| true)
    }

    /// fallocate(2) through a descriptor whose file is `identity`. Answers false when the kernel is to do it: the
    /// module cannot.
    ///
    /// # Errors
    /// Those of the module: `ENOSPC`, `EOPNOTSUPP`, `EINVAL`, `EPERM`, `EFBIG`.
    pub fn allocate(&self, identity: Identity, wanted: Allocation) -> Result<bool, Errno> {
        if self.kind() != Kind::RegularFile {
            return Ok(false);
        }
        let (cache, key) = (self.instance().page_cache(), self.inode().file_key());
        let left = || self.instance().room().map(|room| room.left);
        let answer = match cache.allocate(key, identity, wanted, &left) {
            Some(answer) => answer,
            None if self.inode().passed_through() == Some(identity) => {
                let (mode, offset, length) = (wanted.mode, wanted.offset, wanted.length);
                OpenFile::open(self.inode(), libc::O_RDWR, None)?
                    .allocate(mode, offset, length)
                    .map(drop)
            }
            None => return Ok(false),
        };
        match answer {
            Err(Errno::NOSYS) => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    /// Hands what was written to this file on to the module, without making it durable. False when nobody writes to it
    /// through the page cache.
    ///
    /// # Errors
    /// Those of the module.
    pub fn write_back(&self) -> Result<bool, Errno> {
        let key = self.inode().file_key();
        self.instance().page_cache().write_back_file(key)
    }

    /// The same for what lies between two places, as far as the module's file reaches.
    ///
    /// # Errors
    /// Those of the module.
    pub fn write_back_range(&self, start: u64, end: u64) -> Result<bool, Errno> {
        let key = self.inode().file_key();
        let cache = self.instance().page_cache();
        cache.write_back_range(key, start, end)
    }

    /// Is the backing file `identity` of this regular file open, or mapped, in any process? What cannot be found out
    /// counts as open.
    pub fn is_opened_elsewhere(&self, identity: Identity) -> bool {
        let cached = |cache: &PageCache, key| cache.is_open(key, identity);
        self.is_in_use(cached, |descriptor| {
            view_sys::file::is_opened_elsewhere(descriptor)
        })
    }

    /// The same, open for writing or mapped so.
    pub fn is_written_elsewhere(&self, identity: Identity) -> bool {
        let cached = |cache: &PageCache, key| cache.is_open_for_writing(key, identity);
        self.is_in_use(cached, |descriptor| {
            view_sys::file::is_written_elsewhere(descriptor)
        })
    }

    fn is_in_use(
        &self,
        cached: impl Fn(&PageCache, FileKey) -> Option<bool>,
        ask: impl Fn(&OwnedFd) -> io::Result<bool>,
    ) -> bool {
        if self.kind() != Kind::RegularFile {
            return false;
        }
        if let Some(answer) = cached(self.instance().page_cache(), self.inode().file_key()) {
            return answer;
        }
        let Ok(file) = OpenFile::open(self.inode(), libc::O_RDONLY, None) else {
            return true;
        };
        match &file.descriptor {
            Some(descriptor) => ask(descriptor).unwrap_or(true),
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
        self.may_open(flags)?;
        let truncates = flags & libc::O_TRUNC != 0;
        let is_atomic = instance.has_requested(InitFlags::FUSE_ATOMIC_O_TRUNC);
        let mut module_flags = flags & !HOST_FLAGS;
        if truncates && is_atomic {
            module_flags |= libc::O_TRUNC;
        }
        let open = OpenFile::open(self.inode(), module_flags, Some(caller))?;
        if truncates {
            if is_atomic {
                self.was_truncated()?;
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
        // A file that cannot be opened must not come into being, so what opening takes is kept free.
        let held = hold_descriptor()?;
        if !instance.lacks(Operation::Create) {
            let seen = instance.changes();
            let answer = instance.with_room(|| {
                sync::create(
                    instance.module(),
                    &request,
                    self.inode().number(),
                    os_str(name),
                    sent_mode,
                    caller.umask,
                    flags & !libc::O_NOCTTY,
                )
            });
            match answer {
                Ok(CreateOut { entry, open }) => {
                    let dentry = self.record_created(name, &entry, seen)?;
                    if dentry.kind() != Kind::RegularFile {
                        return Err(Errno::IO);
                    }
                    drop(held);
                    let file = dentry.finish_open(open, flags, display_path)?;
                    return Ok((dentry, file));
                }
                Err(fuse_compat::Errno::ENOSYS) => instance.note_missing(Operation::Create),
                Err(error) => return Err(module_error(error)),
            }
        }
        let mode = libc::S_IFREG | (mode & 0o7777);
        let dentry = self.create_node(name, mode, 0, false, caller)?;
        drop(held);
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
        open: OpenFile,
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
        let is_direct = open.opened_flags.contains(FopenFlags::FOPEN_DIRECT_IO);
        let wanted = self.wanted(display_path, is_direct)?;
        let cache = self.instance().page_cache();
        let (descriptor, identity) = if wants_write(flags) {
            let (source, sink) = self.for_writing(open, wanted.stamp.size > 0 || is_direct)?;
            self.inode().set_written();
            cache.open_written(&wanted, flags, &*source, sink)?
        } else {
            cache.open(&wanted, flags, &open)?
        };
        Ok(OpenedFile {
            descriptor,
            identity,
            is_passthrough: false,
        })
    }

    /// The open files that a file is filled from and written back through.
    fn for_writing(
        &self,
        open: OpenFile,
        has_contents: bool,
    ) -> Result<(Arc<OpenFile>, Arc<dyn ContentSink>), Errno> {
        let flags = open.flags & !HOST_FLAGS;
        // Places are told with each write.
        let sink = Arc::new(match flags & libc::O_APPEND {
            0 => open,
            _ => OpenFile::open(self.inode(), flags & !libc::O_APPEND, None)?,
        });
        let source = match flags & libc::O_ACCMODE == libc::O_WRONLY && has_contents {
            true => Arc::new(OpenFile::open(self.inode(), libc::O_RDONLY, None)?),
            false => Arc::clone(&sink),
        };
        Ok((source, sink))
    }

    /// The module has cut the file to nothing while it opened it.
    fn was_truncated(&self) -> Result<(), Errno> {
        self.inode().expire_attributes();
        let cache = self.instance().page_cache();
        cache.resize(self.inode().file_key(), 0, || {
            self.inode().module_attributes()
        })
    }

    fn wanted<'a>(&self, display_path: &'a [u8], is_direct: bool) -> Result<Wanted<'a>, Errno> {
        let attributes = self.attributes()?;
        let allocated = attributes.blocks.saturating_mul(512);
        Ok(Wanted {
            key: self.inode().file_key(),
            stamp: Stamp::of(&attributes),
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

/// Takes the number of one descriptor of this process. `ENFILE` when there is none: the tracee has not too many.
fn hold_descriptor() -> Result<Option<OwnedFd>, Errno> {
    match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 0) {
        Ok(held) => Ok(Some(held)),
        Err(Errno::MFILE) => Err(Errno::NFILE),
        // Standard input is closed.
        Err(_) => Ok(None),
    }
}
