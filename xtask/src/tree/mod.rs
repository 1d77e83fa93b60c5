//! The source tree that the images are made from, the same on every machine except for the programs copied into it.
//!
//! | module | what it puts into the tree |
//! | --- | --- |
//! | `bulk` | thousands of ordinary files, a directory of 10,000 entries, deep paths, the large and the sparse file |
//! | `odd` | names, links, attributes, modes, times, sizes, holes, device nodes: one of each kind that a reader may get wrong |
//! | `programs` | executables, scripts, a git repository, a C project, a database, Python modules |
//!
//! Times are whole seconds: mke2fs -d stores no finer ones.

mod bulk;
mod odd;
mod programs;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::command::at;
use crate::prng::Prng;
use crate::{Result, project};

/// Builds the full tree. `owner` is the test user: the programs' part belongs to it, so that git and others accept it.
pub fn build(top: &Path, owner: (u32, u32)) -> Result<()> {
    project::public_directory(top)?;
    let mut prng = Prng::new(2);
    bulk::build(top, &mut prng)?;
    programs::build(&top.join("work"), owner)?;
    odd::build(top, &mut prng)?;
    settle_times(top)
}

/// Builds the tree of the benchmarks: a git repository of 5,000 files, 20 MB, and nothing odd.
pub fn build_bench(top: &Path, owner: (u32, u32)) -> Result<()> {
    project::public_directory(top)?;
    bulk::ordinary_files(top, &mut Prng::new(3), 5_000, 20 << 20)?;
    programs::make_repository(top, owner)
}

/// Builds a small tree with one of most things, for the image that the tests damage.
pub fn build_small(top: &Path) -> Result<()> {
    project::public_directory(top)?;
    odd::build_small(top, &mut Prng::new(5))?;
    bulk::ordinary_files(&top.join("files"), &mut Prng::new(6), 200, 1 << 20)?;
    bulk::many_names(&top.join("many"), 300)
}

/// Writes a file whose parent exists.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    at(path, std::fs::write(path, bytes))
}

/// Makes a directory and its parents.
fn directory(path: &Path) -> Result<()> {
    at(path, std::fs::create_dir_all(path))
}

/// Sets the modification and access times, not following a symbolic link.
fn set_mtime(path: &Path, seconds: i64) -> Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    at(
        path,
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into),
    )
}

/// Gives everything at and below `top` that has still the time of its making (which has a sub-second part) a time made
/// from its place in the order of names.
fn settle_times(top: &Path) -> Result<()> {
    let mut pending = vec![top.to_path_buf()];
    let mut order = Vec::new();
    while let Some(path) = pending.pop() {
        let metadata = at(&path, path.symlink_metadata())?;
        if metadata.is_dir() {
            let mut names: Vec<_> = at(&path, std::fs::read_dir(&path))?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect();
            names.sort();
            pending.extend(names);
        }
        order.push((path, metadata.mtime_nsec() != 0));
    }
    for (index, (path, _)) in order.iter().enumerate().filter(|(_, (_, unset))| *unset) {
        set_mtime(path, 1_600_000_000 + index as i64)?;
    }
    Ok(())
}
