//! The module interface: FUSE low-level operations with fuser 0.18's names and types.
//!
//! A filesystem module implements [`Filesystem`]; a host (the VFS of `view`) calls it. Each operation takes a
//! `Reply*` object that may be completed at once or later, from any thread. A filesystem written for the `fuser`
//! crate compiles against this one by renaming the dependency:
//! `fuser = { package = "fuse-compat", version = "..." }`.
//!
//! | Module        | Responsibility                                                            |
//! |---------------|---------------------------------------------------------------------------|
//! | `filesystem`  | the trait: what a module is asked                                         |
//! | `reply`       | the reply objects, the plain structs they carry, and [`Sink`]              |
//! | [`sync`]      | every operation as an ordinary blocking function                          |
//! | `attr`        | file kinds, attributes, times                                             |
//! | `ids`         | inode numbers, file handles and the other newtypes                        |
//! | `errno`       | error numbers                                                             |
//! | `flags`       | flag sets of the protocol                                                 |
//! | `config`      | what host and module agree on in `init`                                   |
//! | `notify`      | messages from a module to its host (invalidation, poll wake-up)           |
//! | `source`      | [`BlockSource`]: how a disk image reaches a module                        |
//! | [`time`]      | times as seconds and nanoseconds                                          |
//!
//! What is added to fuser's interface (all optional for a module): [`ReplyOpen::opened_descriptor`],
//! [`ReplyCreate::created_descriptor`], [`ReplyData::data_vec`], [`Filesystem::tmpfile`],
//! [`Filesystem::host_root`], [`KernelConfig::notifier`], [`BlockSource`], and public constructors for what only
//! its session can make in fuser ([`Request::new`], `Reply*::new`, [`ForgetOne::new`], [`KernelConfig::new`]).
//! What is left out: sessions, mounting and the /dev/fuse wire protocol.
//!
//! Locks: none is held while a module or a sink runs.
//!
//! References: fuse(4), libfuse's `fuse_lowlevel.h`, Linux `include/uapi/linux/fuse.h`.
#![forbid(unsafe_code)]

mod attr;
mod config;
mod errno;
mod filesystem;
mod flags;
mod ids;
mod notify;
mod reply;
mod source;
pub mod sync;
pub mod time;

pub use attr::{FileAttr, FileType, TimeOrNow};
pub use config::KernelConfig;
pub use errno::Errno;
pub use filesystem::Filesystem;
pub use flags::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FopenFlags, InitFlags, IoctlFlags, OpenAccMode,
    OpenFlags, PollEvents, PollFlags, RenameFlags, WriteFlags,
};
pub use ids::{FileHandle, ForgetOne, Generation, INodeNo, LockOwner, Request, RequestId, Version};
pub use notify::{Notifier, NotifyTarget, PollHandle, PollNotifier};
pub use reply::{
    AttrOut, BackingId, CreateOut, DirEntry, DirEntryPlus, EntryOut, IoctlOut, LockOut, OpenOut,
    ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite,
    ReplyXattr, Sink, StatfsOut, XattrOut,
};
pub use source::{BlockSource, MemorySource};

/// Constants of the protocol that are not flags of one operation.
pub mod consts {
    /// In [`crate::Filesystem::setlk`]: the lock is a flock(2) lock.
    pub const FUSE_LK_FLOCK: u32 = 1;
    /// Most buffers an ioctl may name.
    pub const FUSE_IOCTL_MAX_IOV: u32 = 256;
    /// Least size in bytes of a buffer that requests are read into.
    pub const FUSE_MIN_READ_BUFFER: usize = 8192;
}
