//! A host directory (or one file of the host) as a filesystem module.
//!
//! Every operation is the host's own system call on the host's own object, so behaviour, errors and limits are those
//! of the filesystem underneath. `host_root` tells the host program that it may go to that path directly, without this
//! module; the module is complete all the same, so that other modules and the tests can use it like any other.
//!
//! | Module   | Responsibility                                                           |
//! |----------|--------------------------------------------------------------------------|
//! | `table`  | inode numbers, and where each known inode is below the root              |
//! | `object` | system calls on one object, named by an `O_PATH` descriptor              |
//! | `tree`   | from inode number to object, and new names                               |
//! | `listing`| open directories                                                         |
//! | `fs`     | the `Filesystem` trait over all this                                     |
//!
//! An inode is known by `(st_dev, st_ino)`. Its place is a parent and a name; whenever it is used, the object found
//! there must still be that one, else the answer is `ENOENT`. An object that loses its name through this module is held
//! by a descriptor while the host program has references on it. Nothing below the root is reached through a symbolic
//! link, so what is outside the root stays outside.
//!
//! Lock order: an open listing's descriptor (held while it is read) before `Bind::table`; `Bind::table` and
//! `Bind::listings` are leaves. No system call that can block is made under `table`.
//!
//! References: open(2), openat2(2), proc_pid_fd(5), libfuse `example/passthrough_ll.c` (the idea of `O_PATH` inodes).
#![forbid(unsafe_code)]

mod fs;
mod listing;
mod object;
mod table;
mod tree;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};

use listing::Listings;
use table::{Key, Table};

/// A view of one host directory or file.
#[derive(Debug)]
pub struct Bind {
    path: PathBuf,
    root: Arc<OwnedFd>,
    table: Mutex<Table>,
    listings: Mutex<Listings>,
}

impl Bind {
    /// The directory or file at `path`, symbolic links followed.
    ///
    /// # Errors
    /// Those of opening it: `ENOENT`, `EACCES`, `ELOOP`, ...
    pub fn new(path: impl AsRef<Path>) -> io::Result<Bind> {
        let path = path.as_ref().canonicalize()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())?;
        let key = Key::of(&rustix::fs::fstat(&root)?);
        Ok(Bind {
            path,
            root: Arc::new(root),
            table: Mutex::new(Table::new(key)),
            listings: Mutex::default(),
        })
    }
}
