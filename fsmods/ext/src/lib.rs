//! ext2, ext3 and ext4 images, read and written, in safe Rust.
//!
//! An image is any [`fuse_compat::BlockSource`]; [`Ext`] is the `Filesystem` that the host mounts,
//! [`Volume`] the reading engine below it, `write` what changes an image. A read-only mount writes nothing: an
//! unclean journal is then replayed into an overlay in memory. A writable one replays it into the image.
//!
//! Parsing goes in two levels: `wire` turns bytes into fields and can only fail for lack of bytes; the
//! modules above decide what is valid, and from then on the rest relies on it. No input makes the driver
//! panic, loop or allocate without bound; what is wrong with an image becomes a [`Problem`] that names
//! the inode or block, is logged once, and is answered with EUCLEAN or EIO.
//!
//! | Module                  | Responsibility                                                  |
//! |-------------------------|-----------------------------------------------------------------|
//! | `probe`, `partitions`   | what an image is, before it is mounted                          |
//! | `ext`, `fs`             | the `Filesystem` operations                                     |
//! | `volume`                | mount, and every reading operation on inodes                    |
//! | `write`                 | every writing operation: allocation, maps, directories, commit  |
//! | `changes`               | changed blocks that are not home yet                            |
//! | `dir`                   | listing and lookup, hash trees                                  |
//! | `data`, `inline`        | file content, holes                                             |
//! | `map`                   | extents and indirect blocks                                     |
//! | `xattr`, `acl`          | extended attributes                                             |
//! | `inode`, `group`, `geometry`, `statistics` | validated structures, statfs                 |
//! | `journal`               | replay, commit                                                  |
//! | `blocks`, `cache`, `device` | block cache, overlay, the seam to the source                |
//! | `wire`, `bytes`, `crc`  | level one of parsing                                            |
//! | `report`, `error`       | faults, their log, errnos                                       |
//!
//! References: the kernel's Documentation/filesystems/ext4, ext4(5); behaviour of fs/ext4 and fs/jbd2.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

mod acl;
mod blocks;
mod bytes;
mod cache;
mod changes;
mod crc;
mod data;
mod device;
mod dir;
mod error;
mod ext;
mod features;
mod fs;
mod geometry;
mod group;
mod inline;
mod inode;
mod journal;
mod map;
mod options;
mod partitions;
mod probe;
mod report;
mod statistics;
mod volume;
mod wire;
mod write;
mod xattr;

pub use data::Seek;
pub use dir::Entry;
pub use error::{Error, MountError, Place, Problem, Result};
pub use ext::Ext;
pub use inode::{Inode, Kind, Time};
pub use map::{Content, Run};
pub use probe::{Probe, probe};
pub use report::Sink;
pub use statistics::Statistics;
pub use volume::Volume;
