//! The names of a view: mounts, the resolver, objects of modules and of the host, the page cache.
//!
//! This crate knows no process id and no register; `view-core` translates system calls into its terms.
//!
//! | Module        | Responsibility                                                      |
//! |---------------|---------------------------------------------------------------------|
//! | `resolver`    | from a path to a place, for every entry point and flag              |
//! | `mount_table` | the mount tree of a namespace                                       |
//! | `place`       | one object in the mount where it was found                          |
//! | `operations`  | what can be done with a place                                       |
//! | `object`      | a mounted module: inodes, dentries, their caches                    |
//! | `host_ops`    | the same operations on host paths                                   |
//! | `page_cache`  | regular files of modules as memfds                                  |
//! | `backing`     | which kernel object stands for which place                          |
//! | `marker`      | the directories that stand for opened and entered directories       |
//! | `procfs`      | which names below /proc are special                                 |
//! | `attributes`  | what stat, statx and statfs say, and their encodings                |
//! | `permission`  | access decisions as pure functions                                  |
//! | `credentials` | who asks                                                            |
//!
//! Lock order: see `object`, `page_cache` and `mount_table`; the locks of `backing` and `marker` are leaves. `object` holds
//! none of its own while the page cache is filled.
#![forbid(unsafe_code)]

pub mod attributes;
pub mod backing;
pub mod credentials;
pub mod host_ops;
pub mod marker;
pub mod mount_table;
pub mod object;
pub mod operations;
pub mod page_cache;
pub mod permission;
pub mod place;
pub mod procfs;
pub mod resolver;
#[cfg(test)]
mod test_support;

pub use rustix::io::Errno;
