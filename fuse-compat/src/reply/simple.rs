//! Replies that carry attributes, bytes or numbers.

use std::time::Duration;

use super::sink::reply;
use crate::{FileAttr, Generation, PollEvents};

/// A name's inode, with one reference on it for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryOut {
    /// Attributes; `attr.ino` is the inode.
    pub attr: FileAttr,
    /// How long the attributes may be cached.
    pub attr_ttl: Duration,
    /// How long the name may be cached.
    pub entry_ttl: Duration,
    /// Generation of the inode number.
    pub generation: Generation,
}

/// Attributes of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrOut {
    /// The attributes.
    pub attr: FileAttr,
    /// How long they may be cached.
    pub ttl: Duration,
}

/// Usage of a filesystem, statvfs(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StatfsOut {
    /// Size in units of `frsize` (of `bsize` when that is 0).
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Free blocks for unprivileged users.
    pub bavail: u64,
    /// Number of inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Preferred size of I/O in bytes.
    pub bsize: u32,
    /// Longest name in bytes.
    pub namelen: u32,
    /// Size of a block in bytes.
    pub frsize: u32,
}

/// A lock that is in the way, fcntl(2) `F_GETLK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockOut {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
    pub typ: i32,
    /// Who holds it.
    pub pid: u32,
}

/// Result of an ioctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoctlOut {
    /// What ioctl(2) returns.
    pub result: i32,
    /// Bytes for the caller's buffer.
    pub data: Vec<u8>,
}

/// Answer to getxattr and listxattr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrOut {
    /// The caller asked with size 0: how long the value is.
    Size(u32),
    /// The value.
    Data(Vec<u8>),
}

impl XattrOut {
    /// What the system call returns.
    pub fn len(&self) -> usize {
        match self {
            XattrOut::Size(size) => *size as usize,
            XattrOut::Data(data) => data.len(),
        }
    }

    /// True for an empty value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

reply! {
    /// Success without a value.
    ReplyEmpty, ()
}

impl ReplyEmpty {
    /// Answers with success.
    pub fn ok(self) {
        self.sink.send(Ok(()));
    }
}

reply! {
    /// Bytes: file contents or a link's target.
    ReplyData, Vec<u8>
}

impl ReplyData {
    /// Answers with a copy of `data`.
    pub fn data(self, data: &[u8]) {
        self.sink.send(Ok(data.to_vec()));
    }

    /// Answers with `data` without copying it.
    pub fn data_vec(self, data: Vec<u8>) {
        self.sink.send(Ok(data));
    }
}

reply! {
    /// A name's inode.
    ReplyEntry, EntryOut
}

impl ReplyEntry {
    /// Answers with an entry; name and attributes may be cached for `ttl`. Inode 0 means that there is no such
    /// name and that this may be cached.
    pub fn entry(self, ttl: &Duration, attr: &FileAttr, generation: Generation) {
        self.entry_with_ttls(ttl, ttl, attr, generation);
    }

    /// Answers with an entry whose attributes and name may be cached for different times.
    pub fn entry_with_ttls(
        self,
        attr_ttl: &Duration,
        entry_ttl: &Duration,
        attr: &FileAttr,
        generation: Generation,
    ) {
        self.sink.send(Ok(EntryOut {
            attr: *attr,
            attr_ttl: *attr_ttl,
            entry_ttl: *entry_ttl,
            generation,
        }));
    }
}

reply! {
    /// Attributes.
    ReplyAttr, AttrOut
}

impl ReplyAttr {
    /// Answers with attributes that may be cached for `ttl`.
    pub fn attr(self, ttl: &Duration, attr: &FileAttr) {
        self.sink.send(Ok(AttrOut {
            attr: *attr,
            ttl: *ttl,
        }));
    }
}

reply! {
    /// Number of bytes written or copied.
    ReplyWrite, u32
}

impl ReplyWrite {
    /// Answers with the number of bytes.
    pub fn written(self, size: u32) {
        self.sink.send(Ok(size));
    }
}

reply! {
    /// Usage of the filesystem.
    ReplyStatfs, StatfsOut
}

impl ReplyStatfs {
    /// Answers with the fields of [`StatfsOut`].
    #[allow(clippy::too_many_arguments)]
    pub fn statfs(
        self,
        blocks: u64,
        bfree: u64,
        bavail: u64,
        files: u64,
        ffree: u64,
        bsize: u32,
        namelen: u32,
        frsize: u32,
    ) {
        self.sink.send(Ok(StatfsOut {
            blocks,
            bfree,
            bavail,
            files,
            ffree,
            bsize,
            namelen,
            frsize,
        }));
    }
}

reply! {
    /// A lock that is in the way.
    ReplyLock, LockOut
}

impl ReplyLock {
    /// Answers with a lock (`typ` is `F_UNLCK` when nothing is in the way).
    pub fn locked(self, start: u64, end: u64, typ: i32, pid: u32) {
        self.sink.send(Ok(LockOut {
            start,
            end,
            typ,
            pid,
        }));
    }
}

reply! {
    /// A block number.
    ReplyBmap, u64
}

impl ReplyBmap {
    /// Answers with the block's number on the device.
    pub fn bmap(self, block: u64) {
        self.sink.send(Ok(block));
    }
}

reply! {
    /// Result of an ioctl.
    ReplyIoctl, IoctlOut
}

impl ReplyIoctl {
    /// Answers with the return value and the bytes for the caller.
    pub fn ioctl(self, result: i32, data: &[u8]) {
        self.sink.send(Ok(IoctlOut {
            result,
            data: data.to_vec(),
        }));
    }
}

reply! {
    /// Events that are ready.
    ReplyPoll, PollEvents
}

impl ReplyPoll {
    /// Answers with the ready events.
    pub fn poll(self, revents: PollEvents) {
        self.sink.send(Ok(revents));
    }
}

reply! {
    /// An extended attribute, or a list of their names (each followed by a zero byte).
    ReplyXattr, XattrOut
}

impl ReplyXattr {
    /// Answers a request of size 0 with the length of the value.
    pub fn size(self, size: u32) {
        self.sink.send(Ok(XattrOut::Size(size)));
    }

    /// Answers with the value.
    pub fn data(self, data: &[u8]) {
        self.sink.send(Ok(XattrOut::Data(data.to_vec())));
    }
}

reply! {
    /// A file position.
    ReplyLseek, i64
}

impl ReplyLseek {
    /// Answers with the position in bytes.
    pub fn offset(self, offset: i64) {
        self.sink.send(Ok(offset));
    }
}
