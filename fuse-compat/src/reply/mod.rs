//! The reply objects. Each is answered exactly once, by a method that consumes it, from any thread; one that is
//! dropped unanswered answers `EIO`.
//!
//! A host makes a reply from a [`Sink`], which gets the plain result. Files: `sink` (where an answer goes), `simple`
//! (attributes, data, numbers), `open` (open, create, descriptors), `directory` (listings).

mod directory;
mod open;
mod simple;
mod sink;

pub use directory::{DirEntry, DirEntryPlus, ReplyDirectory, ReplyDirectoryPlus};
pub use open::{BackingId, CreateOut, OpenOut, ReplyCreate, ReplyOpen};
pub use simple::{
    AttrOut, EntryOut, IoctlOut, LockOut, ReplyAttr, ReplyBmap, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLock, ReplyLseek, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, StatfsOut,
    XattrOut,
};
pub use sink::Sink;
pub(crate) use sink::Slot;
