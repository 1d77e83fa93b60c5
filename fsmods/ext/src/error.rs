//! What can go wrong: a [`Problem`] names the place and the fault in one line, an [`Error`] adds the
//! errno that the caller gets, a [`MountError`] says why an image can't be mounted at all.

use std::fmt;
use std::io;

/// Where a structural fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The superblock.
    Superblock,
    /// The descriptor of a block group.
    Group(u32),
    /// An inode, by number.
    Inode(u32),
    /// A block, by number.
    Block(u64),
    /// The journal's log.
    Journal,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => write!(f, "superblock"),
            Self::Group(number) => write!(f, "group {number}"),
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::Block(number) => write!(f, "block {number}"),
            Self::Journal => write!(f, "journal"),
        }
    }
}

/// One fault found in an image, in one line: `inode 12: extent block 345 has a bad checksum ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the fault lies.
    pub place: Place,
    /// What is wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem at `place`.
    pub fn new(place: Place, detail: impl Into<String>) -> Self {
        Self {
            place,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}

/// Why an operation on a mounted image failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The image contradicts itself: EUCLEAN.
    Corrupt(Problem),
    /// The image could not be read there: EIO.
    Unreadable(Problem),
    /// The request itself is refused, with this errno; the image is fine.
    Refused(i32),
}

impl Error {
    /// The errno of the answer.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Corrupt(_) => libc::EUCLEAN,
            Self::Unreadable(_) => libc::EIO,
            Self::Refused(errno) => *errno,
        }
    }

    /// The fault in the image, if that is the cause.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Corrupt(problem) | Self::Unreadable(problem) => Some(problem),
            Self::Refused(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(problem) | Self::Unreadable(problem) => problem.fmt(f),
            Self::Refused(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// The result of an operation on a mounted image.
pub type Result<T> = std::result::Result<T, Error>;

/// `Err`: the inode contradicts itself or the rest of the image.
pub(crate) fn bad_inode<T>(ino: u32, detail: impl Into<String>) -> Result<T> {
    Err(Error::Corrupt(Problem::new(Place::Inode(ino), detail)))
}

/// Why an image can't be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The image ends before the superblock does.
    #[error("image of {size_bytes} bytes is too small to hold a superblock")]
    TooSmall {
        /// Size of the image, after the offset.
        size_bytes: u64,
    },
    /// The image's bytes could not be read.
    #[error("cannot read the superblock: {0}")]
    Read(#[source] io::Error),
    /// There is no ext file system here.
    #[error("bad ext2 magic {found:#06x} (expected 0xef53)")]
    BadMagic {
        /// What stands in the place of the magic number.
        found: u16,
    },
    /// Features that a reader has to understand and this driver doesn't.
    #[error("the file system uses features that are not supported: {names}")]
    Features {
        /// The features' names, as mke2fs(8) spells them.
        names: String,
    },
    /// The superblock's checksum is wrong.
    #[error("superblock checksum {found:#010x} is wrong (expected {expected:#010x})")]
    Checksum {
        /// The checksum in the superblock.
        found: u32,
        /// The checksum of the superblock.
        expected: u32,
    },
    /// The superblock contradicts itself.
    #[error("superblock: {0}")]
    Geometry(String),
    /// The journal lies on another device.
    #[error(
        "the journal is on an external device ({uuid}): not supported (`-o noload` ignores it)"
    )]
    ExternalJournal {
        /// The UUID of that device.
        uuid: String,
    },
    /// The journal should be replayed and can't.
    #[error("cannot replay the journal: {0} (`-o noload` mounts without it)")]
    Journal(String),
    /// The root directory can't be used.
    #[error("cannot use the root directory: {0}")]
    Root(#[source] Error),
    /// An option is not known or has a bad value.
    #[error("bad mount option `{0}`")]
    Option(String),
}

impl MountError {
    /// The errno mount(2) gives for this.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Read(_) => libc::EIO,
            Self::Root(error) => error.errno(),
            Self::Checksum { .. } | Self::Geometry(_) | Self::Journal(_) => libc::EUCLEAN,
            Self::TooSmall { .. }
            | Self::BadMagic { .. }
            | Self::Features { .. }
            | Self::ExternalJournal { .. }
            | Self::Option(_) => libc::EINVAL,
        }
    }
}
