//! Newtypes of the protocol: who asks ([`Request`]) and what is named ([`INodeNo`], [`FileHandle`], ...).

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl From<$name> for u64 {
            fn from(value: $name) -> u64 {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// An inode number, chosen by the module.
    ///
    /// Each answer that carries an entry (lookup, create, mknod, mkdir, symlink, link, tmpfile, and each entry of
    /// readdirplus other than `.` and `..`) gives the host one reference on the inode; the host hands references
    /// back with [`crate::Filesystem::forget`]. A module keeps an unlinked inode while references are out.
    INodeNo
}

impl INodeNo {
    /// The root directory of every filesystem.
    pub const ROOT: INodeNo = INodeNo(1);
}

number! {
    /// Names one open file (or directory) of a module, from open to release. Opaque to the host.
    FileHandle
}

number! {
    /// The owner of a POSIX or flock lock: one process, or one open file description.
    LockOwner
}

number! {
    /// Tells two uses of the same inode number apart (only NFS export needs it).
    Generation
}

number! {
    /// Identifies a request among those in flight.
    RequestId
}

/// Version of the FUSE protocol: major, minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(
    /// Major number.
    pub u32,
    /// Minor number.
    pub u32,
);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Who asks. New inodes belong to this user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    unique: RequestId,
    uid: u32,
    gid: u32,
    pid: u32,
}

impl Request {
    /// A request from user `uid`, group `gid` (filesystem ids of the caller) and thread `pid` (0: the host itself).
    #[inline]
    pub fn new(unique: u64, uid: u32, gid: u32, pid: u32) -> Request {
        Request {
            unique: RequestId(unique),
            uid,
            gid,
            pid,
        }
    }

    /// Number of this request.
    #[inline]
    pub fn unique(&self) -> RequestId {
        self.unique
    }

    /// Filesystem user id of the caller.
    #[inline]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Filesystem group id of the caller.
    #[inline]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Thread id of the caller; 0 when the host asks for itself.
    #[inline]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

/// References to one inode that the host hands back, see [`crate::Filesystem::batch_forget`].
#[derive(Debug, Clone, Copy)]
pub struct ForgetOne {
    nodeid: INodeNo,
    nlookup: u64,
}

impl ForgetOne {
    /// `nlookup` references on `nodeid`.
    pub fn new(nodeid: INodeNo, nlookup: u64) -> ForgetOne {
        ForgetOne { nodeid, nlookup }
    }

    /// The inode.
    pub fn nodeid(&self) -> INodeNo {
        self.nodeid
    }

    /// How many references are handed back.
    pub fn nlookup(&self) -> u64 {
        self.nlookup
    }
}
