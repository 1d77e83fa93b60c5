//! Replies to open, opendir, create and tmpfile, with or without a real descriptor ("passthrough").

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::simple::EntryOut;
use super::sink::reply;
use crate::{Errno, FileAttr, FileHandle, FopenFlags, Generation};

/// An open file of a module.
#[derive(Debug)]
pub struct OpenOut {
    /// The module's name for it.
    pub fh: FileHandle,
    /// How the host has to treat it.
    pub flags: FopenFlags,
    /// The file itself: the host re-opens it with the caller's flags, and reads, writes and mappings do not reach the
    /// module any more. Present exactly when `flags` has `FOPEN_PASSTHROUGH`.
    pub descriptor: Option<OwnedFd>,
}

impl OpenOut {
    fn plain(fh: FileHandle, flags: FopenFlags) -> OpenOut {
        OpenOut {
            fh,
            flags: flags - FopenFlags::FOPEN_PASSTHROUGH,
            descriptor: None,
        }
    }

    fn passthrough(fh: FileHandle, flags: FopenFlags, descriptor: OwnedFd) -> OpenOut {
        OpenOut {
            fh,
            flags: flags | FopenFlags::FOPEN_PASSTHROUGH,
            descriptor: Some(descriptor),
        }
    }
}

/// A new file and its first open.
#[derive(Debug)]
pub struct CreateOut {
    /// The new inode.
    pub entry: EntryOut,
    /// The open file.
    pub open: OpenOut,
}

/// A registered descriptor for passthrough opens. Clones of the descriptor are handed out, so its life does not matter
/// to files that are already open.
#[derive(Clone, Debug)]
pub struct BackingId(Arc<OwnedFd>);

impl BackingId {
    /// Registers `fd`.
    ///
    /// # Errors
    /// `EMFILE` when no descriptor is left.
    pub fn create(fd: impl AsFd) -> io::Result<BackingId> {
        Ok(BackingId(Arc::new(fd.as_fd().try_clone_to_owned()?)))
    }

    fn descriptor(&self) -> Result<OwnedFd, Errno> {
        self.0.try_clone().map_err(Errno::from)
    }
}

reply! {
    /// An open file or directory.
    ReplyOpen, OpenOut
}

impl ReplyOpen {
    /// Answers with an open file whose reads and writes come to the module.
    pub fn opened(self, fh: FileHandle, flags: FopenFlags) {
        self.sink.send(Ok(OpenOut::plain(fh, flags)));
    }

    /// Answers with an open file that is `descriptor`: any descriptor of the file will do, the host opens it again
    /// with the caller's flags. It may be read-only (an executable that is open for writing could not be run).
    pub fn opened_descriptor(self, fh: FileHandle, descriptor: OwnedFd, flags: FopenFlags) {
        self.sink
            .send(Ok(OpenOut::passthrough(fh, flags, descriptor)));
    }

    /// Registers a descriptor for [`ReplyOpen::opened_passthrough`].
    ///
    /// # Errors
    /// `EMFILE` when no descriptor is left.
    pub fn open_backing(&self, fd: impl AsFd) -> io::Result<BackingId> {
        BackingId::create(fd)
    }

    /// Answers with an open file that is the registered descriptor.
    pub fn opened_passthrough(self, fh: FileHandle, flags: FopenFlags, backing_id: &BackingId) {
        self.sink.send(
            backing_id
                .descriptor()
                .map(|fd| OpenOut::passthrough(fh, flags, fd)),
        );
    }
}

reply! {
    /// A new file and its first open.
    ReplyCreate, CreateOut
}

impl ReplyCreate {
    /// Answers with a new file whose reads and writes come to the module.
    pub fn created(
        self,
        ttl: &Duration,
        attr: &FileAttr,
        generation: Generation,
        fh: FileHandle,
        flags: FopenFlags,
    ) {
        let open = OpenOut::plain(fh, flags);
        let entry = entry(ttl, attr, generation);
        self.sink.send(Ok(CreateOut { entry, open }));
    }

    /// Answers with a new file that is `descriptor`, see [`ReplyOpen::opened_descriptor`].
    pub fn created_descriptor(
        self,
        ttl: &Duration,
        attr: &FileAttr,
        generation: Generation,
        fh: FileHandle,
        flags: FopenFlags,
        descriptor: OwnedFd,
    ) {
        let open = OpenOut::passthrough(fh, flags, descriptor);
        let entry = entry(ttl, attr, generation);
        self.sink.send(Ok(CreateOut { entry, open }));
    }

    /// Registers a descriptor for [`ReplyCreate::created_passthrough`].
    ///
    /// # Errors
    /// `EMFILE` when no descriptor is left.
    pub fn open_backing(&self, fd: impl AsFd) -> io::Result<BackingId> {
        BackingId::create(fd)
    }

    /// Answers with a new file that is the registered descriptor.
    pub fn created_passthrough(
        self,
        ttl: &Duration,
        attr: &FileAttr,
        generation: Generation,
        fh: FileHandle,
        flags: FopenFlags,
        backing_id: &BackingId,
    ) {
        let entry = entry(ttl, attr, generation);
        self.sink.send(backing_id.descriptor().map(|fd| CreateOut {
            entry,
            open: OpenOut::passthrough(fh, flags, fd),
        }));
    }
}

fn entry(ttl: &Duration, attr: &FileAttr, generation: Generation) -> EntryOut {
    EntryOut {
        attr: *attr,
        attr_ttl: *ttl,
        entry_ttl: *ttl,
        generation,
    }
}
