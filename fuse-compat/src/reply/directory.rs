//! Replies to readdir and readdirplus: a buffer of limited size that the module fills.
//!
//! Sizes are counted as on the wire (Linux `struct fuse_dirent` and `fuse_direntplus`), so a module behaves as under
//! the kernel's FUSE client.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::simple::EntryOut;
use crate::{Errno, FileAttr, FileType, Generation, INodeNo, Sink};

/// Bytes of `struct fuse_dirent` before the name.
const DIRENT_BYTES: usize = 24;
/// Bytes of `struct fuse_entry_out`.
const ENTRY_BYTES: usize = 128;

/// One name of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Inode number, for `d_ino`.
    pub ino: INodeNo,
    /// Where to continue after this entry: the `offset` of the next readdir.
    pub offset: u64,
    /// Kind, for `d_type`.
    pub kind: FileType,
    /// Name.
    pub name: OsString,
}

/// One name of a listing with its entry. Each but `.` and `..` gives the host a reference on the inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntryPlus {
    /// Inode number, for `d_ino`.
    pub ino: INodeNo,
    /// Where to continue after this entry.
    pub offset: u64,
    /// Name.
    pub name: OsString,
    /// Attributes and how long they may be cached.
    pub entry: EntryOut,
}

/// Bytes of an entry on the wire: padded to eight.
fn wire_bytes(fixed: usize, name: &OsStr) -> usize {
    (fixed + name.len()).next_multiple_of(8)
}

/// A listing.
#[derive(Debug)]
pub struct ReplyDirectory {
    sink: Sink<Vec<DirEntry>>,
    free_bytes: usize,
    entries: Vec<DirEntry>,
}

impl ReplyDirectory {
    /// Host side: a reply of at most `max_bytes` (as on the wire) that goes to `sink`.
    pub fn new(sink: Sink<Vec<DirEntry>>, max_bytes: usize) -> ReplyDirectory {
        ReplyDirectory {
            sink,
            free_bytes: max_bytes,
            entries: Vec::new(),
        }
    }

    /// Adds a name. True when it does not fit any more (it was not added).
    ///
    /// `offset` is what a later readdir gets to continue after this entry; it must not be 0.
    #[must_use]
    pub fn add<T: AsRef<OsStr>>(
        &mut self,
        ino: INodeNo,
        offset: u64,
        kind: FileType,
        name: T,
    ) -> bool {
        let name = name.as_ref();
        match self.free_bytes.checked_sub(wire_bytes(DIRENT_BYTES, name)) {
            None => true,
            Some(rest) => {
                self.free_bytes = rest;
                self.entries.push(DirEntry {
                    ino,
                    offset,
                    kind,
                    name: name.to_owned(),
                });
                false
            }
        }
    }

    /// Answers with what was added; nothing means the end of the directory.
    pub fn ok(self) {
        self.sink.send(Ok(self.entries));
    }

    /// Answers with an error.
    pub fn error(self, err: Errno) {
        self.sink.send(Err(err));
    }
}

/// A listing with attributes.
#[derive(Debug)]
pub struct ReplyDirectoryPlus {
    sink: Sink<Vec<DirEntryPlus>>,
    free_bytes: usize,
    entries: Vec<DirEntryPlus>,
}

impl ReplyDirectoryPlus {
    /// Host side: a reply of at most `max_bytes` (as on the wire) that goes to `sink`.
    pub fn new(sink: Sink<Vec<DirEntryPlus>>, max_bytes: usize) -> ReplyDirectoryPlus {
        ReplyDirectoryPlus {
            sink,
            free_bytes: max_bytes,
            entries: Vec::new(),
        }
    }

    /// Adds a name with its attributes. True when it does not fit any more (it was not added: no reference is given).
    pub fn add<T: AsRef<OsStr>>(
        &mut self,
        ino: INodeNo,
        offset: u64,
        name: T,
        ttl: &Duration,
        attr: &FileAttr,
        generation: Generation,
    ) -> bool {
        let name = name.as_ref();
        match self
            .free_bytes
            .checked_sub(wire_bytes(ENTRY_BYTES + DIRENT_BYTES, name))
        {
            None => true,
            Some(rest) => {
                self.free_bytes = rest;
                self.entries.push(DirEntryPlus {
                    ino,
                    offset,
                    name: name.to_owned(),
                    entry: EntryOut {
                        attr: *attr,
                        attr_ttl: *ttl,
                        entry_ttl: *ttl,
                        generation,
                    },
                });
                false
            }
        }
    }

    /// Answers with what was added; nothing means the end of the directory.
    pub fn ok(self) {
        self.sink.send(Ok(self.entries));
    }

    /// Answers with an error.
    pub fn error(self, err: Errno) {
        self.sink.send(Err(err));
    }
}
